"""Public names of a package that are imported when they are first used, so that `--help` does not wait for torch."""

from collections.abc import Callable
from importlib import import_module


def lazy_names(package: str, homes: dict[str, str]) -> Callable[[str], object]:
    """The `__getattr__` (PEP 562) of a package.

    Args:
        package: the package's `__name__`.
        homes: public name → module of the package that defines it; or the name of a subpackage → itself.
    """

    def resolve(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{homes[name]}")
        return module if homes[name] == name else getattr(module, name)

    return resolve
