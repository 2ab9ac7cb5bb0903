"""The cover network (`studio_avatar/pipeline/cover.py`): which texels around the eyes are not the person.

Real portraits without covers, in their own light, and simulated captures, that wear what the simulator puts on them: where
it put something is known exactly.

    python -m studio_avatar.training cover --budget 40m --pack RUNS/pack.safetensors --run RUNS/cover
    python -m studio_avatar.training cover … --set start=RUNS/cover/cover_network learning_rate=6e-4
"""

import torch
import torch.nn.functional as F

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.draw import Draw, blur
from studio_avatar.data.simulate.texel_phone import degrade
from studio_avatar.data.simulate.wear import dress
from studio_avatar.pipeline.cover import PATCH, band, cover_logits
from studio_avatar.pipeline.skin_tone import linear_to_srgb, srgb_to_linear
from studio_avatar.training.budget import (
    Clock,
    batch_size,
    descend,
    mixed_precision,
    pick_device,
    train_within,
)
from studio_avatar.training.config import CoverConfig
from studio_avatar.training.loop import EMA, sheet
from studio_avatar.training.networks import build_unet
from studio_avatar.training.options import BudgetOptions, budget_parser, parse_budget_options
from studio_avatar.training.packed import BaseMaker, make_simulator, studio_textures
from studio_avatar.training.portraits import Portraits

LIGHT_OVER = 1 / 24  # of the width: over what the light of a portrait is taken to be smooth
MEAN_REFLECTANCE = 0.35  # of skin, by which its light is told from its brightness
PREVIEW_SEED = 77


class CoverStage:
    def __init__(self, options: BudgetOptions, device):
        config: CoverConfig = options.config
        self.config, self.device = config, device
        pack = Pack(options.pack)
        textures = studio_textures(pack, ("augmented", "studio"), config.resolution)
        self.simulator = make_simulator(
            pack, textures, config.resolution, config.bank_size, device, config.share
        )
        self.portraits = Portraits(pack, BaseMaker(options.weights, device), self.simulator)
        batch = batch_size(config, device)
        self.real = max(int(batch * config.portrait_share), 1)
        self.simulated = max(batch - self.real, 1)
        torch.manual_seed(config.seed)
        side = config.resolution // PATCH
        self.net = build_unet(
            config.channels, inputs=6, outputs=1, patch=PATCH, sample_size=side, start=config.start
        )
        self.net.to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=config.learning_rate, weight_decay=1e-3)
        self.modules, self.optimizers = {"net": self.net}, {"net": optimizer}
        self.ema = EMA(self.net, config.ema_decay)
        self.emas = {"net_ema": (self.ema, self.net)}

    def batch(self, draw):
        """Simulated captures, then real portraits: phone, visibility, cover."""
        made = self.simulator.sample(self.simulated, draw)
        real = self.dressed_portraits(draw)
        simulated = (made.phone, made.visibility, made.cover)
        return (torch.cat(both) for both in zip(simulated, real, strict=True))

    def dressed_portraits(self, draw):
        """Portraits in their own light, brighter or darker and of another tint, with covers: phone, visibility, cover."""
        texture, visibility, _ = self.portraits.photos(self.real, draw)
        masks = self.simulator.masks
        tint = 0.35 * draw.normal(self.real, 1, 1, 1) + 0.08 * draw.normal(self.real, 3, 1, 1)
        lit = srgb_to_linear(texture * 0.5 + 0.5) * torch.exp(tint)
        light = blur(lit.mean(1, keepdim=True), LIGHT_OVER * lit.shape[-1]) / MEAN_REFLECTANCE
        dressed = dress(lit, light.expand_as(lit), self.simulator.covers, masks.face, draw)
        phone = degrade(linear_to_srgb(dressed.lit.clamp(0, 1)), draw) * 2 - 1
        mirrored = draw.chance(0.5, self.real, 1, 1, 1)
        return (torch.where(mirrored, one.flip(-1), one) for one in (phone, visibility, dressed.cover))

    def step(self, draw, progress):
        phone, visibility, cover = self.batch(draw)
        with mixed_precision(self.device):
            logits = cover_logits(phone, visibility, self.net).float()
        terms = self.terms(logits, band(cover), band(visibility))
        loss = sum(terms.values())
        descend(self.optimizers["net"], loss)
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def terms(self, logits, cover, visibility):
        """Cross entropy over what is seen, rims and strands above all, and overlap (soft Dice)."""
        seen = (visibility > 0.05).float()
        entropy = F.binary_cross_entropy_with_logits(logits, cover, reduction="none")
        entropy = entropy * (1 + self.config.thin_weight * _thin(cover))
        worn, found = (cover > 0.5).float() * seen, torch.sigmoid(logits) * seen
        overlap = (2 * (worn * found).sum() + 1) / ((worn + found).sum() + 1)
        return {"entropy": (entropy * seen).sum() / seen.sum().clamp_min(1), "dice": 1 - overlap}

    @torch.no_grad()
    def preview(self):
        """Under held-out panoramas and tone curve: phone, visibility, cover, what is found."""
        made = self.simulator.sample(
            8, Draw(PREVIEW_SEED, self.device), ("photographed_held_out",), held_out_curve=True
        )
        found = torch.sigmoid(cover_logits(made.phone, made.visibility, self.ema.module).float())
        phone, visibility, cover = map(band, (made.phone, made.visibility, made.cover))
        return sheet(phone, visibility, cover, found * (visibility > 0.05))


def _thin(cover):
    """1 where what covers (B, 1, R, R) is too thin for a square of a 32nd of the width: all that glasses are."""
    side = cover.shape[-1] // 32 | 1
    eroded = -F.max_pool2d(-cover, side, 1, side // 2)
    return ((cover > 0.5) & (F.max_pool2d(eroded, side, 1, side // 2) < 0.5)).float()


def train(options: BudgetOptions) -> None:
    clock = Clock(options.seconds)
    stage = CoverStage(options, pick_device())
    train_within(options.run, options.config, clock, stage)
    stage.ema.module.save_pretrained(options.run / "cover_network")


def parse_options(arguments=None) -> BudgetOptions:
    return parse_budget_options("cover", budget_parser("cover", __doc__), arguments)


def main(arguments=None):
    train(parse_options(arguments))
