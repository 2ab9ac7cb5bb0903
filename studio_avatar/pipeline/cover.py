"""What lies in front of the eyes and forehead in a phone texture: rims of glasses, strands of hair, hands.

It is no skin: it has no say in the code or in the light, and where it lies the studio's texture stands. The rest of the
pipeline needs no word of it: covered texels count as unseen. For tone only what is `wide` does: thin rims are taken off
(`bridged`), for to an estimator that knows faces a hole in the shape of glasses looks like another face.
This file imports only single files beside it: it is also published on the Hub as remote code.
"""

import torch
import torch.nn.functional as F

from .inversion import largest_around, shrink_observed
from .relight import smoothed

PATCH = 2  # texels of the network's picture that become one pixel's channels
ROWS, COLUMNS = (
    (7 / 32, 21 / 32),
    (3 / 32, 29 / 32),
)  # of the texture that are looked at: hairline to mouth, ear to ear
SURE = (0.35, 0.65)  # probability from which a texel is no more trusted, and at which it is not at all
# Where it hangs together with what is sure, as a rim's paler parts do, a lower probability counts as well; so far along it,
# over the texture's width.
WEAK, REACH = 0.24, 10 / 256
BORDER = 2.5 / 512  # of the texture's width: shadow and blur around what covers; it fades over twice as much
FOREHEAD = 0.36  # of its height, where the brows begin
CROSSED = 0.4  # share of a row of the forehead that is covered, from which on something goes across it
CAP_FROM = 0.27  # of the height: caps go across above it (73 people: 0.22 at most), rims of glasses below (0.30 at least)
BRIM = 0.015  # of the height: what shows below the edge of a cover is its shadow
WIDE = 0.05  # of the texture's width: the least width of caps, hands and scarfs, more than that of rims and strands
LONG = 3 / 32  # of the width: what reaches less far across or down is a speck
TOUCHED = 0.2  # share of a coarse texel that is covered, from which it hangs together with others
BRIDGED_FROM = 2 / 128  # of the width: from how far around the skin under a rim is guessed


def band(texture):
    """The rows and columns of a texture (B, C, R, R) that are looked at: (B, C, 7/16 R, 13/16 R)."""
    side = texture.shape[-1]
    rows, columns = (slice(*(round(share * side) for share in shares)) for shares in (ROWS, COLUMNS))
    return texture[..., rows, columns]


def cover_logits(phone, visibility, network):
    """Logits (B, 1, 7/16 R, 13/16 R) of the probability that a texel of the band is covered.

    phone: (B, 3, R, R) sRGB in [-1, 1]. visibility: (B, 1, R, R) in [0, 1]. network: a `UNet2DModel` of patches of both and
    of two channels that tell where on the face a texel lies: every person's brows and lids are at the same place.
    """
    across = torch.linspace(-1, 1, phone.shape[-1], device=phone.device, dtype=phone.dtype)
    place = torch.stack(torch.meshgrid(across, across, indexing="ij"))[None].expand(len(phone), -1, -1, -1)
    x = F.pixel_unshuffle(band(torch.cat([phone * visibility, visibility * 2 - 1, place], dim=1)), PATCH)
    answer = network(x, torch.zeros(len(x), device=x.device, dtype=x.dtype)).sample
    return F.pixel_shuffle(answer, PATCH)


def find_cover(phone, visibility, network):
    """(B, 1, H, H) float32 in [0, 1]: 1 where something lies in front of the skin; 0 outside of the band.

    Args:
        phone: (B, 3, H, H) phone texture sRGB in [-1, 1]. visibility: (B, 1, H, H) in [0, 1].
        network: as `cover_logits` takes it; its `sample_size` is PATCH times smaller than the textures it knows.
    """
    size, side = phone.shape[-1], network.config.sample_size * PATCH
    dtype = next(network.parameters()).dtype
    small = (part.to(dtype) for part in shrink_observed(phone.float(), visibility.float(), side))
    found = hanging_together(torch.sigmoid(cover_logits(*small, network).float()), round(REACH * side))
    cover = torch.zeros(len(phone), 1, side, side, device=found.device)
    band(cover).copy_(found)
    cover = F.interpolate(cover, size=(size, size), mode="bilinear", align_corners=False)
    reach = 2 * round(BORDER * size) + 1
    cover = largest_around(cover, reach)
    low, high = SURE
    share = ((cover - low) / (high - low)).clamp(0, 1)
    # Repair and kept skin side by side would leave a seam: the border fades.
    return F.avg_pool2d(share * share * (3 - 2 * share), reach, 1, reach // 2, count_include_pad=False)


def hanging_together(found, steps: int):
    """Probabilities (B, 1, H, W) with 1 where they are `WEAK` at least and reached from sure ones in so many texels of such:
    hysteresis, as Canny (1986) follows edges."""
    weak, reached = (found > WEAK).to(found), (found >= SURE[1]).to(found)
    for _ in range(steps):
        reached = weak * largest_around(reached, 3)
    return torch.maximum(found, reached)


def wide(cover):
    """The part of a cover (B, 1, H, H) in [0, 1] that is at least `WIDE`, the same size: an opening (erosion, dilation)."""
    reach = 2 * round(0.5 * WIDE * cover.shape[-1]) + 1
    kept = -largest_around(-cover, reach)
    return torch.minimum(largest_around(kept, reach), cover)


def without_specks(cover, side: int):
    """`cover` (B, 1, H, H) in [0, 1] without parts that are not `LONG`, looked for at `side` texels.

    Glasses, strands and caps are. Of specks there are more under caps and on wrinkled skin than anywhere else, and hardly
    one is a cover: tone would miss the skin or the lid that is there.
    """
    touched = F.adaptive_avg_pool2d(cover, side) > TOUCHED
    rows, columns = torch.meshgrid(*(2 * [torch.arange(side, device=cover.device) + 0.0]), indexing="ij")
    nowhere = torch.tensor(-torch.inf, device=cover.device)
    # How far to the right, down, left and up one gets from each texel without leaving the cover.
    ends = torch.where(touched, torch.stack([columns, rows, -columns, -rows]), nowhere)
    for _ in range(round(2 * LONG * side)):
        ends = torch.where(touched, largest_around(ends, 3), nowhere)
    length = (ends[:, :2] + ends[:, 2:]).amax(1, keepdim=True) + 1
    long = largest_around((length >= LONG * side).to(cover), 3)
    return cover * F.interpolate(long, size=cover.shape[-2:], mode="nearest")


def bridged(rgb, bare, seen):
    """`rgb` (B, 3, R, R), the mean of the bare texels, where fewer than were `seen` are bare, as it is around.

    bare, seen: (B, 1, R, R), visibility without and with what is covered.
    """
    share = (bare / seen.clamp_min(1e-3)).clamp(0, 1)
    around = smoothed(rgb, bare, BRIDGED_FROM * rgb.shape[-1])
    return torch.where(seen > 1e-3, torch.lerp(around, rgb, share), rgb)


def without_forehead(seen, cover):
    """`seen` (B, 1, H, H) without the forehead where a cap (B, 1, H, H) goes across it, down to the cap's lower edge.

    Caps are found in patches, and what is left between them is cloth: less is known of skin by it than without any forehead.
    Glasses go across it, too, but lower.
    """
    side = seen.shape[-1]
    rows = torch.arange(side, device=seen.device) / side
    total = seen.sum(-1)
    crossed = ((seen * cover).sum(-1) > CROSSED * total.clamp_min(1.0)) & (rows < FOREHEAD)
    lowest = torch.where(crossed, rows, -1.0).amax(-1, keepdim=True)  # (B, 1, 1)
    capped = (crossed & (rows < CAP_FROM)).any(-1, keepdim=True)
    hidden = capped & (rows <= lowest + BRIM)
    return seen * ~hidden[..., None]
