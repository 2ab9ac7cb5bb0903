"""Gradient-guided diffusion super-resolution: studio base → studio texture with the person's own detail.

Flow matching between the up-sampled base plus noise (time 1) and the sharp texture (time 0), i.e. the residual is shifted
along a straight line (flow matching: Lipman et al. 2023; shifting the low-resolution residual: Yue et al., ResShift 2023).
The network is conditioned on the image gradients of the phone texture where it was seen; the same gradients can pull on
the predicted clean texture at sampling (the paper's guidance, Athar et al. 2024, §3.3).
Where the detail is the phone's own, what is coarser than some texels stays what was put in (back projection: Irani and
Peleg 1991).
This file imports nothing of the package: it is also published on the Hub as remote code.

    base ─ bicubic ─► x₁ = base + κ ε ─┐
    ∇ (log phone − light) × base luma ─├─► UNet ─► clean ─► [guidance] ─► back projection ─► velocity ─► scheduler ─► texture
    trust: seen, and off light's edges ┘
"""

import inspect

import numpy as np
import torch
import torch.nn.functional as F

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709 weights, applied to sRGB-encoded values
LIGHT_CELLS = 128  # a side of the texture, over one of which light is smooth
NOISE_SCALE = 0.25  # κ: standard deviation of the noise added to the base, in [-1, 1] units
MAX_GRADIENT = 0.35  # per texel, in [-1, 1] units; larger conditions are soft-limited
LIGHT_EDGE = 0.25  # change of log light over one base texel from which on detail is not trusted
TILE, OVERLAP = 576, 64  # texels; what the network sees at a time at most, and what neighbouring tiles share
CONSISTENT_CELLS = 256  # a side, of 4 texels at least; what is coarser is not changed where it was kept
PATCH = 4  # space-to-depth factor before the UNet
# Straight paths without fresh noise on the way; FlowMatchLCMScheduler's would not be this path's.
FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
# Set to flow sigmas and flow prediction these end where Euler does, within 0.3 levels of 255; DEIS, SASolver and others end
# 3 to 27 levels away.
SET_TO_FLOW = ("UniPCMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler")


def luma(image):
    """(B, 3, H, W) → (B, 1, H, W)."""
    weights = torch.tensor(LUMA, device=image.device, dtype=image.dtype).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def forward_differences(image):
    """(B, C, H, W) → x and y differences, zero in the last column and row."""
    dx = F.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1))
    dy = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    return dx, dy


def divergence(dx, dy):
    """Adjoint (negative) of `forward_differences`: (B, C, H, W)."""
    dx, dy = dx[..., :, :-1], dy[..., :-1, :]
    return F.pad(dx, (0, 1)) - F.pad(dx, (1, 0)) + F.pad(dy, (0, 0, 0, 1)) - F.pad(dy, (0, 0, 1, 0))


def log_luma(image):
    """Logarithm of luma, (B, 1, H, W), of a picture in [-1, 1]: light that scales the picture becomes an offset."""
    return torch.log((luma(image) + 1.0).clamp_min(0.0) * 0.5 + 0.05)


def slow_light(ratio, seen, texel):
    """The part of a log ratio (B, 1, H, W) that is smooth over one base texel: what light explains. Seen texels count.

    texel: side of a base texel in texels of the picture, a multiple of 4.
    """
    step = texel // 2
    weight = F.avg_pool2d(seen, step)
    small = F.avg_pool2d(ratio * seen, step)
    kernel = torch.exp(-0.5 * (torch.arange(-6, 7, device=ratio.device, dtype=ratio.dtype) / 2.0) ** 2)
    kernel = kernel / kernel.sum()
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        small, weight = (F.conv2d(part, kernel.view(shape), padding="same") for part in (small, weight))
    return F.interpolate(
        small / weight.clamp_min(1e-3), ratio.shape[-2:], mode="bilinear", align_corners=False
    )


def detail_gradients(phone, seen, base, texel):
    """The person's detail in the phone texture, at the brightness of the studio base, and how far to trust it.

    log phone − log base is light, detail, and what the base got wrong. Its smooth part is taken for light and subtracted;
    where that changes steeply runs the edge of a shadow or of a highlight, whose rest is no detail of the person: trust
    sinks there. What remains, times the base's luma, is the gradient the studio texture should have, soft-limited.

    Args:
        phone, base: (B, 3, H, W) sRGB in [-1, 1]. seen: (B, 1, H, W) in [0, 1].
        texel: side of a base texel in texels of the picture, a multiple of 4.
    Returns:
        gradients (B, 2, H, W): x and y, in [-1, 1] units per texel; trust (B, 1, H, W) in [0, 1], 0 where unseen.
    """
    phone_log = log_luma(phone)
    light = slow_light(phone_log - log_luma(base), seen, texel)
    light_x, light_y = forward_differences(light)
    steepness = (light_x.square() + light_y.square()).sqrt() * texel  # log units a base texel
    trust = seen * torch.exp(-((steepness / LIGHT_EDGE) ** 2))
    dx, dy = forward_differences(phone_log - light)
    valid_x = trust * F.pad(seen[..., :, 1:], (0, 1))
    valid_y = trust * F.pad(seen[..., 1:, :], (0, 0, 0, 1))
    scale = luma(base) + 1.0 + 0.1
    gradients = torch.cat([dx * scale * valid_x, dy * scale * valid_y], dim=1)
    return MAX_GRADIENT * torch.tanh(gradients / MAX_GRADIENT), trust


def condition(base, gradients, trust):
    """Everything the network is told, (B, 6, H, W): base (3), gradients (2, scaled to about unit size), trust (1)."""
    return torch.cat([base, gradients / MAX_GRADIENT * 4.0, trust * 2.0 - 1.0], dim=1)


def predict_clean(unet, x, time, given):
    """Sharp texture (B, 3, H, W) expected at the end of the path that is at x (B, 3, H, W) at `time` (B,) in [0, 1].

    The network predicts what the base lacks, so that it need not carry the noise through its narrow middle. `given` as
    from `condition`; H and W divide by 4 · 2^(levels - 1).
    """
    patches = F.pixel_unshuffle(torch.cat([x, given], dim=1), PATCH)
    return given[:, :3] + F.pixel_shuffle(unet(patches, time * 1000.0).sample, PATCH)


def tile_side(length, longest, overlap, multiple):
    """Side of the fewest equal tiles of at most `longest` that cover `length`: no texel is computed twice without need.

    multiple: of texels, that the network wants; `longest` is one. 1024 texels are 2 tiles of 544, 2048 are 4 of 560.
    """
    count = max(-(-(length - overlap) // (longest - overlap)), 1)
    return -(-(length + (count - 1) * overlap) // (count * multiple)) * multiple


def tile_starts(length, tile, overlap):
    """First texels of tiles that cover `length` with at least `overlap` shared by neighbours, multiples of 4."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1) / PATCH) * PATCH for i in range(count)]


def tile_window(tile, overlap, like):
    """(1, 1, tile, tile) weights that rise over the overlap, so that neighbouring tiles fade into each other."""
    ramp = (torch.arange(tile, device=like.device, dtype=like.dtype) + 0.5) / overlap
    ramp = torch.minimum(ramp, ramp.flip(0)).clamp_max(1.0)
    return (ramp[:, None] * ramp[None, :])[None, None]


def predict_clean_tiled(unet, x, time, given, longest=TILE, overlap=OVERLAP):
    """`predict_clean` tile by tile: memory is that of one tile. All tiles share the noise in x, so their answers agree."""
    height, width = x.shape[-2:]
    if max(height, width) <= longest:
        return predict_clean(unet, x, time, given)
    multiple = PATCH * 2 ** (len(unet.config.block_out_channels) - 1)
    tile = tile_side(max(height, width), longest, overlap, multiple)
    total, weight = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    window = tile_window(tile, overlap, x)
    for top in tile_starts(height, tile, overlap):
        for left in tile_starts(width, tile, overlap):
            part = (..., slice(top, top + tile), slice(left, left + tile))
            clean = predict_clean(unet, x[part], time, given[part])
            total[part] += clean * window[..., : clean.shape[-2], : clean.shape[-1]]
            weight[part] += window[..., : clean.shape[-2], : clean.shape[-1]]
    return total / weight


def guide(clean, gradients, trust, scale, iterations=8):
    """Pulls the luma gradients of `clean` towards `gradients` where trusted: gradient descent on ½ Σ trust |∇Y − g|²."""
    for _ in range(iterations if scale else 0):
        dx, dy = forward_differences(luma(clean))
        error = divergence(trust * (gradients[:, :1] - dx), trust * (gradients[:, 1:] - dy))
        clean = clean - 0.2 * scale * error
    return clean


def consistent(clean, base, kept):
    """`clean` (B, 3, H, W) without its coarse differences from `base` where that was `kept` (B, 1, H, W) in [0, 1].

    Relit texture is the person there, down to a few texels. The network sharpens it, but shifts the tones of lips, lids and
    brows as well, by which a face is told from another.
    """
    cell = max(base.shape[-1] // CONSISTENT_CELLS, 4)
    coarse = F.avg_pool2d(clean - base, cell, ceil_mode=True)
    return clean - kept * F.interpolate(coarse, base.shape[-2:], mode="bilinear", align_corners=False)


def is_flow_matching(scheduler):
    """Whether a diffusers scheduler walks the straight path from noise to picture that the network was trained on."""
    config, name = scheduler.config, type(scheduler).__name__
    if config.get("stochastic_sampling") or str(config.get("algorithm_type")).startswith("sde"):
        return False  # noise of its own
    flow_set = config.get("use_flow_sigmas") and config.get("prediction_type") == "flow_prediction"
    return name in FLOW_SCHEDULERS or (name in SET_TO_FLOW and bool(flow_set))


def set_timesteps(scheduler, num_inference_steps, device):
    """Equal steps from time 1 to 0; a scheduler that cannot be told its times spaces them itself."""
    if "sigmas" in inspect.signature(scheduler.set_timesteps).parameters:
        sigmas = 1.0 - np.arange(num_inference_steps) / num_inference_steps
        scheduler.set_timesteps(sigmas=sigmas, device=device)
    elif type(scheduler).__name__ == "FlowMatchHeunDiscreteScheduler":
        # Its last corrector would be at time 0.001, where a velocity is a thousand times what the picture changed by.
        last, scheduler.sigma_min = scheduler.sigma_min, 1.0 / num_inference_steps
        scheduler.set_timesteps(num_inference_steps, device)
        scheduler.sigma_min = last
    else:
        scheduler.set_timesteps(num_inference_steps, device)


def upscale(
    base,
    phone,
    seen,
    unet,
    scheduler,
    num_inference_steps=4,
    gradient_guidance_scale=0.0,
    generator=None,
    callback=None,
):
    """Relit texture → studio texture, both (1, 3, H, W) sRGB in [-1, 1].

    Args:
        base: what the relight stage composed. seen: its keep mask: where the detail is the phone's own.
        phone: (1, 3, H, W) phone texture at the output size. seen: (1, 1, H, W) in [0, 1].
        scheduler: a flow-matching scheduler of diffusers: one of `FLOW_SCHEDULERS`, or one of `SET_TO_FLOW` set to flow
            sigmas and flow prediction.
        gradient_guidance_scale: 0 leaves the network alone, which was measured best on simulated captures; 1 trusts the
            phone's gradients fully: crisper where the capture is sharp, but its noise and glasses come along.
        callback: called as `callback(step, steps, sample)`; returns the sample or its replacement. `steps` are network
            calls, of which Heun's scheduler makes nearly two an inference step.
    """
    texel = max(phone.shape[-1] // LIGHT_CELLS // 4 * 4, 4)
    gradients, trust = detail_gradients(phone, seen, base, texel)
    given = condition(base, gradients, trust)
    noise = torch.randn(base.shape, generator=generator, dtype=base.dtype).to(base.device)
    x = base + NOISE_SCALE * noise
    set_timesteps(scheduler, num_inference_steps, base.device)
    for step, timestep in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[step].to(x.dtype)
        clean = predict_clean_tiled(unet, x, sigma.expand(len(x)), given)
        clean = consistent(guide(clean, gradients, trust, gradient_guidance_scale), base, seen)
        x = scheduler.step((x - clean) / sigma, timestep, x).prev_sample
        if callback is not None:
            x = callback(step + 1, len(scheduler.timesteps), x)
    return x.clamp(-1, 1)
