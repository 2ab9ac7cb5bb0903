"""The method: the files that are also published on the Hub as remote code, which import only files beside them."""

from studio_avatar.lazy import lazy_names

__all__ = ["StudioTextureOutput", "StudioTexturePipeline"]
__getattr__ = lazy_names(__name__, dict.fromkeys(__all__, "studio_texture_pipeline"))
