"""A weights folder becomes a repository for the Hub: assembled, and checked in a clean process."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from studio_avatar.errors import WeightsError
from studio_avatar.imaging.files import write_atomically
from studio_avatar.weights.checksums import repository_files, write_checksums
from studio_avatar.weights.variants import HALF_VARIANT

from . import door_check
from .card import CARD_FILE, published_card
from .export import write_variants

CHECK_SECONDS = 600  # a clean process imports torch and makes one small texture


@dataclass(frozen=True)
class PublishedFile:
    """A file of the repository: POSIX path, size in bytes."""

    name: str
    size: int


def assemble(weights: Path, folder: Path, repository: str) -> list[PublishedFile]:
    """Write the whole repository into the empty `folder`: all variants, remote code, card, index and SHA-256 list.

    Raises:
        WeightsError: the weights are incomplete, or their card is missing or has wrong metadata.
    """
    card = weights / CARD_FILE
    if not card.is_file():
        raise WeightsError(f"'{weights}' has no model card: add a {CARD_FILE}.")
    text = published_card(card.read_text(encoding="utf-8"), repository)
    write_variants(weights, folder)
    write_atomically(folder / CARD_FILE, text.encode())
    write_checksums(folder)
    return [PublishedFile(name, (folder / name).stat().st_size) for name in repository_files(folder)]


def check(folder: Path) -> None:
    """Load the repository through both doors and compare one texture of each, to the byte; load its float16 variant.

    The remote door is checked in a clean process that cannot import this package and makes no request.

    Raises:
        WeightsError: a door does not open, or they give different textures.
    """
    from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline

    own = door_check.texture_digest(StudioTexturePipeline.from_pretrained(folder))
    StudioTexturePipeline.from_pretrained(folder, variant=HALF_VARIANT)
    remote = _remote_digest(folder)
    if own != remote:
        raise WeightsError(
            "The repository gives another texture through its remote code than through this package."
        )


def _remote_digest(folder: Path) -> str:
    with tempfile.TemporaryDirectory() as home:
        try:
            done = subprocess.run(
                [sys.executable, "-I", door_check.__file__, str(folder)],
                env={**os.environ, "HF_HOME": home, "HF_HUB_OFFLINE": "1"},
                cwd=home,
                capture_output=True,
                text=True,
                timeout=CHECK_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise WeightsError(
                f"The repository's remote code made no texture in {CHECK_SECONDS} s."
            ) from error
    if done.returncode:
        reason = (
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        )
        raise WeightsError(f"The repository cannot be loaded by its remote code: {reason}")
    return done.stdout.strip()
