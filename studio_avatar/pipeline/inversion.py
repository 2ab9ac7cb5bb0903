"""Phone texture → W+: the encoder's code, refined by L-BFGS through the phone generator (§3.1 of the paper).

This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import collections
import dataclasses

import torch
import torch.nn.functional as F

# Gradients of a mean over a picture are too small for float16; a power of two changes no digit of float32.
GRADIENT_SCALE = 1024.0

MEMORY = 50  # pairs of steps and gradient changes that L-BFGS keeps
SUFFICIENT = 1e-4  # share of the decrease that the slope promises which a step must bring (Armijo)
SHORTER = 0.3  # factor on a step that did not


@dataclasses.dataclass(frozen=True)
class Inversion:
    """`w_plus` (1, num_ws, w_dim) float32, refined; `encoded`, the encoder's code it started from; `reconstruction`
    (1, 3, R, R) sRGB in [-1, 1] of `w_plus` by the phone generator."""

    w_plus: torch.Tensor
    encoded: torch.Tensor
    reconstruction: torch.Tensor

    def to(self, device):
        """The same on another device."""
        return Inversion(*(part.to(device) for part in (self.w_plus, self.encoded, self.reconstruction)))


def shrink_observed(rgb, seen, resolution):
    """Area average of the seen texels only. rgb (B, 3, H, W), seen (B, 1, H, W) in [0, 1] → both at `resolution`.

    Colours of never observed texels do not bleed in; where nothing was seen the plain average stands.
    """
    weight = F.adaptive_avg_pool2d(seen, resolution)
    observed = F.adaptive_avg_pool2d(rgb * seen, resolution) / weight.clamp_min(1e-4)
    return torch.where(weight > 1e-3, observed, F.adaptive_avg_pool2d(rgb, resolution)), weight


def largest_around(values, reach):
    """Largest of `values` (B, C, H, W) in the `reach` × `reach` texels around each, an odd number: first along rows."""
    across = F.max_pool2d(values, (1, reach), stride=1, padding=(0, reach // 2))
    return F.max_pool2d(across, (reach, 1), stride=1, padding=(reach // 2, 0))


def reconstruction_loss(picture, rgb, seen):
    """Squared error in [-1, 1] units, a mean over the seen texels and all channels. All (1, C, R, R)."""
    return ((picture - rgb).square() * seen).sum() / (seen.sum() * rgb.shape[1]).clamp_min(1.0)


def _direction(gradient, memory, first_step):
    """Two-loop recursion of L-BFGS (Nocedal & Wright, Numerical Optimization, 2006, algorithm 7.4): (D,) → (D,).

    With no memory yet: down the gradient, by `first_step` in the root mean square.
    """
    direction = -gradient
    if not memory:
        return direction * (first_step / gradient.square().mean().sqrt().clamp_min(1e-12))
    shares = []
    for step, change, curvature in reversed(memory):
        shares.append(step.dot(direction) / curvature)
        direction = direction - shares[-1] * change
    _, change, curvature = memory[-1]
    direction = direction * (curvature / change.dot(change))
    for (step, change, curvature), share in zip(memory, reversed(shares)):
        direction = direction + (share - change.dot(direction) / curvature) * step
    return direction


def minimise(objective, start, num_evaluations, first_step):
    """L-BFGS (algorithm 7.5 of the book) with exactly so many evaluations, for a budget is what a user chooses.

    Full steps are nearly always good ones, so the line search only asks for a decrease; one evaluation, one step.

    Args:
        objective: (D,) → (value, gradient (D,)). start: (D,).
        num_evaluations: at least 1; the first looks at `start`.
        first_step: root mean square of the first step, whose size no curvature tells yet.
    Returns:
        the best point (D,) that was evaluated.
    """
    point, (value, gradient) = start, objective(start)
    memory = collections.deque(maxlen=MEMORY)
    direction, length = _direction(gradient, memory, first_step), 1.0
    for _ in range(num_evaluations - 1):
        step = length * direction
        new_value, new_gradient = objective(point + step)
        if not new_value <= value + SUFFICIENT * gradient.dot(step):  # also when it is not a number
            length *= SHORTER
            continue
        change = new_gradient - gradient
        curvature = step.dot(change)
        if curvature > 1e-8 * change.dot(change):  # else the direction might lead uphill
            memory.append((step, change, curvature))
        point, value, gradient = point + step, new_value, new_gradient
        direction, length = _direction(gradient, memory, first_step), 1.0
    return point


def invert(
    rgb,
    seen,
    encoder,
    generator,
    num_steps=100,
    first_step=0.12,
    completion_weight=0.03,
    manifold_weight=0.003,
    callback=None,
) -> Inversion:
    """Finds the W+ code whose phone texture agrees with what was seen.

    All errors are squared, so smooth: L1 and features brought nothing, and L-BFGS cannot follow their kinks.

    Args:
        rgb: (1, 3, R, R) phone texture at the generator's resolution, sRGB in [-1, 1], in the networks' dtype. The code
            itself is optimised in float32, and losses are taken in it: small differences vanish in float16.
        seen: (1, 1, R, R) in [0, 1]; unseen texels do not count.
        num_steps: pictures made on the way, the first of the encoder's code; 0 and 1 return that code.
        first_step: root mean square of the first move of the code; later ones follow the curvature found.
        completion_weight: pull of unseen texels to the encoder's completion, which is plausible and free of blotches.
        manifold_weight: pull to the Gaussian of the training codes.
        callback: called as `callback(step, num_steps)` after every step.
    """
    with torch.no_grad():
        start = encoder(rgb, seen).float()
        encoded = generator.synthesize(start, noise_mode="const")
        if num_steps == 0:
            return Inversion(start, start, encoded)
        target, completed, weight = rgb.float(), encoded.float(), seen.float()
    steps = iter(range(1, num_steps + 1))

    def objective(code):
        with torch.enable_grad():
            w_plus = code.view_as(start).requires_grad_(True)
            picture = generator.synthesize(w_plus, noise_mode="const").float()
            loss = reconstruction_loss(picture, target, weight)
            loss = loss + completion_weight * ((picture - completed).square() * (1.0 - weight)).mean()
            loss = loss + manifold_weight * encoder.code_distance(w_plus).mean()
            (gradient,) = torch.autograd.grad(GRADIENT_SCALE * loss, [w_plus])
        if callback is not None:
            callback(next(steps), num_steps)
        return loss.detach(), gradient.flatten() / GRADIENT_SCALE

    with torch.no_grad():
        w_plus = minimise(objective, start.flatten(), num_steps, first_step).view_as(start)
        return Inversion(w_plus, start, generator.synthesize(w_plus, noise_mode="const"))
