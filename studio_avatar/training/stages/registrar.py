"""The registrar of the capture front end: views of simulated captures and what a perfect fit would add to each place.

Laplace likelihood of the true offsets, cell by cell. Every view is warped anew at every visit by a random smooth field,
which is added to its offsets: the network must read places from the picture, not learn this set of fits by heart.

    accelerate launch -m studio_avatar.training registrar --data RUNS/data --run RUNS/registrar
    accelerate launch -m studio_avatar.training registrar … --set start=weights_card/registrar learning_rate=5e-4 steps=900
"""

import json

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from studio_avatar.errors import InvalidInputError
from studio_avatar.models import Registrar
from studio_avatar.training.config import RegistrarConfig
from studio_avatar.training.datasets import to_float, to_mask
from studio_avatar.training.loop import (
    EMA,
    Draws,
    batch_indices,
    make_accelerator,
    optimizer_step,
    train_network,
)
from studio_avatar.training.options import parse_stage_options

WARP_GRIDS = (3, 5, 9)  # nodes a side of the random warps
MIN_KNOWN = 0.25  # share of a cell's texels whose offset must be known
GAIN, TINT, NOISE = (
    0.25,
    0.08,
    0.02,
)  # spread of random exposure [log], color [log] and noise of the training views


class ViewSet:
    """Views of one split, one row a view: rgb (N, 3, R, R), trust (N, 1, R, R) and known (N, 1, R/4, R/4) uint8, offset
    (N, 2, R/4, R/4) float16.
    """

    def __init__(self, data, split):
        path = data / "views.safetensors"
        if not path.exists():
            raise InvalidInputError(f"{path} is missing: run `python -m studio_avatar.data.prepare` first.")
        items = json.loads(path.with_suffix(".json").read_text())["items"]
        rows = [i for i, item in enumerate(items) if item["split"] == split]
        packed = {name: tensor[rows].flatten(0, 1) for name, tensor in load_file(path).items()}
        self.rgb, self.offset = (packed[name].permute(0, 3, 1, 2) for name in ("rgb", "offset"))
        self.trust, self.known = (packed[name][:, None] for name in ("trust", "known"))

    def __len__(self):
        return len(self.rgb)

    def batch(self, rows):
        """(rgb, trust, offset, known) as float32 in [-1, 1], [0, 1], units and [0, 1]."""
        parts = (
            to_float(self.rgb[rows]),
            to_mask(self.trust[rows]),
            self.offset[rows].float(),
            to_mask(self.known[rows]),
        )
        return tuple(part.contiguous() for part in parts)


class RegistrarStage:
    def __init__(self, options, accelerator):
        config: RegistrarConfig = options.config
        self.config, self.accelerator, self.draws = config, accelerator, Draws(accelerator)
        self.views, self.validation = ViewSet(options.data, "train"), ViewSet(options.data, "validation")
        self.net = Registrar.from_pretrained(config.start) if config.start else Registrar()
        self.net.to(accelerator.device, memory_format=torch.channels_last)
        self.ema = EMA(self.net, config.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def augmented(self, rgb, trust, offset, known):
        """Mirrored, warped, and in another exposure."""
        count = len(rgb)
        flip = (self.draws.rand(count) < 0.5)[:, None, None, None]
        rgb, trust, offset, known = (
            torch.where(flip, part.flip(-1), part) for part in (rgb, trust, offset, known)
        )
        offset = torch.where(flip, offset * torch.tensor([-1.0, 1.0])[:, None, None], offset)
        field = self.warp(count, offset.shape[-1])
        # A warped view shows at t what was at t + field, which truly lies at t + field + offset(t + field).
        offset, known = warped(torch.cat([offset * known, known], 1), field, self.net.config).split((2, 1), 1)
        offset = field + offset / known.clamp_min(1e-3)
        field = F.interpolate(field, rgb.shape[-2:], mode="bilinear", align_corners=False)
        rgb, trust = warped(torch.cat([rgb, trust], 1), field, self.net.config).split((3, 1), 1)
        gain = torch.exp(GAIN * self.draws.randn(count, 1, 1, 1) + TINT * self.draws.randn(count, 3, 1, 1))
        rgb = ((rgb + 1) * gain - 1 + NOISE * self.draws.randn(*rgb.shape)).clamp(-1, 1)
        return rgb, trust, offset, known

    def warp(self, count, side):
        """Smooth random field (count, 2, side, side) in units, of another strength for each sample."""
        field = torch.zeros(count, 2, side, side)
        for nodes in WARP_GRIDS:
            knots = self.draws.randn(count, 2, nodes, nodes) / len(WARP_GRIDS) ** 0.5
            field += F.interpolate(knots, (side, side), mode="bicubic", align_corners=True)
        return self.config.warp * 1.5 * self.draws.rand(count, 1, 1, 1) * field

    def step(self, step):
        rows = torch.tensor(batch_indices(len(self.views), step, self.config, self.accelerator))
        batch = self.augmented(*self.views.batch(rows))
        rgb, trust, offset, known = (part.to(self.accelerator.device) for part in batch)
        loss, error = likelihood(*self.net(channels_last(rgb), trust), offset, known)
        optimizer_step(self.accelerator, self.optimizer, loss)
        log = {"nll": loss.item(), "error": error.item()}
        if step % self.config.validation_interval == 0 or step + 1 == self.config.steps:
            log |= self.validate()
        return log

    @torch.no_grad()
    def validate(self):
        """Median length, in texels of 1024, of the validation views' offsets and of what the network leaves of them."""
        before, after = [], []
        for rows in torch.arange(len(self.validation)).split(16):
            rgb, trust, offset, known = (p.to(self.accelerator.device) for p in self.validation.batch(rows))
            offset, seen = in_cells(offset, known)
            left = offset - self.ema.module(channels_last(rgb), trust)[0]
            before.append(offset.norm(dim=1)[seen[:, 0]])
            after.append(left.norm(dim=1)[seen[:, 0]])
        unit = 1024 * self.net.config.unit
        return {
            "texels_before": unit * torch.cat(before).median().item(),
            "texels": unit * torch.cat(after).median().item(),
        }


def channels_last(images):
    return images.to(memory_format=torch.channels_last)


def warped(images, field, config):
    """images (B, C, H, W) sampled at each place plus `field` (B, 2, H, W), in the registrar's units."""
    identity = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = F.affine_grid(identity, (len(images), 1, *images.shape[-2:]), align_corners=False)
    shift = field.permute(0, 2, 3, 1) * (2.0 * config.unit / config.window[2])
    return F.grid_sample(images, grid + shift, padding_mode="zeros", align_corners=False)


def in_cells(offset, known):
    """Offsets (B, 2, 2h, 2w) averaged over the answer's cells, (B, 2, h, w), and which are known, (B, 1, h, w) bool."""
    share = F.avg_pool2d(known, 2)
    return F.avg_pool2d(offset * known, 2) / share.clamp_min(1e-3), share > MIN_KNOWN


def likelihood(answer, log_scale, offset, known):
    """Mean negative log likelihood of a Laplace distribution in the plane, and the mean error in units."""
    offset, seen = in_cells(offset, known)
    error = (answer - offset).square().sum(1, keepdim=True).add(1e-6).sqrt()
    nll = error * torch.exp(-log_scale) + 2.0 * log_scale
    return nll[seen].mean(), error.detach()[seen].mean()


def main(arguments=None):
    options = parse_stage_options("registrar", __doc__, arguments)
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = RegistrarStage(options, accelerator)
    train_network(options, accelerator, stage, "net", stage.net)
    if accelerator.is_main_process:
        stage.ema.module.save_pretrained(options.run / "registrar")
