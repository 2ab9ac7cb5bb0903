"""Stage 5: the gradient-guided diffusion upscaler (`studio_avatar/pipeline/upscale.py` has the method).

Crops of simulated captures that went through the real capture code at the output size. Target: the true studio texture
through the capture's own registration (`true_places.py`), so that the detail to be made lies where the phone texture shows
it; what the phone texture shows besides (shadows, highlights, glasses, noise) is not in it. The base is the one the networks
before this stage make of the same capture, or the true texture's average; where its tone is off, the target's is moved to
it. The phones are of every quality: the simulated one, or mixed with a sharper one. Part of the crops get no gradients, so
that one network serves unseen skin too.

    accelerate launch -m studio_avatar.training upscaler --data RUNS/data --phone RUNS/phone --studio RUNS/studio \
        --tone RUNS/tone --carry-over RUNS/carry_over --run RUNS/upscaler
"""

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel

from studio_avatar.models import InversionEncoder, StyleGAN2Generator, ToneEstimator
from studio_avatar.pipeline.carry_over import carry_over
from studio_avatar.pipeline.inversion import shrink_observed
from studio_avatar.pipeline.upscale import (
    NOISE_SCALE,
    PATCH,
    condition,
    detail_gradients,
    forward_differences,
    luma,
    predict_clean,
)
from studio_avatar.training import losses
from studio_avatar.training.config import UpscalerConfig
from studio_avatar.training.datasets import TextureSet, load_textures, mirror, to_float, to_mask
from studio_avatar.training.loop import EMA, Draws, make_accelerator, optimizer_step, sheet, train_network
from studio_avatar.training.networks import build_unet
from studio_avatar.training.options import parse_stage_options
from studio_avatar.training.relight import light_ratio, relight

MARGIN = 4  # base texels around a crop: what bicubic interpolation and the light's estimate see beyond it
CENTRES = (
    (0.22, 0.15),
    (0.66, 0.7),
)  # the crops' middles, rows and columns over the size: from, and how far; the face
LIGHT_BLUR = 3  # texels: what a capture's light is averaged over where a better phone is imitated
VALIDATION_CROPS = 24


class UpscalerStage:
    def __init__(self, options, accelerator):
        config: UpscalerConfig = options.config
        self.config, self.accelerator, self.draws = config, accelerator, Draws(accelerator)
        self.texel = config.resolution // config.base_resolution
        makers = BaseMaker(options.weights, accelerator.device)
        self.captures = Captures(options.data, "train", config, makers)
        self.validation = Captures(options.data, "validation", config, makers)
        self.unet = build_unet(config.channels, inputs=9, patch=PATCH)
        if config.start:
            self.unet.load_state_dict(UNet2DModel.from_pretrained(config.start).state_dict())
        self.unet.to(accelerator.device, memory_format=torch.channels_last)
        self.ema = EMA(self.unet, config.ema_decay)
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=config.learning_rate, weight_decay=1e-4)

    def crops(self, captures, batch, draws):
        """Random (target, base, gradients, trust) crops, (batch, C, crop, crop) in [-1, 1]; trust in [0, 1]."""
        config, texel = self.config, self.texel
        cells = config.crop // texel + 2 * MARGIN
        rows = draws.randint(len(captures.bases), (batch,)).tolist()
        centres = torch.tensor(CENTRES[0]) + draws.rand(batch, 2) * torch.tensor(CENTRES[1])
        corners = (centres * config.base_resolution - cells / 2).round().long()
        corners = corners.clamp(0, config.base_resolution - cells).tolist()
        from_truth = (draws.rand(batch) < config.true_base).tolist()
        parts = [captures.crop(*choice, cells) for choice in zip(rows, corners, from_truth)]
        parts = mirror(*(torch.stack(part) for part in zip(*parts)), flip=draws.rand(batch) < 0.5)
        truth, phone, seen, base, average = parts
        target = (truth + F.interpolate(slow(base - average), scale_factor=texel, mode="bilinear")).clamp(
            -1, 1
        )
        phone = self.better_phone(phone, seen, truth, draws)
        phone, seen = self.degrade(phone, seen, draws)
        base = F.interpolate(base, scale_factor=texel, mode="bicubic", align_corners=False).clamp(-1, 1)
        gradients, trust = detail_gradients(phone, seen, base, texel)
        edge = MARGIN * texel
        cut = (..., slice(edge, -edge), slice(edge, -edge))
        return target[cut], base[cut], gradients[cut], trust[cut]

    def better_phone(self, phone, seen, truth, draws):
        """Captures of every quality: some crops are mixed with what a sharp phone shows of the truth in the same light.

        The simulated phones lose much of the detail. A network that saw only them would trust no phone.
        """
        batch = len(phone)
        sharp = relight(truth, light_ratio(phone, truth, seen, LIGHT_BLUR))
        sharp = blur_samples(sharp, 1.6 * draws.rand(batch) ** 2)
        share = draws.rand(batch, 1, 1, 1) * (draws.rand(batch, 1, 1, 1) < self.config.better_phones)
        return torch.lerp(phone, sharp, share.sqrt())

    def degrade(self, phone, seen, draws):
        """More noise than the simulated phone's for some crops, and none of the phone texture for others."""
        batch = len(phone)
        phone = phone + 0.03 * draws.randn(*phone.shape) * draws.rand(batch, 1, 1, 1) ** 3
        keep = (draws.rand(batch, 1, 1, 1) >= self.config.gradient_dropout).float()
        return phone.clamp(-1, 1), seen * keep

    def step(self, step):
        config, device = self.config, self.accelerator.device
        batch = config.batch_size // self.accelerator.num_processes
        parts = self.crops(self.captures, batch, self.draws)
        target, base, gradients, trust = (part.to(device) for part in parts)
        given = condition(base, gradients, trust)
        start = base + NOISE_SCALE * self.draws.randn(*base.shape).to(device)
        time = 1.0 - 0.98 * self.draws.rand(len(base)).to(device) ** 1.5  # denser near the start of sampling
        x = torch.lerp(target, start, time.view(-1, 1, 1, 1))
        clean = predict_clean(self.unet, x, time, given)
        ones = torch.ones_like(trust)
        loss = losses.masked_l1(clean, target, ones)
        loss = loss + config.gradient_weight * losses.gradient_loss(clean, target, ones, levels=2)
        optimizer_step(self.accelerator, self.optimizer, loss)
        log = {"loss": loss.item(), "gain_db": gain_db(clean.detach(), base, target)}
        if step % config.validation_interval == 0 or step + 1 == config.steps:
            log |= self.validate()
        return log

    def fixed_crops(self):
        """The same crops of validation people every time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return self.crops(self.validation, VALIDATION_CROPS, torch)

    @torch.no_grad()
    def validate(self):
        """How much nearer than bicubic one step brings validation people, and its gradients' correlation with the truth."""
        target, base, gradients, trust = self.fixed_crops()
        clean = self.predict(base, gradients, trust)
        return {
            "validation_gain_db": gain_db(clean, base, target),
            "validation_correlation": gradient_correlation(clean, target, trust),
            "bicubic_correlation": gradient_correlation(base, target, trust),
        }

    def predict(self, base, gradients, trust):
        """One step of the averaged network from the start of sampling; on the CPU."""
        device, answers = self.accelerator.device, []
        noise = torch.randn(base.shape, generator=torch.Generator().manual_seed(0))
        for rows in torch.arange(len(base)).split(8):
            given = condition(base[rows], gradients[rows], trust[rows]).to(device)
            start = (base[rows] + NOISE_SCALE * noise[rows]).to(device)
            answers.append(
                predict_clean(self.ema.module, start, torch.ones(len(rows), device=device), given).cpu()
            )
        return torch.cat(answers)

    @torch.no_grad()
    def preview(self, step):
        target, base, gradients, trust = (part[:6] for part in self.fixed_crops())
        return sheet(
            2.0 * gradients[:, :1].expand(-1, 3, -1, -1), base, self.predict(base, gradients, trust), target
        )


class BaseMaker:
    """The networks before this stage, from their run folders."""

    def __init__(self, runs, device):
        self.device = device
        self.encoder = InversionEncoder.from_pretrained(runs["phone"] / "encoder").to(device).eval()
        self.generator = StyleGAN2Generator.from_pretrained(runs["studio"] / "studio_generator").to(device)
        self.tone = ToneEstimator.from_pretrained(runs["tone"] / "tone_estimator").to(device)
        self.unet = UNet2DModel.from_pretrained(runs["carry-over"] / "carry_over").to(device).eval()

    @torch.no_grad()
    def bases(self, rgb, seen):
        """Phone textures (B, 3, H, W) and seen masks (B, 1, H, W), floats → studio bases (B, 3, R, R)."""
        rgb, seen = shrink_observed(
            rgb.to(self.device), seen.to(self.device), self.generator.config.resolution
        )
        base = self.generator.synthesize(self.encoder(rgb, seen), noise_mode="const").clamp(-1, 1)
        lab, _ = self.tone.estimate(rgb, seen)
        return carry_over(base, rgb, seen, lab, self.unet, self.tone.tone_weight, self.tone.skin).cpu()


class Captures:
    """Simulated captures of one split at the output size with their studio bases."""

    def __init__(self, data, split, config, makers: BaseMaker):
        self.set: TextureSet = load_textures(data / "details.safetensors", config.resolution, split)
        self.texel = config.resolution // config.base_resolution
        rows = torch.arange(len(self.set)).split(4)
        bases = [makers.bases(to_float(self.set.rgb[r]), to_mask(self.set.seen[r])) for r in rows]
        averages = [F.avg_pool2d(to_float(self.set.target[r]), self.texel) for r in rows]
        self.bases, self.averages = torch.cat(bases), torch.cat(averages)

    def crop(self, row, corner, from_truth, cells):
        """(target, phone, seen, base, the target's average) at `corner` (row, column) and `cells` wide, in base texels."""
        fine, coarse = (
            tuple(slice(v * unit, (v + cells) * unit) for v in corner) for unit in (self.texel, 1)
        )
        average = self.averages[(row, slice(None), *coarse)]
        base = average if from_truth else self.bases[(row, slice(None), *coarse)]
        target, phone = (
            to_float(part[(row, slice(None), *fine)]) for part in (self.set.target, self.set.rgb)
        )
        return target, phone, to_mask(self.set.seen[(row, slice(None), *fine)]), base, average


def slow(difference):
    """The part of a difference at base size (B, 3, h, w) that is tone, not detail, and no business of the upscaler."""
    return F.avg_pool2d(difference, 5, stride=1, padding=2, count_include_pad=False)


def blur_samples(images, sigmas):
    """Gaussian blur of (B, C, H, W), one sigma [texels] a sample; one grouped convolution for the batch."""
    batch, channels, height, width = images.shape
    offsets = torch.arange(-5, 6).float()
    kernels = torch.exp(-0.5 * (offsets / sigmas.clamp_min(0.05)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0).to(images)
    flat = F.pad(images.reshape(1, batch * channels, height, width), (5, 5, 5, 5), mode="reflect")
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=batch * channels)
    return F.conv2d(flat, kernels[:, None, :, None], groups=batch * channels).view_as(images)


def gain_db(clean, base, target):
    """By how much the squared error falls, in decibels."""
    return (10 * torch.log10((base - target).square().mean() / (clean - target).square().mean())).item()


def gradient_correlation(one, other, trust):
    """Pearson correlation of luma gradients where trusted."""
    where = (trust > 0.5).expand(-1, 2, -1, -1)
    pair = [torch.cat(forward_differences(luma(image)), 1)[where] for image in (one, other)]
    return torch.corrcoef(torch.stack(pair))[0, 1].item()


INPUTS = (
    ("phone", "run folder of train_phone"),
    ("studio", "run folder of train_studio"),
    ("tone", "run folder of train_tone"),
    ("carry-over", "run folder of train_carry_over"),
)


def main(arguments=None):
    options = parse_stage_options("upscaler", __doc__, arguments, INPUTS)
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = UpscalerStage(options, accelerator)
    train_network(options, accelerator, stage, "unet", stage.unet, stage.preview)
    if accelerator.is_main_process:
        stage.ema.module.save_pretrained(options.run / "unet")
