"""Stage 2: the studio generator, a copy of the phone generator of which only the layers after 8×8 are trained.

    L = L_adv + L_R1 + λ_pair L_percp_recons + λ1 L_percp + λ2 L_faceID            (Athar et al. 2024, §3.2)

Fakes are G_studio(w+) with w+ from the W+ set of phone textures and mixes of it; reals are the augmented studio set.
Pairs come from the simulator: captures with their true studio texture, and their light moved onto other subjects.

    accelerate launch -m studio_avatar.training studio --data RUNS/data --phone RUNS/phone \
        --identity RUNS/mobilefacenet.safetensors --head weights_card/head --run RUNS/studio --config small
"""

import copy

import torch

from studio_avatar.head.model import HeadModel
from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.models.discriminator import Discriminator
from studio_avatar.models.mobilefacenet import MobileFaceNet
from studio_avatar.training import losses
from studio_avatar.training.codes import load_residuals, phone_codes
from studio_avatar.training.config import StudioConfig
from studio_avatar.training.datasets import join, load_textures, mirror, to_float, to_mask
from studio_avatar.training.face_crop import FaceCrop
from studio_avatar.training.loop import (
    EMA,
    Draws,
    batch_indices,
    frozen,
    make_accelerator,
    optimizer_step,
    sheet,
    train,
)
from studio_avatar.training.options import parse_stage_options
from studio_avatar.training.pairs import load_pairs
from studio_avatar.training.relight import light_ratio, relight

LIGHT_BLUR = 2  # texels at base size: shadows keep their edges, registration errors do not become light


def freeze_up_to(generator, resolution):
    """Leaves only blocks above `resolution` trainable; returns their parameters."""
    generator.requires_grad_(False)
    trained = [block for side, block in generator.blocks.items() if int(side) > resolution]
    for block in trained:
        block.requires_grad_(True)
    return [p for block in trained for p in block.parameters()]


class StudioStage:
    def __init__(self, options, accelerator):
        config: StudioConfig = options.config
        self.config, self.accelerator, self.draws = config, accelerator, Draws(accelerator)
        phone = options.weights["phone"]
        self.phone_generator = StyleGAN2Generator.from_pretrained(phone / "phone_generator").requires_grad_(
            False
        )
        self.encoder = InversionEncoder.from_pretrained(phone / "encoder").eval().requires_grad_(False)
        resolution = self.phone_generator.config.resolution
        self.studio = load_textures(options.data / "studio_augmented.safetensors", resolution, "train")
        portraits = load_textures(options.data / "portraits.safetensors", resolution, "train")
        residuals = load_residuals(phone)
        self.first_pair = len(portraits)  # rows of stage 1: portraits, then as many pairs as it took
        self.pairs = load_pairs(options.data, resolution).rows(range(len(residuals) // 2 - self.first_pair))
        self.codes = phone_codes(self.encoder, join(portraits, self.pairs), residuals)
        head = HeadModel.from_pretrained(options.weights["head"])
        self.crop = FaceCrop(head)
        self.identity = MobileFaceNet.from_file(options.weights["identity"]).to(accelerator.device)
        self.generator = copy.deepcopy(self.phone_generator)
        for net in (self.generator, self.phone_generator, self.encoder):
            net.to(accelerator.device, memory_format=torch.channels_last)
        parameters = freeze_up_to(self.generator, config.frozen_resolution)
        self.ema = EMA(self.generator, config.ema_decay)
        self.discriminator = Discriminator(resolution, config.discriminator_channels).to(accelerator.device)
        self.optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, betas=(0.5, 0.99))
        self.d_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.learning_rate * 2, betas=(0.0, 0.99)
        )

    def pair_codes(self, step):
        """A batch of (W+ codes, true studio textures): stage-1 codes of captures, or encoder codes of relit subjects."""
        device = self.accelerator.device
        rows = torch.tensor(batch_indices(len(self.pairs), step, self.config, self.accelerator))
        flip = self.draws.rand(len(rows)) < 0.5
        rgb, seen = to_float(self.pairs.rgb[rows]), to_mask(self.pairs.seen[rows])
        target = to_float(self.pairs.target[rows])
        ratio = light_ratio(rgb, target, seen, LIGHT_BLUR)
        subject = to_float(self.studio.rgb[self.draws.randint(len(self.studio), (len(rows),))])
        moved = self.draws.rand(len(rows)) < self.config.relight_probability
        chosen = moved[:, None, None, None]
        given = torch.where(chosen, relight(subject, ratio), rgb)
        target = torch.where(chosen, subject, target)
        given, seen, target = mirror(given, seen, target, flip=flip)
        with torch.no_grad():
            fresh = self.encoder(given.to(device), seen.to(device))
        refined = self.codes[(self.first_pair + rows) * 2 + flip.long()].to(device)
        codes = torch.where(moved.to(device)[:, None, None], fresh, refined)
        return codes + self.config.code_noise * self.draws.randn(*codes.shape).to(device), target.to(device)

    def phone_batch(self, count):
        """W+ codes of real and simulated phone textures, half of them mixed: (count, num_ws, w_dim)."""
        first, second = (self.codes[self.draws.randint(len(self.codes), (count,))] for _ in range(2))
        share = self.draws.rand(count, 1, 1) * (self.draws.rand(count, 1, 1) < 0.5)
        return torch.lerp(first, second, share).to(self.accelerator.device)

    def step(self, step):
        config, log = self.config, {}
        codes, target = self.pair_codes(step)
        phone_codes_ = self.phone_batch(len(codes) // 2)
        picture = self.generator.synthesize(torch.cat([codes, phone_codes_]), noise_mode="none")
        paired, fakes = picture[: len(codes)], picture[len(codes) :]
        ones = torch.ones_like(target[:, :1])
        l1 = losses.masked_l1(paired, target, ones)
        gradient = losses.gradient_loss(paired, target, ones)
        perceptual = losses.feature_loss(
            self.identity.features(self.crop(paired)), self.identity.features(self.crop(target))
        )
        total = config.pair_weight * (l1 + config.gradient_weight * gradient + 0.1 * perceptual)
        with torch.no_grad():
            phone = self.crop(self.phone_generator.synthesize(phone_codes_, noise_mode="none"))
        studio = self.crop(fakes)
        structure = losses.feature_loss(self.identity.features(studio), self.identity.features(phone))
        identity = (1 - (self.identity.embed(studio) * self.identity.embed(phone)).sum(1)).mean()
        total = total + config.perceptual_weight * structure + config.identity_weight * identity
        total = total + config.adversarial_weight * self.adversarial_loss(fakes, step, log)
        optimizer_step(self.accelerator, self.optimizer, total)
        values = {"l1": l1, "gradient": gradient, "perceptual": perceptual, "structure": structure}
        return {**{k: v.item() for k, v in values.items()}, "identity": identity.item(), **log}

    def adversarial_loss(self, fakes, step, log):
        """Trains the discriminator on augmented studio textures against `fakes`; returns the generator's loss."""
        rows = self.draws.randint(len(self.studio), (len(fakes),))
        flip = self.draws.rand(len(rows)) < 0.5
        (real,) = mirror(to_float(self.studio.rgb[rows]), flip=flip)
        real = real.to(fakes)
        ones = torch.ones_like(real[:, :1])
        loss = losses.discriminator_loss(
            self.discriminator(real, ones), self.discriminator(fakes.detach(), ones)
        )
        log["discriminator"] = loss.item()
        if step % self.config.r1_interval == 0:
            penalty = losses.r1_penalty(self.discriminator, real, ones)
            loss = loss + 0.5 * self.config.r1_weight * self.config.r1_interval * penalty
        optimizer_step(self.accelerator, self.d_optimizer, loss)
        with frozen(self.discriminator):
            return losses.generator_loss(self.discriminator(fakes, ones))

    @torch.no_grad()
    def preview(self, step):
        device = self.accelerator.device
        rows = torch.linspace(0, len(self.pairs) - 1, 5).long()
        faces = torch.linspace(0, self.first_pair - 1, 5).long()
        codes = torch.cat([self.codes[(self.first_pair + rows) * 2], self.codes[faces * 2]]).to(device)
        phone = self.phone_generator.synthesize(codes, noise_mode="none")
        studio = self.ema.module.synthesize(codes, noise_mode="none")
        truth = torch.cat([to_float(self.pairs.target[rows]), torch.zeros(5, *phone.shape[1:])])
        return sheet(phone, studio, truth)


INPUTS = (
    ("phone", "run folder of train_phone"),
    ("identity", "MobileFaceNet weights (safetensors)"),
    ("head", "the baked head's folder"),
)


def main(arguments=None):
    options = parse_stage_options("studio", __doc__, arguments, INPUTS)
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = StudioStage(options, accelerator)
    train(
        options.run,
        options.config,
        accelerator,
        modules={"generator": stage.generator, "discriminator": stage.discriminator},
        optimizers={"generator": stage.optimizer, "discriminator": stage.d_optimizer},
        step_function=stage.step,
        emas={"generator_ema": (stage.ema, stage.generator)},
        preview=stage.preview,
    )
    if accelerator.is_main_process:
        stage.ema.module.save_pretrained(options.run / "studio_generator")
