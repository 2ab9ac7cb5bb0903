"""What the page's buttons and the API call do, free of layout."""

import logging
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..creation import CreationSettings, ProgressCallback, capture_arguments, create_avatar, load_pipeline
from ..errors import StudioAvatarError
from ..results import ResultFiles, save_results
from ..weights import weights_revision
from .presentation import Findings, provenance_overlay
from .sessions import SessionFolders
from .worker import Done, StageProgress, follow

LOGGER = logging.getLogger(__name__)
UNEXPECTED = "Something went wrong here that is not your fault; the server's log has the details."


@dataclass(frozen=True)
class AvatarResult:
    """One finished avatar as the page shows it.

    files: the result folder's files; archive: all of them in one ZIP.
    overlay: PNG of the texture with the completed texels tinted.
    findings: `CaptureReport.to_dict()`.
    timings: stage -> seconds; seen_share: mean of the provenance map, in [0, 1].
    """

    files: ResultFiles
    archive: Path
    overlay: Path
    findings: Findings
    timings: dict[str, float]
    seen_share: float


class AvatarService:
    """Makes avatars one at a time with a pipeline that is loaded once, at the first request."""

    def __init__(self, weights: str, sessions: SessionFolders, load: Callable[[str], object] = load_pipeline):
        self.weights = weights
        self.sessions = sessions
        self._load = load
        self._pipeline = None
        self._revision: str | None = None
        self._busy = threading.Lock()  # a cancelled run may still be finishing its step

    def warm_up(self) -> None:
        """Load the networks now instead of at the first request."""
        with self._busy:
            self._ready_pipeline()

    def create(
        self, paths: Sequence[str], settings: CreationSettings, session: str
    ) -> Iterator[StageProgress | Done[AvatarResult]]:
        """Yield progress while an avatar is made, then `Done(AvatarResult)`; closing the generator stops it.

        Raises:
            StudioAvatarError: the input cannot become an avatar; the message is for the user.
        """
        capture_arguments(paths)
        yield from follow(lambda progress: self._create(paths, settings, session, progress))

    def _create(
        self, paths: Sequence[str], settings: CreationSettings, session: str, progress: ProgressCallback
    ) -> AvatarResult:
        with self._busy:
            progress("load", 0.0)
            pipeline = self._ready_pipeline()
            output = create_avatar(pipeline, paths, settings, progress)
            progress("save", 0.0)
            return self._save(output, settings, session)

    def _ready_pipeline(self):
        if self._pipeline is None:
            self._pipeline = self._load(self.weights)
            self._revision = weights_revision(self.weights)
        return self._pipeline

    def _save(self, output, settings: CreationSettings, session: str) -> AvatarResult:
        folder = self.sessions.new(session)
        files = save_results(output, folder, settings, self._revision)
        overlay = folder / "completed.png"
        provenance_overlay(output.avatar.texture, output.provenance).save(overlay)
        return AvatarResult(
            files=files,
            archive=_pack(files, folder / "avatar.zip"),
            overlay=overlay,
            findings=output.capture.report.to_dict(),
            timings=dict(output.timings),
            seen_share=float(output.provenance.mean()),
        )


def user_sentence(error: Exception) -> str:
    """The one sentence that the browser may see; anything unexpected goes to the log instead."""
    if isinstance(error, StudioAvatarError):
        return str(error)
    LOGGER.error("An avatar could not be made.", exc_info=error)
    return UNEXPECTED


def _pack(files: ResultFiles, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in files.paths():
            bundle.write(path, path.name)
    return archive
