"""Where on the texture is what, for light and losses in texture space."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

from studio_avatar.data.augment.augmentation import studio_masks
from studio_avatar.head.layout import region_mask, texel_map

NOT_SKIN = ("eyeball_left", "eyeball_right", "teeth", "tongue", "mouth")
BESIDE_EYES = 0.027  # of the texture's side: how far from the lids skin stands in the light of the eyes
FACE_BORDER = -0.004  # of the hairline's distance: hair beyond it is no face [m]


@dataclasses.dataclass(frozen=True)
class TexelMasks:
    """Float32 masks (1, 1, S, S) in [0, 1] of the texture layout.

    skin: where a change of tone acts, everything but eyes, teeth and mouth. tone_weight: where tone is measured. face: below
    the hairline, without eyes and ears. eyes: both eyeballs. beside_eyes: skin below the lids. lips, brows. covered: texels
    that the mesh uses.
    """

    skin: torch.Tensor
    tone_weight: torch.Tensor
    face: torch.Tensor
    eyes: torch.Tensor
    beside_eyes: torch.Tensor
    lips: torch.Tensor
    brows: torch.Tensor
    covered: torch.Tensor

    def resized(self, size: int, device) -> "TexelMasks":
        """The masks at another size, by area, on `device`."""
        masks = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return TexelMasks(
            **{k: F.interpolate(m, size=(size, size), mode="area").to(device) for k, m in masks.items()}
        )


def texel_masks(head, size: int = 512) -> TexelMasks:
    """The masks of a `HeadModel`."""
    weight, skin = tone_masks(head, size)

    def region(*names):
        return _mask(region_mask(head, size, *names))

    below_hair = _mask(studio_masks(head, size).hairline < FACE_BORDER)
    return TexelMasks(
        skin=skin,
        tone_weight=weight,
        face=below_hair * region("face", "eyelids", "brows", "lips"),
        eyes=region("eyeball_left", "eyeball_right"),
        beside_eyes=_mask(_below_lids(head, size)),
        lips=region("lips"),
        brows=region("brows"),
        covered=_mask(texel_map(head, size).covered),
    )


def tone_masks(head, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight, skin), (1, 1, S, S) float32 each: where tone is measured, and where a change of tone acts.

    The upper face: below it grow beards, above it hair.
    """
    masks = studio_masks(head, size)
    bare = (masks.hairline < -0.01) & region_mask(head, size, "face")
    return _mask(bare * (1 - masks.beard)), _mask(~region_mask(head, size, *NOT_SKIN))


def _below_lids(head, size: int) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    lids = region_mask(head, size, "eyelids")
    rows = np.nonzero(lids)[0]
    near = distance_transform_edt(~lids) < max(BESIDE_EYES * size, 1.5)
    return near & region_mask(head, size, "face") & (np.arange(size)[:, None] > (rows.min() + rows.max()) / 2)


def _mask(array) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))[None, None]
