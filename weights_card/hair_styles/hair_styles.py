"""Hair styles: textured cards around the mean head, and how they follow another head; all of it in buffers.

Self-contained on purpose (no import from this package): the same file is published beside the weights as remote code.
The styles are MakeHuman's (CC0), baked by `python -m tools.bake_hair`.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

TEXTURE_MEAN = 0.4
ANCHORS = 8  # vertices of the head that a vertex of the hair follows


class HairStyles(ModelMixin, ConfigMixin):
    """The styles one after another in every buffer; `sizes` says how much of it is each one's.

    Args:
        names (`list[str]`): of the styles.
        sizes (`list[list[int]]`): of each style its vertices, triangles and bytes of texture.

    Buffers (float32 or int16; float buffers stay float32 whatever dtype the module is cast to):
        ``rest`` (V, 3) metres in head space on the mean head; ``uv`` (V, 2), origin top left, v down; ``faces`` (F, 3),
        numbered from the style's first vertex; ``anchors`` (V, 8) vertices of the head and ``weights`` (V, 8), sum 1: a
        vertex of the hair moves from ``rest`` as these do from their places on the mean head; ``texture`` (B,) uint8, a
        grey PNG with alpha: how light each strand is, encoded as sRGB, `TEXTURE_MEAN` in the linear mean.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, names: list[str] = (), sizes: list[list[int]] = ()):
        super().__init__()
        vertices, faces, size = (sum(column) for column in zip(*sizes)) if sizes else (0, 0, 0)
        self.register_buffer("rest", torch.zeros(vertices, 3))
        self.register_buffer("uv", torch.zeros(vertices, 2))
        self.register_buffer("weights", torch.zeros(vertices, ANCHORS))
        self.register_buffer("anchors", torch.zeros(vertices, ANCHORS, dtype=torch.int16))
        self.register_buffer("faces", torch.zeros(faces, 3, dtype=torch.int16))
        self.register_buffer("texture", torch.zeros(size, dtype=torch.uint8))

    def style(self, name: str) -> dict:
        """The buffers of one style as NumPy arrays, by name; `texture` as bytes.

        Raises:
            ValueError: there is no style of that name.
        """
        names = list(self.config.names)
        if name not in names:
            raise ValueError(f"There is no hair style {name!r}; use one of {', '.join(names)}.")
        number = names.index(name)
        starts = [sum(column[:number]) for column in zip(*self.config.sizes)]
        vertices, faces, texture = (
            slice(start, start + size) for start, size in zip(starts, self.config.sizes[number])
        )
        parts = {key: getattr(self, key)[vertices] for key in ("rest", "uv", "weights")}
        parts |= {"anchors": self.anchors[vertices].int(), "faces": self.faces[faces].int()}
        arrays = {key: tensor.detach().cpu().numpy() for key, tensor in parts.items()}
        return {**arrays, "texture": self.texture[texture].cpu().numpy().tobytes()}

    def _apply(self, fn, recurse=True):
        # Casts of the whole pipeline only move these buffers, as the head's.
        def keep_dtype(tensor):
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(keep_dtype, recurse)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """As `ModelMixin.from_pretrained`; always float32, whatever `dtype` a pipeline passes on."""
        for name in ("dtype", "torch_dtype"):
            kwargs.pop(name, None)
        return super().from_pretrained(pretrained_model_name_or_path, dtype=torch.float32, **kwargs)
