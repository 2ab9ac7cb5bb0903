"""The animatable head: one person's shape, studio texture and expressions."""

from studio_avatar.lazy import lazy_names

__all__ = ["LEVELS", "Avatar", "build_avatar"]
__getattr__ = lazy_names(__name__, dict.fromkeys(__all__, "avatar"))
