"""The release: one place that the package, its files and its metadata read."""

__version__ = "0.1.0"
