"""A selfie video becomes a studio-lit face texture on an animatable head.

    from studio_avatar import Avatar, StudioTexturePipeline, capture

`capture` is the subpackage: `capture.capture("selfie.mp4", head)` makes a phone texture. A package attribute cannot be the
subpackage and a function of the same name, whichever was imported first.
"""

import os

from .lazy import lazy_names

__all__ = ["Avatar", "StudioTexturePipeline", "capture"]
__getattr__ = lazy_names(
    __name__, {"Avatar": "avatar", "StudioTexturePipeline": "pipeline", "capture": "capture"}
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _let_idle_threads_sleep() -> None:
    """Idle threads of OpenMP, on which torch runs, give their core away instead of spinning on it.

    By default a thread that waits for the others spins. Where another process has the core that the others need, that makes
    torch many times slower. OpenMP reads the environment when torch is imported: every entry point of the package does so
    later than this. Child processes inherit it. What the user has set stays.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ.update(GOMP_SPINCOUNT="0", OMP_WAIT_POLICY="PASSIVE")


def _stay_within_the_quota(groups: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> None:
    """No more threads of OpenMP than a container may use cores, where its quota is below the cores that it sees.

    A container with two of sixty-four cores' time would otherwise run sixty-four threads and be stopped most of the time.
    What the user has set stays.
    """
    cores = _quota(groups, own)
    if cores and "OMP_NUM_THREADS" not in os.environ and cores < len(os.sched_getaffinity(0)):
        os.environ["OMP_NUM_THREADS"] = str(cores)


def _quota(groups: str, own: str) -> int | None:
    """Cores whose time this process may use by its control groups (version 2, then 1), rounded up; None if all."""

    def words(name: str) -> list[str]:
        try:
            with open(name) as file:
                return file.read().split()
        except OSError:
            return []

    path = next((line.removeprefix("0::") for line in words(own) if line.startswith("0::")), "/")
    steps = [step for step in path.split("/") if step]
    limits = [words(os.path.join(groups, *steps[:depth], "cpu.max")) for depth in range(len(steps) + 1)]
    limits.append([*words(f"{groups}/cpu/cpu.cfs_quota_us"), *words(f"{groups}/cpu/cpu.cfs_period_us")])
    cores = [-(-int(limit[0]) // int(limit[1])) for limit in limits if len(limit) == 2 and limit[0].isdigit()]
    return min(cores, default=None)


_let_idle_threads_sleep()
_stay_within_the_quota()
