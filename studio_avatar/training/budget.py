"""Training within a budget of time: as many steps as the device makes of it, resumable.

The schedules follow the share of the budget that is spent, so that a run ends well wherever it runs. A run that was killed
goes on from its last checkpoint, with the seconds trained so far counted; with a larger budget it goes on, too.
"""

import json
import math
import os
import re
import time
from pathlib import Path

import torch
from PIL import Image

from studio_avatar.data.simulate.draw import Draw
from studio_avatar.data.simulate.precision import fast_dtype
from studio_avatar.errors import InvalidInputError

from .checkpoint import load_progress, save_checkpoint
from .loop import MAX_GRADIENT_NORM, TrainingDiverged

WARM_UP = 0.02  # share of the schedule over which the learning rate rises
UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> float:
    """ "90s", "8m", "2h", "1.5h" → seconds.

    Raises:
        InvalidInputError: it is something else, or nothing.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not match or float(match[1]) == 0:
        raise InvalidInputError(f"A budget is written like 90s, 8m or 2h, not {text!r}.")
    return float(match[1]) * UNITS[match[2]]


def pick_device() -> torch.device:
    """The accelerator of this machine, or its CPU; on CUDA, with its fast settings.

    Raises:
        InvalidInputError: several processes were launched, which would all write the same run.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidInputError(
            "Stages with a budget train in one process: start them with python -m, not accelerate."
        )
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    )


def mixed_precision(device):
    """bfloat16 where it is faster: on CUDA, and on CPUs that have it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast_dtype(device) == torch.bfloat16)


def batch_size(config, device) -> int:
    return config.cpu_batch_size if device.type == "cpu" else config.batch_size


class Clock:
    """The budget [seconds] of a stage, running from now on: making it ready is part of it."""

    def __init__(self, budget: float):
        self.budget, self.before, self.start = budget, 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Trained so far, runs before this one included."""
        return self.before + time.monotonic() - self.start

    @property
    def is_over(self) -> bool:
        return self.seconds >= self.budget


def learning_rate_factor(progress: float) -> float:
    """Linear rise, then a half cosine from 1 to 0; `progress` in [0, 1]."""
    return min(progress / WARM_UP, 1.0) * (0.5 + 0.5 * math.cos(math.pi * progress))


def train_within(run: Path, config, clock: Clock, stage) -> int:
    """Train until the budget or `config.steps` are over; returns the steps made in all.

    stage: has `modules` and `optimizers`, dicts by name, all that must be resumed; `emas`, name → (EMA, its source module);
    `step(draw, progress) -> dict` of losses, which calls the optimizers; `preview() -> uint8 (H, W, 3)`.
    Every step draws from a seed of its own, so that a resumed run goes on as an uninterrupted one would.

    Raises:
        TrainingDiverged: a loss became NaN or infinite; the last good checkpoint is kept.
        InvalidInputError: the budget was over before the first step.
    """
    saved = {**stage.modules, **{name: ema.module for name, (ema, _) in stage.emas.items()}}
    rates = {o: [group["lr"] for group in o.param_groups] for o in stage.optimizers.values()}
    step, clock.before = load_progress(run / "checkpoint", saved, stage.optimizers)
    print(f"{run.name}: from step {step}, {clock.seconds:.0f} of {clock.budget:.0f} s", flush=True)
    last_save = last_preview = time.monotonic()
    first, losses = step, {}
    while not clock.is_over and not (config.steps and step >= config.steps):
        progress = (step + 0.5) / config.steps if config.steps else clock.seconds / clock.budget
        for optimizer, base in rates.items():
            for group, rate in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * learning_rate_factor(progress)
        losses = stage.step(Draw(config.seed * 1_000_003 + step, stage.device), progress)
        for ema, module in stage.emas.values():
            ema.update(module, step)
        now = time.monotonic()
        save_is_due = now - last_save > config.checkpoint_minutes * 60
        if save_is_due or step % config.log_steps == 0:  # never save what has diverged
            _log(run, step, progress, losses)
        step += 1
        if save_is_due:
            save_checkpoint(run / "checkpoint", step, saved, stage.optimizers, clock.seconds)
            last_save = now
        if now - last_preview > config.preview_minutes * 60:
            Image.fromarray(stage.preview()).save(run / f"preview_{step:06d}.jpg", quality=90)
            last_preview = now
    if not step:
        raise InvalidInputError(
            f"{run.name}: the budget of {clock.budget:.0f} s was over before the first step."
        )
    if step > first:
        _log(run, step - 1, progress, losses)
        save_checkpoint(run / "checkpoint", step, saved, stage.optimizers, clock.seconds)
        Image.fromarray(stage.preview()).save(run / "preview.jpg", quality=90)
    (run / "finished.json").write_text(json.dumps({"steps": step, "seconds": round(clock.seconds, 1)}))
    return step


def _log(run: Path, step: int, progress: float, losses: dict) -> None:
    """Print and write a line; stop where the losses say that there is nothing left to train."""
    values = {name: float(value) for name, value in losses.items()}
    if not all(math.isfinite(value) for value in values.values()):
        raise TrainingDiverged(
            f"A loss is not finite at step {step} ({values}); the last checkpoint is kept."
        )
    print(f"step {step} {progress:.0%} " + " ".join(f"{k} {v:.4f}" for k, v in values.items()), flush=True)
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "progress": progress, **values}) + "\n")


def descend(optimizer, loss, max_norm: float | None = MAX_GRADIENT_NORM) -> None:
    """Backward, clipping (None: none), one optimizer step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if max_norm is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()
