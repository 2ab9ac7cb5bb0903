"""Resumable training state in safetensors only: module weights and Adam moments, replaced atomically."""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def _optimizer_tensors(optimizer):
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, slot in state.items()
        for name, value in slot.items()
    }


def _restore_optimizer(optimizer, tensors):
    state = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _contiguous(tensors):
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}


def save_checkpoint(folder: Path, step: int, modules: dict, optimizers: dict, seconds: float = 0.0) -> None:
    """Writes `folder` as a whole or not at all: a killed run keeps its last complete checkpoint.

    seconds: how long the run has trained, for stages with a budget of time.
    """
    temporary = folder.with_name(folder.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, module in modules.items():
        save_file(_contiguous(module.state_dict()), temporary / f"{name}.safetensors")
    for name, optimizer in optimizers.items():
        save_file(_contiguous(_optimizer_tensors(optimizer)), temporary / f"{name}.optimizer.safetensors")
    (temporary / "step.json").write_text(json.dumps({"step": step, "seconds": seconds}))
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, modules: dict, optimizers: dict) -> int:
    """Restores in place and returns the step to go on from; 0 where there is no checkpoint yet."""
    return load_progress(folder, modules, optimizers)[0]


def load_progress(folder: Path, modules: dict, optimizers: dict) -> tuple[int, float]:
    """Restores in place and returns the step to go on from and the seconds trained so far; zeros where there is none."""
    if not (folder / "step.json").exists():
        folder = folder.with_name(folder.name + ".old")  # killed between the two renames
    if not (folder / "step.json").exists():
        return 0, 0.0
    for name, module in modules.items():
        module.load_state_dict(load_file(folder / f"{name}.safetensors"))
    for name, optimizer in optimizers.items():
        _restore_optimizer(optimizer, load_file(folder / f"{name}.optimizer.safetensors"))
    progress = json.loads((folder / "step.json").read_text())
    return progress["step"], progress.get("seconds", 0.0)


def load_module(folder: Path, name: str, module):
    """Loads one module's weights from a finished stage's checkpoint."""
    path = folder / f"{name}.safetensors"
    with safe_open(path, "pt") as tensors:
        module.load_state_dict({key: tensors.get_tensor(key) for key in tensors.keys()})
    return module
