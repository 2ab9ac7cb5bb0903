"""The baseline every method must beat: a plain image-to-image UNet from phone texture to studio texture, on the same pairs.

A UNet on 2×2 patches, L1 and gradients, without generators, tone or face features. It is
part of no pipeline: the evaluation takes it with --plain-unet.

    accelerate launch -m studio_avatar.training plain_unet --data RUNS/data --run RUNS/plain_unet
"""

import torch
import torch.nn.functional as F

from studio_avatar.training import losses
from studio_avatar.training.config import PlainUNetConfig
from studio_avatar.training.datasets import to_float, to_mask
from studio_avatar.training.loop import EMA, make_accelerator, optimizer_step, sheet, train_network
from studio_avatar.training.networks import build_unet
from studio_avatar.training.options import parse_stage_options
from studio_avatar.training.pairs import load_pairs, pair_batch

PATCH = 2  # space-to-depth factor before the UNet


def translate(unet, phone, seen):
    """Phone texture (B, 3, R, R) in [-1, 1], seen (B, 1, R, R) → studio texture (B, 3, R, R) in [-1, 1]."""
    patches = F.pixel_unshuffle(torch.cat([phone * seen, seen * 2.0 - 1.0], dim=1), PATCH)
    return F.pixel_shuffle(unet(patches, torch.zeros(len(phone), device=phone.device)).sample, PATCH)


class PlainUNetStage:
    def __init__(self, options, accelerator):
        config: PlainUNetConfig = options.config
        self.config, self.accelerator = config, accelerator
        self.pairs = load_pairs(options.data, config.resolution)
        self.validation = load_pairs(options.data, config.resolution, "validation")
        self.unet = build_unet(config.channels, inputs=4, patch=PATCH)
        self.unet.to(accelerator.device, memory_format=torch.channels_last)
        self.ema = EMA(self.unet, config.ema_decay)
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=config.learning_rate, weight_decay=1e-4)

    def step(self, step):
        phone, seen, target = pair_batch(self.pairs, step, self.config, self.accelerator)
        picture = translate(self.unet, phone, seen)
        ones = torch.ones_like(seen)
        l1, gradient = losses.masked_l1(picture, target, ones), losses.gradient_loss(picture, target, ones)
        optimizer_step(self.accelerator, self.optimizer, l1 + self.config.gradient_weight * gradient)
        return {"l1": l1.item(), "gradient": gradient.item()}

    @torch.no_grad()
    def preview(self, step):
        device, rows = self.accelerator.device, slice(0, 12)
        phone, seen = to_float(self.validation.rgb[rows]), to_mask(self.validation.seen[rows])
        picture = translate(self.ema.module, phone.to(device), seen.to(device))
        return sheet(phone, picture, to_float(self.validation.target[rows]))


def main(arguments=None):
    options = parse_stage_options("plain_unet", __doc__, arguments)
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = PlainUNetStage(options, accelerator)
    train_network(options, accelerator, stage, "unet", stage.unet, stage.preview)
    if accelerator.is_main_process:
        stage.ema.module.save_pretrained(options.run / "plain_unet")
