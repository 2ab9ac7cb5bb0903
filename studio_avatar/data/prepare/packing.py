"""From finished items to one file a set, and what stands in such files."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from .jobs import Job


@dataclass(frozen=True)
class StoredScene:
    """`SceneStatistics` of a prepared capture, as far as the tone estimator is concerned."""

    vector: np.ndarray
    doubt: str | None = None


def head_mark(head) -> str:
    """Eight hex digits that change with the head: textures of two layouts must never be mixed."""
    digest = hashlib.sha256()
    for name, buffer in sorted(head.state_dict().items()):
        digest.update(name.encode() + buffer.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def pack(out: Path, name: str, columns: tuple[str, ...], jobs: list[Job], mark: str) -> Counter:
    """Gather the parts of `jobs` into `name`.safetensors, one row an item, and `name`.json.

    Args:
        columns: names of the arrays that are kept; mark: the `head_mark` of the head that the jobs are for.

    Returns:
        how many items were skipped for which reason.
    """
    ready = [job for job in jobs if job.part.exists()]
    reasons = {job.id: job.reason.read_text() for job in jobs if not job.part.exists()}
    arrays: dict[str, np.ndarray] = {}
    for row, job in enumerate(ready):
        with np.load(job.part) as part:
            for key in columns:
                value = part[key]
                arrays.setdefault(key, np.empty((len(ready), *value.shape), value.dtype))[row] = value
    staging = out / f".{name}.safetensors"
    save_file(arrays, staging)
    os.replace(staging, out / f"{name}.safetensors")
    items = [{"id": j.id, "subject": j.subject, "variant": j.variant, "split": j.split} for j in ready]
    index = {"head": mark, "items": items, "skipped": reasons}
    (out / f"{name}.json").write_text(json.dumps(index, indent=1))
    return Counter(reasons.values())


def pack_environments(folder: Path, out: Path) -> str:
    """Read a folder of panoramas once -> the file that the workers load; what was skipped is reported like a set.

    Raises:
        InvalidInputError: the folder has no usable panorama.
    """
    from studio_avatar.data.simulate.environments import read_panoramas

    good, broken = read_panoramas(folder)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "environments.safetensors"
    save_file({"radiance": np.stack(list(good.values()))}, file)
    index = {"items": [{"id": name} for name in good], "skipped": broken}
    (out / "environments.json").write_text(json.dumps(index, indent=1))
    report("environments", len(good) + len(broken), Counter(broken.values()))
    return str(file)


def report(name: str, count: int, skipped: Counter) -> None:
    """Print how many of `count` items were packed, and how many were skipped for which reason."""
    for reason, times in sorted(skipped.items()):
        print(f"skipped {times} of {name}: {reason}")
    print(f"{name}: {count - sum(skipped.values())} items, {sum(skipped.values())} skipped", flush=True)
