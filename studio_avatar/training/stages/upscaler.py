"""The gradient-guided diffusion upscaler (`studio_avatar/pipeline/upscale.py` has the method), from the relight network's
size to the output's.

Crops of simulated captures at the output size, relit by the network that was trained before. Target: the studio texture.
Part of the captures get no gradients, so that one network serves unseen skin too. A critic tells made crops from true ones.

    python -m studio_avatar.training upscaler --budget 90s --pack RUNS/pack.safetensors --relight RUNS/relight \
        --run RUNS/upscaler
"""

from pathlib import Path

import torch

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.draw import Draw
from studio_avatar.models import RelightNetwork
from studio_avatar.pipeline.relight import relight
from studio_avatar.pipeline.upscale import (
    LIGHT_CELLS,
    NOISE_SCALE,
    PATCH,
    condition,
    detail_gradients,
    predict_clean,
)
from studio_avatar.training import losses
from studio_avatar.training.adversary import Adversary
from studio_avatar.training.budget import (
    Clock,
    batch_size,
    descend,
    mixed_precision,
    pick_device,
    train_within,
)
from studio_avatar.training.config import UpscalerConfig
from studio_avatar.training.loop import EMA, sheet
from studio_avatar.training.networks import build_unet
from studio_avatar.training.options import BudgetOptions, budget_parser, parse_budget_options
from studio_avatar.training.packed import BaseMaker, InMixedPrecision, Judges, make_simulator, studio_textures

ROWS, COLUMNS = (0.12, 0.9), (0.05, 0.95)  # of the texture in which crops lie
PREVIEW_SEED = 77


class UpscalerStage:
    def __init__(self, options: BudgetOptions, device):
        config: UpscalerConfig = options.config
        self.config, self.device = config, device
        pack = Pack(options.pack)
        textures = studio_textures(pack, ("studio",), config.resolution)
        self.simulator = make_simulator(pack, textures, config.resolution, config.bank_size, device)
        self.bases = BaseMaker(options.weights, device)
        network = RelightNetwork.from_pretrained(Path(options.more.relight) / "relight_network")
        network = network.float().to(device).eval().requires_grad_(False)
        self.relight_network = InMixedPrecision(network, device)
        self.judges = Judges(pack, None, device)
        self.batch = batch_size(config, device)
        torch.manual_seed(config.seed)
        self.unet = build_unet(config.channels, inputs=9, patch=PATCH, start=config.start)
        self.unet.to(device, memory_format=torch.channels_last)
        self.adversary = Adversary(config.adversarial_weight, config.adversarial_from, device)
        optimizer = torch.optim.AdamW(self.unet.parameters(), lr=config.learning_rate, weight_decay=1e-4)
        self.modules = {"unet": self.unet, "critic": self.adversary.critic}
        self.optimizers = {"unet": optimizer, "critic": self.adversary.optimizer}
        self.ema = EMA(self.unet, config.ema_decay)
        self.emas = {"unet_ema": (self.ema, self.unet)}

    @torch.no_grad()
    def crops(self, count, draw, **sampling):
        """Random (target, relit, gradients, trust) crops, (count, C, crop, crop); trust in [0, 1], the others [-1, 1]."""
        config, masks = self.config, self.simulator.masks
        made = self.simulator.sample(max(count // config.crops_per_capture, 1), draw, **sampling)
        base = self.bases(made.phone, made.visibility, draw, config.code_noise)
        relit = relight(
            base, made.phone, made.visibility, made.lab, self.relight_network, masks.tone_weight, masks.skin
        )
        texture, keep = relit.texture.float().clamp(-1, 1), relit.keep.float()
        keep = keep * ~draw.chance(config.gradient_dropout, len(keep), 1, 1, 1)
        cell = max(config.resolution // LIGHT_CELLS, 4)
        maps = (made.target, texture, *detail_gradients(made.phone, keep, texture, cell))
        corners = [(i % len(texture), *self._corner(draw)) for i in range(count)]
        side = config.crop
        return tuple(
            torch.stack([one[i, :, top : top + side, left : left + side] for i, top, left in corners])
            for one in maps
        )

    def _corner(self, draw):
        """Random top and left of a crop; the texture's, where a crop is as large as the part in which they lie."""
        size, side = self.config.resolution, self.config.crop
        corner = []
        for low, high in (ROWS, COLUMNS):
            first, last = int(size * low), int(size * high) - side
            corner.append(draw.choices.randrange(first, last) if last > first else 0)
        return corner

    def step(self, draw, progress):
        target, relit, gradients, trust = self.crops(self.batch, draw)
        given = condition(relit, gradients, trust)
        start = relit + NOISE_SCALE * draw.normal(*relit.shape)
        time = 1 - 0.98 * draw.uniform(len(relit)) ** 1.5  # denser near the start of sampling
        with mixed_precision(self.device):
            x = torch.lerp(target, start, time.view(-1, 1, 1, 1))
            clean = predict_clean(self.unet, x, time, given).float()
        ones = torch.ones_like(trust)
        l1 = losses.weighted_l1(clean - target, ones)
        gradient = losses.weighted_gradient_l1(clean - target, ones, levels=2)
        perceptual = self.judges.perceptual(clean, target)
        loss = l1 + self.config.gradient_weight * gradient + self.config.perceptual_weight * perceptual
        loss = loss + self.adversary.answer(clean, trust, progress)
        descend(self.optimizers["unet"], loss)
        self.adversary.learn(target, clean, trust, progress)
        before = losses.weighted_gradient_l1(relit - target, ones, levels=2)
        terms = {
            "loss": loss,
            "l1": l1,
            "gradient": gradient,
            "relit_gradient": before,
            "perceptual": perceptual,
        }
        return {name: term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def preview(self):
        """Under held-out panoramas, one step of the averaged network: relit, sharp, truth."""
        draw = Draw(PREVIEW_SEED, self.device)
        target, relit, gradients, trust = self.crops(6, draw, families=("photographed_held_out",))
        start = relit + NOISE_SCALE * draw.normal(*relit.shape)
        time = torch.ones(len(relit), device=self.device)
        clean = predict_clean(self.ema.module, start, time, condition(relit, gradients, trust))
        return sheet(relit, clean, target)


def train(options: BudgetOptions) -> None:
    clock = Clock(options.seconds)
    stage = UpscalerStage(options, pick_device())
    train_within(options.run, options.config, clock, stage)
    stage.ema.module.save_pretrained(options.run / "unet")


def parse_options(arguments=None) -> BudgetOptions:
    parser = budget_parser("upscaler", __doc__)
    parser.add_argument("--relight", type=Path, required=True, help="run folder of the stage relight")
    return parse_budget_options("upscaler", parser, arguments)


def main(arguments=None):
    train(parse_options(arguments))
