"""Landmarks of one person, and the frames worth keeping."""
