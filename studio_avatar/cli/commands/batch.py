"""`studio-avatar batch`: every video of a folder becomes an avatar, on one process or many."""

import argparse
import contextlib
import logging
import os
import sys
from collections import Counter
from pathlib import Path
from typing import NoReturn

from studio_avatar.cli import options as shared
from studio_avatar.errors import InvalidInputError

HELP = "make avatars of all videos in a folder, on one process or, under accelerate launch, on many"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder with videos (or photos, one a person)")
    shared.add_output(parser, "folder that gets a folder for each video, and batch.jsonl")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="CPU threads a process; textures depend on it in their last bits, on the number of processes they do not "
        "(default: %(default)s)",
    )
    shared.add_settings(parser)
    shared.add_weights(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Prints one JSON line a video as soon as it is done; returns 0 when every video was looked at."""
    from studio_avatar.imaging.files import write_atomically
    from studio_avatar.results.batch import (
        SUMMARY_FILE,
        find_jobs,
        find_left_out,
        is_main_process,
        is_one_of_many,
        run_batch,
    )
    from studio_avatar.results.folder import check_place
    from studio_avatar.results.settings import load_pipeline
    from studio_avatar.weights.locate import find_weights, weights_revision

    if options.threads < 1:
        raise InvalidInputError(f"--threads must be at least 1, not {options.threads}.")
    settings = shared.settings(options)
    jobs = find_jobs(options.folder, options.output)
    check_place(options.output)
    left_out = find_left_out(options.folder) if is_main_process() else []
    for report in left_out if not options.quiet else ():
        print(report.to_json(), flush=True)
    weights = find_weights(options.weights)
    _warn_of_lone_process()
    with _threads(options.threads):
        reports = run_batch(
            jobs,
            settings,
            weights_revision(weights),
            lambda: load_pipeline(weights),
            lambda report: None if options.quiet else print(report.to_json(), flush=True),
        )
    if is_main_process():
        options.output.mkdir(parents=True, exist_ok=True)
        reports += left_out
        lines = "".join(f"{report.to_json()}\n" for report in reports)
        write_atomically(options.output / SUMMARY_FILE, lines.encode())
        counts = Counter(report.status for report in reports)
        if not options.quiet:
            print(
                ", ".join(
                    f"{counts[status]} {status}" for status in ("done", "skipped", "failed", "left out")
                ),
                file=sys.stderr,
            )
    if is_one_of_many():
        _leave(0)
    return 0


@contextlib.contextmanager
def _threads(count: int):
    """Every numerical library at `count` threads: sums over another number of threads round differently.

    OpenCV too, which also says how many views the capture unwraps at once: processes beside each other share the cores.
    """
    import cv2
    import scipy.linalg  # noqa: F401 (its BLAS must be there to be told)
    import threadpoolctl
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        with threadpoolctl.threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _leave(status: int) -> NoReturn:
    """End this process without unloading Python and the native libraries: everything is written.

    Threads of theirs that still run then may abort the process (seen once: SIGABRT, "terminate called without an active
    exception", after the last result), and the launcher would take the whole batch for failed.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _warn_of_lone_process() -> None:
    """accelerate 1.15 starts one process, whatever --num_processes says, unless it is told --multi_gpu."""
    if (
        "ACCELERATE_MIXED_PRECISION" in os.environ
        and "MASTER_ADDR" in os.environ
        and "RANK" not in os.environ
    ):
        print(
            "accelerate started one process only: add --multi_gpu to its options, which works without a GPU, too.",
            file=sys.stderr,
        )
