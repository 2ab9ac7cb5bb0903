"""Stage 1: phone generator and inversion encoder, trained together on partly observed phone textures.

Reconstruction inside the seen mask teaches the generator what faces on phones look like and the encoder where they lie in
W+; a discriminator that sees real and generated textures through observation masks keeps z → w samples and the unseen
parts plausible (the paper's G_phone, Athar et al. 2024, §3.1, on little data).

    accelerate launch -m studio_avatar.training phone --data RUNS/data --run RUNS/phone --config small
"""

from pathlib import Path

import torch
from torch import nn

from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.models.discriminator import Discriminator
from studio_avatar.training import losses
from studio_avatar.training.codes import encoder_codes, save_residuals
from studio_avatar.training.config import PhoneConfig
from studio_avatar.training.datasets import drop_regions, mirror, to_float, to_mask
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
from studio_avatar.training.pairs import load_phone_set


def build_networks(config: PhoneConfig):
    generator = StyleGAN2Generator(
        resolution=config.resolution,
        z_dim=config.w_dim,
        w_dim=config.w_dim,
        channels=config.generator_channels,
    )
    encoder = InversionEncoder(
        resolution=config.resolution,
        num_ws=generator.num_ws,
        w_dim=config.w_dim,
        num_components=config.num_components,
    )
    discriminator = Discriminator(config.resolution, config.discriminator_channels)
    return tuple(net.to(memory_format=torch.channels_last) for net in (generator, encoder, discriminator))


class Autoencoder(nn.Module):
    """Encoder and generator behind one `forward`, as distributed training wants it."""

    def __init__(self, encoder, generator):
        super().__init__()
        self.encoder, self.generator = encoder, generator

    def forward(self, rgb=None, seen=None, residual=None, z=None):
        """Phone texture → (reconstruction, encoder code, code used); or z (B, z_dim) → (sample, w)."""
        if z is not None:
            w_plus = self.generator.style_vectors(z)
            return self.generator.synthesize(w_plus, noise_mode="none"), w_plus[:, 0]
        code = self.encoder(rgb, seen)
        used = code if residual is None else code + residual
        return self.generator.synthesize(used, noise_mode="none"), code, used


class CodeResiduals(nn.Module):
    """One W+ residual a training texture and mirror side: what refinement adds to the encoder at inference.

    Each visit takes one normalized gradient step and hands a share of the residual back to the encoder (as its target).
    """

    def __init__(self, count, num_ws, w_dim, rate, decay):
        super().__init__()
        self.register_buffer("codes", torch.zeros(count, num_ws, w_dim))
        self.rate, self.decay = rate, decay

    def take(self, rows):
        return self.codes[rows].requires_grad_(True)

    @torch.no_grad()
    def update(self, rows, residual, factor, accelerator):
        """One normalized step of the visited codes, shared with all processes. `factor`: of the learning rate schedule."""
        gradient = residual.grad
        step = gradient / gradient.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-12)
        codes = residual * (1.0 - self.decay * factor) - self.rate * factor * step
        rows = accelerator.gather(rows.to(codes.device))
        self.codes[rows] = accelerator.gather(codes)


class PhoneStage:
    def __init__(self, config: PhoneConfig, data: Path, accelerator):
        self.config, self.accelerator, self.draws = config, accelerator, Draws(accelerator)
        self.set = load_phone_set(data, config.resolution, config.pairs)
        generator, encoder, discriminator = build_networks(config)
        autoencoder = Autoencoder(encoder, generator)
        self.ema = EMA(autoencoder.to(accelerator.device), config.ema_decay)
        rate = config.learning_rate
        self.optimizer = torch.optim.Adam(
            [
                {"params": generator.parameters(), "lr": rate},
                {"params": encoder.parameters(), "lr": config.encoder_learning_rate, "betas": (0.9, 0.99)},
            ],
            betas=(0.5, 0.99),
        )
        self.d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=rate, betas=(0.0, 0.99))
        self.residuals = CodeResiduals(
            2 * len(self.set), generator.num_ws, config.w_dim, config.code_learning_rate, config.code_decay
        ).to(accelerator.device)
        self.autoencoder, self.discriminator = autoencoder, discriminator.to(accelerator.device)

    def batch(self, step):
        rows = torch.tensor(batch_indices(len(self.set), step, self.config, self.accelerator))
        rgb, seen = to_float(self.set.rgb[rows]), to_mask(self.set.seen[rows])
        flip = self.draws.rand(len(rows)) < 0.5
        rgb, seen = mirror(rgb, seen, flip=flip)
        device = self.accelerator.device
        layout = {"memory_format": torch.channels_last}
        return rgb.to(device, **layout), seen.to(device, **layout), rows * 2 + flip.long()

    def step(self, step):
        config = self.config
        rgb, seen, rows = self.batch(step)
        residual = self.residuals.take(rows) if config.code_learning_rate else None
        given = seen if residual is not None else drop_regions(seen, config.mask_dropout, self.draws)
        picture, code, used = self.autoencoder(rgb, given, residual)
        l1, mse = losses.masked_l1(picture, rgb, seen), losses.masked_mse(picture, rgb, seen)
        gradient = losses.gradient_loss(picture, rgb, seen)
        total = config.l1_weight * l1 + config.mse_weight * mse + config.gradient_weight * gradient
        if residual is not None:  # the encoder follows the refined codes
            total = total + (code - used.detach()).square().mean()
        log = {"l1": l1.item(), "psnr": (10 * torch.log10(4 / mse)).item(), "gradient": gradient.item()}
        adversarial = config.adversarial_interval and step % config.adversarial_interval == 0
        if adversarial:
            total = total + config.adversarial_weight * self.adversarial_loss(picture, rgb, seen, step, log)
        optimizer_step(self.accelerator, self.optimizer, total)
        if residual is not None:
            factor = self.optimizer.param_groups[0]["lr"] / config.learning_rate
            self.residuals.update(rows, residual, factor, self.accelerator)
        return log

    def adversarial_loss(self, reconstruction, rgb, seen, step, log):
        """Trains the discriminator once, then returns the generator's loss on samples and reconstructions."""
        z = self.draws.randn(len(rgb), self.config.w_dim).to(rgb.device)
        sample, w = self.autoencoder(z=z)
        fakes, fake_masks = torch.cat([sample, reconstruction]), torch.cat([seen, seen])
        real_logits = self.discriminator(rgb, seen)
        loss = losses.discriminator_loss(real_logits, self.discriminator(fakes.detach(), fake_masks))
        log["discriminator"] = loss.item()
        if (step // self.config.adversarial_interval) % self.config.r1_interval == 0:
            penalty = losses.r1_penalty(self.discriminator, rgb, seen)
            loss = loss + 0.5 * self.config.r1_weight * self.config.r1_interval * penalty
        optimizer_step(self.accelerator, self.d_optimizer, loss)
        with torch.no_grad():
            mean = self.accelerator.reduce(w.detach().mean(0), reduction="mean")
            self.autoencoder.generator.mapping.w_avg.lerp_(mean, 0.02)
        with frozen(self.discriminator):
            return losses.generator_loss(self.discriminator(fakes, fake_masks))

    @torch.no_grad()
    def preview(self, step):
        rgb, seen = to_float(self.set.rgb[:8]), to_mask(self.set.seen[:8])
        device = self.accelerator.device
        average = self.ema.module
        picture, _, _ = average(rgb.to(device), seen.to(device))
        z = torch.randn(8, self.config.w_dim, generator=torch.Generator().manual_seed(0)).to(device)
        return sheet(rgb * seen, picture, average(z=z)[0])

    @torch.no_grad()
    def fit_code_prior(self):
        """Mean and principal components of the W+ codes of all training textures and their mirrors."""
        encoder = self.ema.module.encoder
        codes = encoder_codes(encoder, self.set).flatten(1).double()
        _, singular, components = torch.linalg.svd(codes - codes.mean(0), full_matrices=False)
        count = min(len(singular), self.config.num_components)
        encoder.code_mean.copy_(codes.mean(0).view_as(encoder.code_mean))
        encoder.code_components[:count] = components[:count].to(encoder.code_components)
        encoder.code_std[:count] = (singular[:count] / len(codes) ** 0.5).to(encoder.code_std)


def main(arguments=None):
    options = parse_stage_options("phone", __doc__, arguments)
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = PhoneStage(options.config, options.data, accelerator)
    train(
        options.run,
        options.config,
        accelerator,
        modules={
            "autoencoder": stage.autoencoder,
            "discriminator": stage.discriminator,
            "residuals": stage.residuals,
        },
        optimizers={"autoencoder": stage.optimizer, "discriminator": stage.d_optimizer},
        step_function=stage.step,
        emas={"autoencoder_ema": (stage.ema, stage.autoencoder)},
        preview=stage.preview,
    )
    if accelerator.is_main_process:
        stage.fit_code_prior()
        average = stage.ema.module
        average.generator.save_pretrained(options.run / "phone_generator")
        average.encoder.save_pretrained(options.run / "encoder")
        save_residuals(stage.residuals.codes.cpu(), options.run)
