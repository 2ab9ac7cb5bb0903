"""The training loop all stages share: accelerate, resumable checkpoints, EMA, TensorBoard, preview sheets.

Every step is seeded by (seed, step), so that a run that was killed and resumed repeats the uninterrupted run, and all random
numbers are drawn for the global batch, so that many processes repeat the run of one.
"""

import contextlib
import copy
import json
import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image

from studio_avatar.errors import StudioAvatarError

from .checkpoint import load_checkpoint, save_checkpoint

MAX_GRADIENT_NORM = (
    1.0  # a precaution: phone runs diverged without it and, before codes were bounded, with it too
)


class TrainingDiverged(StudioAvatarError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""


class EMA:
    """Exponential moving average of a module's weights, used for export."""

    def __init__(self, module, decay):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module, step):
        decay = min(self.decay, (1 + step) / (10 + step))  # short memory at the start
        for mine, other in zip(self.module.parameters(), module.parameters()):
            mine.lerp_(other.to(mine.device), 1.0 - decay)
        for mine, other in zip(self.module.buffers(), module.buffers()):
            mine.copy_(other)


def learning_rate_factor(step, config):
    """Linear warm-up, then a half cosine to zero."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def make_accelerator(run: Path, seed: int = 0):
    """Accelerator logging to `run`; every process starts from the same random numbers, hence the same weights."""
    set_seed(seed)
    # Without `cpu=True` accelerate takes several processes on a machine without accelerator for one each.
    return Accelerator(cpu=not torch.accelerator.is_available(), log_with="tensorboard", project_dir=str(run))


class Draws:
    """Random numbers for the global batch, of which each process gets its share.

    All processes draw alike, because every step is seeded alike; so one process and many see the same samples. Same
    methods as torch's own functions; the first dimension counts this process's samples.
    """

    def __init__(self, accelerator):
        self.index, self.count = accelerator.process_index, accelerator.num_processes

    def rand(self, samples, *shape):
        return torch.rand(samples * self.count, *shape)[self.index :: self.count]

    def randn(self, samples, *shape):
        return torch.randn(samples * self.count, *shape)[self.index :: self.count]

    def randint(self, high, shape):
        samples, *rest = shape
        return torch.randint(high, (samples * self.count, *rest))[self.index :: self.count]


def batch_indices(count, step, config, accelerator):
    """Indices of this process's share of the global batch: shuffled epochs, a pure function of (seed, step)."""
    positions = range(step * config.batch_size, (step + 1) * config.batch_size)
    indices = []
    for position in positions:
        epoch, offset = divmod(position, count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(config.seed * 100003 + epoch))
        indices.append(int(order[offset]))
    return indices[accelerator.process_index :: accelerator.num_processes]


def train(run, config, accelerator, modules, optimizers, step_function, emas=None, preview=None):
    """Runs `step_function(step) -> dict of floats` for `config.steps` steps.

    Args:
        modules: name → module, all that must be resumed. `emas`: name → (EMA, its source module).
        optimizers: name → optimizer; each keeps its own base learning rate times the common schedule.
        preview: called as `preview(step)` → uint8 (H, W, 3) array, written to `run/preview_*.png`.
    """
    emas = emas or {}
    saved = {**modules, **{name: ema.module for name, (ema, _) in emas.items()}}
    base_rates = {name: [g["lr"] for g in opt.param_groups] for name, opt in optimizers.items()}
    start = load_checkpoint(run / "checkpoint", saved, optimizers)
    accelerator.init_trackers("tensorboard")
    accelerator.print(f"{run.name}: from step {start} of {config.steps}")
    last_save, tick, done = time.time(), time.time(), start
    for step in range(start, config.steps):
        set_seed(config.seed * 1_000_003 + step)
        factor = learning_rate_factor(step, config)
        for name, optimizer in optimizers.items():
            for group, rate in zip(optimizer.param_groups, base_rates[name]):
                group["lr"] = rate * factor
        losses = step_function(step)
        losses = mean_losses(accelerator, losses)
        if not all(math.isfinite(v) for v in losses.values()):
            raise TrainingDiverged(
                f"A loss is not finite at step {step} ({losses}); the last checkpoint is kept."
            )
        for ema, module in emas.values():
            ema.update(module, step)
        if step % 25 == 0:
            rate = (step + 1 - done) * config.batch_size / max(1e-6, time.time() - tick)
            tick, done = time.time(), step + 1
            accelerator.log(losses, step=step)
            text = " ".join(f"{k} {v:.4f}" for k, v in losses.items())
            accelerator.print(f"step {step} {rate:.1f} samples/s {text}", flush=True)
        is_last = step + 1 == config.steps
        if not accelerator.is_main_process:
            continue
        if preview and (is_last or step % config.preview_steps == 0):
            Image.fromarray(preview(step)).save(run / f"preview_{step:06d}.png")
        if is_last or time.time() - last_save > config.checkpoint_minutes * 60:
            save_checkpoint(run / "checkpoint", step + 1, saved, optimizers)
            last_save = time.time()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if accelerator.is_main_process:
        (run / "finished.json").write_text(json.dumps({"steps": config.steps}))


def train_network(options, accelerator, stage, name, network, preview=None):
    """`train` for a stage with one network, one optimizer (`stage.optimizer`) and one average (`stage.ema`).

    name: of all three in the checkpoint.
    """
    train(
        options.run,
        options.config,
        accelerator,
        modules={name: network},
        optimizers={name: stage.optimizer},
        step_function=stage.step,
        emas={f"{name}_ema": (stage.ema, network)},
        preview=preview,
    )


def mean_losses(accelerator, losses):
    """Mean of each logged value over the processes."""
    if accelerator.num_processes == 1:
        return losses
    values = torch.tensor(list(losses.values()), dtype=torch.float64, device=accelerator.device)
    return dict(zip(losses, accelerator.reduce(values, reduction="mean").tolist()))


def average_gradients(accelerator, parameters):
    """Mean gradient over the processes, one message for all parameters.

    Instead of `DistributedDataParallel`, whose hooks do not fit steps in which one network runs several times and some
    parameters not at all.
    """
    if accelerator.num_processes == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(mean.view_as(gradient))


def optimizer_step(accelerator, optimizer, loss):
    """Backward, gradient averaging over the processes, clipping, one optimizer step, gradients cleared."""
    accelerator.backward(loss)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    average_gradients(accelerator, parameters)
    torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@contextlib.contextmanager
def frozen(*modules):
    """Parameters of `modules` need no gradient inside."""
    flags = [(p, p.requires_grad) for m in modules for p in m.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def sheet(*rows):
    """Rows of (B, 3, H, W) images in [-1, 1] (or (B, 1, H, W) masks in [0, 1]) → one uint8 (H', W', 3) picture."""
    lines = []
    for row in rows:
        row = row.detach().float().cpu()
        row = (row * 2 - 1).expand(-1, 3, -1, -1) if row.shape[1] == 1 else row
        lines.append(torch.cat(list(row.clamp(-1, 1)), dim=2))
    picture = torch.cat(lines, dim=1).permute(1, 2, 0)
    return ((picture + 1) * 127.5).round().to(torch.uint8).numpy()
