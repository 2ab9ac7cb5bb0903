"""Gradient-guided diffusion super-resolution: studio base → studio texture with the person's own detail.

Flow matching between the up-sampled base plus noise (time 1) and the sharp texture (time 0), i.e. the residual is shifted
along a straight line (flow matching: Lipman et al. 2023; shifting the low-resolution residual: Yue et al., ResShift 2023).
The network is conditioned on the image gradients of the phone texture where it was seen; the same gradients can pull on
the predicted clean texture at sampling (the paper's guidance, Athar et al. 2024, §3.3).
This file imports nothing of the package: it is also published on the Hub as remote code.

    base ─ bicubic ─► x₁ = base + κ ε ─┐
    ∇ log-luma of the phone × base luma├─► UNet ─► clean ─► [guidance] ─► velocity ─► scheduler step ─► texture
    seen mask ─────────────────────────┘
"""

import inspect

import numpy as np
import torch
import torch.nn.functional as F

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709 weights, applied to sRGB-encoded values
NOISE_SCALE = 0.25  # κ: standard deviation of the noise added to the base, in [-1, 1] units
MAX_GRADIENT = 0.35  # per texel, in [-1, 1] units; larger conditions are soft-limited
PATCH = 4  # space-to-depth factor before the UNet
# Straight paths without fresh noise on the way; FlowMatchLCMScheduler's would not be this path's.
FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")


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


def phone_gradients(phone, seen, base):
    """Detail the phone saw, at the brightness of the studio base.

    The gradient of log-luma does not change when smooth light scales the picture; multiplied by the base's luma it is the
    gradient the studio texture should have. Values are soft-limited: what is steeper is a light or occlusion edge.

    Args:
        phone, base: (B, 3, H, W) sRGB in [-1, 1]. seen: (B, 1, H, W) in [0, 1].
    Returns:
        (B, 2, H, W): x and y gradient in [-1, 1] units per texel, zero where either texel is unseen.
    """
    log_luma = torch.log((luma(phone) + 1.0).clamp_min(0.0) * 0.5 + 0.05)
    scale = luma(base) + 1.0 + 0.1
    dx, dy = forward_differences(log_luma)
    valid_x = seen * F.pad(seen[..., :, 1:], (0, 1))
    valid_y = seen * F.pad(seen[..., 1:, :], (0, 0, 0, 1))
    gradients = torch.cat([dx * scale * valid_x, dy * scale * valid_y], dim=1)
    return MAX_GRADIENT * torch.tanh(gradients / MAX_GRADIENT)


def condition(base, gradients, seen):
    """Everything the network is told, (B, 6, H, W): base (3), gradients (2, scaled to about unit size), seen (1)."""
    return torch.cat([base, gradients / MAX_GRADIENT * 4.0, seen * 2.0 - 1.0], dim=1)


def predict_clean(unet, x, time, given):
    """Sharp texture (B, 3, H, W) expected at the end of the path that is at x (B, 3, H, W) at `time` (B,) in [0, 1].

    The network predicts what the base lacks, so that it need not carry the noise through its narrow middle. `given` as
    from `condition`; H and W divide by 4 · 2^(levels - 1).
    """
    patches = F.pixel_unshuffle(torch.cat([x, given], dim=1), PATCH)
    return given[:, :3] + F.pixel_shuffle(unet(patches, time * 1000.0).sample, PATCH)


def guide(clean, gradients, seen, scale, iterations=8):
    """Pulls the luma gradients of `clean` towards `gradients` where seen: gradient descent on ½ Σ seen |∇Y − g|²."""
    for _ in range(iterations if scale else 0):
        dx, dy = forward_differences(luma(clean))
        error = divergence(seen * (gradients[:, :1] - dx), seen * (gradients[:, 1:] - dy))
        clean = clean - 0.2 * scale * error
    return clean


def is_flow_matching(scheduler):
    """Whether a diffusers scheduler walks the straight path from noise to picture that the network was trained on."""
    config = scheduler.config
    flow_set = config.get("use_flow_sigmas") and config.get("prediction_type") == "flow_prediction"
    return type(scheduler).__name__ in FLOW_SCHEDULERS or bool(flow_set)


def set_timesteps(scheduler, num_inference_steps, device):
    """Equal steps from time 1 to 0; a scheduler that cannot be told its times spaces them itself."""
    if "sigmas" in inspect.signature(scheduler.set_timesteps).parameters:
        scheduler.set_timesteps(sigmas=1.0 - np.arange(num_inference_steps) / num_inference_steps, device=device)
    else:
        scheduler.set_timesteps(num_inference_steps, device=device)


def upscale(
    base,
    phone,
    seen,
    unet,
    scheduler,
    num_inference_steps=4,
    gradient_guidance_scale=0.5,
    generator=None,
    callback=None,
):
    """Studio base (1, 3, r, r) → studio texture (1, 3, H, W), both sRGB in [-1, 1].

    Args:
        phone: (1, 3, H, W) phone texture at the output size. seen: (1, 1, H, W) in [0, 1].
        scheduler: a flow-matching scheduler of diffusers: one of `FLOW_SCHEDULERS`, or a multistep one (UniPC, DPM-Solver)
            set to flow sigmas and flow prediction.
        gradient_guidance_scale: 0 leaves the network alone; 1 trusts the phone's gradients fully.
        callback: called as `callback(step, steps, sample)`; returns the sample or its replacement. `steps` are network
            calls, of which Heun's scheduler makes nearly two an inference step.
    """
    size = phone.shape[-2:]
    base = F.interpolate(base, size, mode="bicubic", align_corners=False).clamp(-1, 1)
    gradients = phone_gradients(phone, seen, base)
    given = condition(base, gradients, seen)
    noise = torch.randn(base.shape, generator=generator, dtype=base.dtype).to(base.device)
    x = base + NOISE_SCALE * noise
    set_timesteps(scheduler, num_inference_steps, base.device)
    for step, timestep in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[step].to(x.dtype)
        clean = predict_clean(unet, x, sigma.expand(len(x)), given)
        clean = guide(clean, gradients, seen, gradient_guidance_scale)
        x = scheduler.step((x - clean) / sigma, timestep, x).prev_sample
        if callback is not None:
            x = callback(step + 1, len(scheduler.timesteps), x)
    return x.clamp(-1, 1)
