"""Stage 5: the gradient-guided diffusion upscaler (`studio_avatar/upscale.py` has the method).

Targets are crops of studio textures at the output size. The base is the texture at base size, softened as G_studio's
outputs are; the gradients are those of the same crop relit by a simulated capture's light, then blurred, shifted, made
noisy and holed as phone textures are. Part of the crops get no gradients, so that one network serves unseen skin too.

    accelerate launch -m studio_avatar.training.train_upscaler --data RUNS/data --run RUNS/upscaler --config small
"""

import torch
import torch.nn.functional as F

from ..upscale import NOISE_SCALE, PATCH, condition, detail_gradients, predict_clean
from . import losses
from .config import UpscalerConfig
from .datasets import load_textures, mirror, to_float, to_mask
from .loop import EMA, Draws, make_accelerator, optimizer_step, sheet, train_network
from .networks import build_unet
from .options import parse_stage_options
from .relight import light_ratio, relight

LIGHT_RESOLUTION = 512
LIGHT_BLUR = 2  # texels at LIGHT_RESOLUTION
BASE_MARGIN = 4  # base texels around a crop, so that bicubic interpolation sees its neighbours


def _blur_samples(images, sigmas):
    """Gaussian blur of (B, C, H, W), one sigma [texels] a sample; one grouped convolution for the batch."""
    batch, channels, height, width = images.shape
    offsets = torch.arange(-5, 6).float()
    kernels = torch.exp(-0.5 * (offsets / sigmas.clamp_min(0.05)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0).to(images)
    flat = F.pad(images.reshape(1, batch * channels, height, width), (5, 5, 5, 5), mode="reflect")
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=batch * channels)
    return F.conv2d(flat, kernels[:, None, :, None], groups=batch * channels).view_as(images)


def _shift_samples(images, shifts):
    """Moves each (C, H, W) of the batch by `shifts` (B, 2) texels (x, y), bilinear, edges reflected."""
    size = torch.tensor([images.shape[-1], images.shape[-2]])
    theta = torch.eye(2, 3).repeat(len(images), 1, 1)
    theta[:, :, 2] = -2.0 * shifts / size
    grid = F.affine_grid(theta, images.shape, align_corners=False).to(images)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


class UpscalerStage:
    def __init__(self, options, accelerator):
        config: UpscalerConfig = options.config
        self.config, self.accelerator, self.draws = config, accelerator, Draws(accelerator)
        self.studio = load_textures(options.data / "studio.safetensors", config.resolution, "train")
        captures = load_textures(options.data / "captures.safetensors", LIGHT_RESOLUTION, "train")
        self.seen = captures.seen
        self.texel = config.resolution // config.base_resolution
        self.ratios = torch.stack([self.ratio_of(captures, i) for i in range(len(captures))])
        self.bases = F.avg_pool2d(self.studio.rgb.float(), config.resolution // config.base_resolution)
        self.unet = build_unet(config.channels, inputs=9, patch=PATCH)
        self.unet.to(accelerator.device, memory_format=torch.channels_last)
        self.ema = EMA(self.unet, config.ema_decay)
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=config.learning_rate, weight_decay=1e-4)

    @staticmethod
    def ratio_of(captures, i):
        rgb, target = to_float(captures.rgb[i : i + 1]), to_float(captures.target[i : i + 1])
        return light_ratio(rgb, target, to_mask(captures.seen[i : i + 1]), LIGHT_BLUR)[0].half()

    def crops(self):
        """Random (target, base, ratio, seen) crops, (B, C, crop, crop): target and base in [-1, 1]."""
        config = self.config
        factor = config.resolution // config.base_resolution
        light_factor = config.resolution // LIGHT_RESOLUTION
        cells, margin = config.crop // factor, BASE_MARGIN
        targets, bases, ratios, masks = [], [], [], []
        batch = config.batch_size // self.accelerator.num_processes
        subjects, lights = (self.draws.randint(len(items), (batch,)).tolist() for items in (self.studio, self.ratios))
        corners = self.draws.randint(config.base_resolution - cells - 2 * margin + 1, (batch, 2)) + margin
        for subject, light, (y, x) in zip(subjects, lights, corners.tolist()):
            rows, columns = (slice(v * factor, (v + cells) * factor) for v in (y, x))
            targets.append(to_float(self.studio.rgb[subject, :, rows, columns]))
            around = (slice(v - margin, v + cells + margin) for v in (y, x))
            bases.append(self.bases[(subject, slice(None), *around)] / 127.5 - 1.0)
            rows, columns = (
                slice(v * factor // light_factor, (v + cells) * factor // light_factor) for v in (y, x)
            )
            ratios.append(self.ratios[light, :, rows, columns].float())
            masks.append(to_mask(self.seen[light, :, rows, columns]))
        base = self.soften(torch.stack(bases), factor)
        up = {"size": (config.crop, config.crop), "mode": "bilinear", "align_corners": False}
        ratio, seen = F.interpolate(torch.stack(ratios), **up), F.interpolate(torch.stack(masks), **up)
        return mirror(torch.stack(targets), base, ratio, seen, flip=self.draws.rand(batch) < 0.5)

    def soften(self, base, factor):
        """Base crops with margin → bicubic up-sampled crops, blurred and shifted a little as G_studio's outputs are."""
        batch = len(base)
        base = _blur_samples(base, self.draws.rand(batch) * 1.2)
        base = _shift_samples(base, self.draws.randn(batch, 2) * 0.25)
        base = base + 0.02 * self.draws.randn(*base.shape) * self.draws.rand(batch, 1, 1, 1)
        base = F.interpolate(base, scale_factor=factor, mode="bicubic", align_corners=False)
        edge = BASE_MARGIN * factor
        return base[..., edge:-edge, edge:-edge].clamp(-1, 1)

    def phone_view(self, target, ratio, seen):
        """The crop as a phone texture shows it: lit, blurred, shifted, noisy, partly unseen. → (phone, seen)"""
        config, batch = self.config, len(target)
        phone = relight(target, ratio)
        phone = _blur_samples(phone, self.draws.rand(batch) * 1.6)
        reach = config.max_misalignment * self.draws.rand(batch, 1) ** 2
        phone = _shift_samples(phone, reach * F.normalize(self.draws.randn(batch, 2), dim=1))
        phone = phone + 0.03 * self.draws.randn(*phone.shape) * self.draws.rand(batch, 1, 1, 1) ** 2
        keep = (self.draws.rand(batch, 1, 1, 1) >= config.gradient_dropout).float()
        full = (self.draws.rand(batch, 1, 1, 1) < 0.5).float()  # half of the crops seen entirely
        return phone.clamp(-1, 1), torch.maximum(seen, full) * keep

    def step(self, step):
        target, base, ratio, seen = self.crops()
        phone, seen = self.phone_view(target, ratio, seen)
        device = self.accelerator.device
        target, base, phone, seen = (t.to(device) for t in (target, base, phone, seen))
        given = condition(base, *detail_gradients(phone, seen, base, self.texel))
        start = base + NOISE_SCALE * self.draws.randn(*base.shape).to(device)
        time = 1.0 - 0.98 * self.draws.rand(len(base)).to(device) ** 1.5  # denser near the start of sampling
        t = time.view(-1, 1, 1, 1)
        x = torch.lerp(target, start, t)
        clean = predict_clean(self.unet, x, time, given)
        ones = torch.ones_like(clean[:, :1])
        loss = losses.masked_l1(clean, target, ones) + losses.gradient_loss(clean, target, ones, levels=2)
        optimizer_step(self.accelerator, self.optimizer, loss)
        gain = 10 * torch.log10((base - target).square().mean() / (clean.detach() - target).square().mean())
        return {"loss": loss.item(), "gain_db": gain.item()}

    @torch.no_grad()
    def preview(self, step):
        target, base, ratio, seen = (t[:4] for t in self.crops())
        phone, seen = self.phone_view(target, ratio, seen)
        given = condition(base, *detail_gradients(phone, seen, base, self.texel))
        start = base + NOISE_SCALE * torch.randn_like(base)
        ones = torch.ones(len(base))
        clean = predict_clean(self.ema.module.cpu(), start, ones, given)
        self.ema.module.to(self.accelerator.device)
        return sheet(phone, base, clean, target)


def main(arguments=None):
    options = parse_stage_options("upscaler", __doc__, arguments)
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = UpscalerStage(options, accelerator)
    train_network(options, accelerator, stage, "unet", stage.unet, stage.preview)
    if accelerator.is_main_process:
        stage.ema.module.save_pretrained(options.run / "unet")


if __name__ == "__main__":
    main()
