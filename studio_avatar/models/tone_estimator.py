"""Skin tone estimator: phone texture, visibility and scene → the colour the skin has under even white light, with its
uncertainty.

What gives tone away under unknown light and exposure is seen by a small convolutional network: eyes, lips, highlights, the
color of shadows. Beside it stands what the frames say about the scene (`SceneStatistics`): the whites of the eyes, teeth,
the surroundings. Only the face is looked at: caps, scarfs and hair lie outside. It answers with a Gaussian in L*a*b* (Nix
and Weigend 1994), so that where the phone texture says little the mean of people comes out, with a wide spread, instead of
a guess. Several such networks answer together as the Gaussian with the moments of their mixture: where they disagree, it is
wider (deep ensembles: Lakshminarayanan et al. 2017).
This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn

# Median luma, linear: a capture whose face and surroundings are both darker is lifted to it, by three stops at most; a face
# alone says less, for a dark one may be a dark person's.
DIM, DIM_ALONE, MAX_LIFT = 0.3, 0.1, 8.0
# Which numbers of the scene vector are colors or brightness: whites of the eyes, surroundings, teeth.
COLORS = [index < 3 or 4 <= index < 10 or 12 <= index < 15 for index in range(20)]


class Member(nn.Module):
    """One network of a `ToneEstimator`; arguments as there."""

    def __init__(self, resolution: int, channels: tuple[int, ...], hidden: int, scene_size: int):
        super().__init__()
        layers, width = [], 4
        for out in channels:
            layers += [nn.Conv2d(width, out, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            width = out
        self.features = nn.Sequential(*layers)
        side = resolution // 2 ** len(channels)
        self.scene_features = nn.Sequential(
            nn.Linear(scene_size, 96), nn.LeakyReLU(0.2), nn.Linear(96, 96), nn.LeakyReLU(0.2)
        )
        self.head = nn.Sequential(
            nn.Linear(width * side * side + 96, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden // 2),
            nn.LeakyReLU(0.2), nn.Linear(hidden // 2, 6),
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, 0.2)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.head[-1].weight, std=0.01)

    def forward(self, picture, scene):
        """picture (B, 4, R, R), scene (B, S) → normalised mean and log variance, (B, 3) each."""
        maps = self.features(picture).flatten(1)
        answer = self.head(torch.cat([maps, self.scene_features(scene.to(maps.dtype))], dim=1))
        return answer[:, :3], answer[:, 3:].clamp(-4.0, 3.0)


class ToneEstimator(ModelMixin, ConfigMixin):
    """Args:
    resolution: side of the input texture in texels, a multiple of 32.
    channels: feature maps after each of the five halvings.
    hidden: width of the layer before the answer.
    scene_size: length of the scene vector; all zeros where nothing is known. Its order is `SceneStatistics.vector`'s; its
        last two numbers are free, and taken for the color of the whites of the eyes beside the skin's.
    num_members: networks that answer together, in `members`.
    scene_share: share of the answer that hears the scene, in [0, 1]; the rest is said as if nothing were known of it. What
        the frames say of the scene is sometimes wrong (a lamp in the picture, eyes in the shade), and then by far.
    unheard: places of the scene vector that `estimate` empties, because training showed the network other values there than
        people have.

    Buffers: `lab_mean`, `lab_std` (3,), of the training set; `spread` (3,), by which the network's standard deviations are
    multiplied, because they are too small for people it has not seen; `tone_weight` (1, 1, R, R), where tone is measured:
    skin of the upper face; `region` (1, 1, R, R), the texels that are looked at; `skin` (1, 1, R, R) in [0, 1], where a
    change of tone acts: everything but eyes, teeth and mouth; `beside_eyes` (1, 1, R, R), skin that stands in the light of
    the eyes.
    They are float32 whatever dtype the parameters are cast to.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        channels: tuple[int, ...] = (48, 80, 128, 160, 192),
        hidden: int = 320,
        scene_size: int = 20,
        unheard: tuple[int, ...] = (),
        num_members: int = 1,
        scene_share: float = 1.0,
    ):
        super().__init__()
        self.members = nn.ModuleList(
            Member(resolution, channels, hidden, scene_size) for _ in range(num_members)
        )
        self.register_buffer("lab_mean", torch.zeros(3))
        self.register_buffer("lab_std", torch.ones(3))
        self.register_buffer("spread", torch.ones(3))
        self.register_buffer("tone_weight", torch.ones(1, 1, resolution, resolution))
        self.register_buffer("region", torch.ones(1, 1, resolution, resolution))
        self.register_buffer("skin", torch.ones(1, 1, resolution, resolution))
        self.register_buffer("beside_eyes", torch.zeros(1, 1, resolution, resolution))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, dtype=None, torch_dtype=None, **kwargs):
        """As `ModelMixin.from_pretrained`, but the buffers stay float32 (its own switch for that needs accelerate)."""
        model = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        return model if (dtype or torch_dtype) is None else nn.Module.to(model, dtype or torch_dtype)

    def _apply(self, fn, recurse=True):
        """Casts move the buffers but leave them float32."""
        exact = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            moved = self.get_buffer(name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self

    def forward(self, rgb, seen, scene=None):
        """Normalised mean and log variance, (B, 3) each.

        rgb (B, 3, R, R) sRGB in [-1, 1]; seen (B, 1, R, R) in [0, 1]; scene (B, S), or None where nothing is known.
        """
        seen = seen * self.region.to(seen.dtype)
        if scene is None:
            scene = rgb.new_zeros(len(rgb), self.config.scene_size)
        scene = torch.cat([scene[:, :-2], self._white_beside_skin(rgb, seen, scene)], dim=1)
        picture = torch.cat([rgb * seen, seen * 2.0 - 1.0], dim=1)
        answers = [member(picture, scene) for member in self.members]
        return _together(answers, [1 / len(answers)] * len(answers))

    def _white_beside_skin(self, rgb, seen, scene):
        """(B, 2) logarithms, halved: how much lighter and how much bluer the white of the eyes is than the skin below the
        lids. The shade of brow and lashes lies on both, so this says more of the skin than the white alone."""
        weight = seen.float() * self.beside_eyes
        total = weight.sum((2, 3))
        skin = (_linear(rgb.float() * 0.5 + 0.5) * weight).sum((2, 3)) / total.clamp_min(1e-3)
        skin = skin.clamp_min(1e-4)  # 0 where none is seen
        white, known = _linear(scene[:, :3].float()), scene[:, 3:4].float() * (total > 1.0)
        lighter = torch.log(_luma(white) / _luma(skin))
        bluer = torch.log(white[:, 2:] / white[:, :1]) - torch.log(skin[:, 2:] / skin[:, :1])
        return (0.5 * torch.cat([lighter, bluer], dim=1).clamp(-3.0, 3.0) * known).to(scene.dtype)

    def lifted(self, rgb, seen, scene):
        """(rgb, scene) as a longer exposure would have shown them, where face and surroundings are both darker than `DIM`.

        Exposure says nothing of skin, but clips far under are rare in training, and taken for dark skin. A dark face in
        surroundings of ordinary brightness is left as it is.
        """
        measured = seen.float() * self.region * self.tone_weight > 0.3
        luma = _luma(_srgb_to_linear(rgb.float() * 0.5 + 0.5).movedim(1, -1))
        brightness = (
            torch.where(measured[:, 0], luma[..., 0], torch.nan).flatten(1).nanmedian(1, keepdim=True).values
        )
        brightness, wanted = brightness.nan_to_num(DIM), DIM_ALONE  # NaN: nothing seen
        if scene is not None:
            around, known = _srgb_to_linear(scene[:, 5:6].float()), scene[:, 11:12]
            brightness, wanted = brightness.maximum(around * known), DIM_ALONE + (DIM - DIM_ALONE) * known
        factor = (wanted / brightness.clamp_min(1e-3)).clamp(1.0, MAX_LIFT)
        rgb = (_expose(rgb.float() * 0.5 + 0.5, factor[:, :, None, None]) * 2.0 - 1.0).to(rgb.dtype)
        if scene is not None:
            colors = torch.tensor(COLORS, device=scene.device)
            scene = torch.where(colors, _expose(scene.float(), factor).to(scene.dtype), scene)
        return rgb, scene

    def heard(self, scene):
        """Scene vectors (B, S) without what this network was shown wrongly in training."""
        return scene * scene.new_tensor([index not in self.config.unheard for index in range(scene.shape[1])])

    @apply_forward_hook  # CPU offloading watches `forward` only
    def estimate(self, rgb, seen, scene=None):
        """→ L*a*b* of the skin's mean colour and standard deviations, (B, 3) float32 each."""
        answers, shares = [self._answer(rgb, seen, scene)], [1.0]
        if scene is not None and self.config.scene_share < 1:
            answers.append(self._answer(rgb, seen, None))
            shares = [self.config.scene_share, 1 - self.config.scene_share]
        mean, log_variance = _together(answers, shares)
        return self.lab_mean + self.lab_std * mean, self.lab_std * self.spread * torch.exp(0.5 * log_variance)

    def _answer(self, rgb, seen, scene):
        """As `forward`, float32, of captures lifted first where they are dim.

        The mean over the texture and its mirror image, which is as good a capture of the same tone.
        """
        rgb, scene = self.lifted(rgb, seen, None if scene is None else self.heard(scene))
        both = torch.cat([rgb, rgb.flip(-1)]), torch.cat([seen, seen.flip(-1)])
        scenes = None if scene is None else torch.cat([scene, scene])
        return tuple(part.float().view(2, len(rgb), 3).mean(0) for part in self(*both, scenes))


def _together(answers, shares):
    """Mean and log variance of the mixture of Gaussians (mean, log variance), (B, 3) each, by their shares, sum 1."""
    if len(answers) == 1:
        return answers[0]
    means, log_variances = (torch.stack(part) for part in zip(*answers, strict=True))
    share = means.new_tensor(shares)[:, None, None]
    mean = (share * means).sum(0)
    variance = (share * (torch.exp(log_variances) + (means - mean) ** 2)).sum(0)
    return mean, torch.log(variance)


def _linear(encoded):
    """sRGB in [0, 1], about, → linear, never 0."""
    return encoded.clamp(0.01, 1.0) ** 2.2


def _srgb_to_linear(x):
    """[0, 1] sRGB-encoded → [0, 1] linear (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def _expose(encoded, factor):
    """sRGB-encoded values, [0, 1], with their light times `factor`; what becomes too bright is clipped."""
    light = (_srgb_to_linear(encoded) * factor).clamp(0.0, 1.0)
    return torch.where(
        light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    )


def _luma(linear):
    """(..., 3) → (..., 1)."""
    return (linear * linear.new_tensor((0.2126, 0.7152, 0.0722))).sum(-1, keepdim=True)
