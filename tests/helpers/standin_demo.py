"""The page on a stand-in for the networks: every state in seconds, with a real head and real files.

What networks and capture really do, tests/ui/test_served.py looks at; here the page and the endpoints themselves are tested.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from studio_avatar.avatar import Avatar
from studio_avatar.errors import NoFaceError
from studio_avatar.head.model import HeadModel
from studio_avatar.pipeline.skin_tone import SkinTone
from studio_avatar.results.folder import ResultFiles
from studio_avatar.ui.examples import Examples
from studio_avatar.ui.service import AvatarResult, AvatarService, CaptureCheck, file_stem
from studio_avatar.ui.sessions import SessionFolders
from studio_avatar.ui.worker import FirstLook, Ready, StageProgress, follow

from .demo_server import GOOD_CAPTURE, ROOT, WEAK_CAPTURE

SIZE = 128
STAGES = {"check": ("landmarks", "fit", "fuse"), "create": ("invert", "relight", "upscale", "save")}
TONES = {"phone": SkinTone((60.0, 12.0, 20.0)), "studio": SkinTone((65.0, 12.0, 18.0), (3.0, 1.0, 1.0))}


class Phone:
    """Stands for a `PhoneTexture`: only its size is asked for."""

    def __init__(self, size: int):
        self.rgb = range(size)


class StandInService(AvatarService):
    """Works as fast as it can, and stays in its first stage while it is `held`, or in the one that it is `held_in`.

    A check's first look comes before its last stage.

    Captures whose name has "weak" in it are weak, those with "grey" do not show the skin's tone, those with "nobody" fail.
    """

    def __init__(self, sessions: SessionFolders, made: Path):
        """made: a folder with the files that every result has."""
        super().__init__("nowhere", sessions, lambda weights: self)
        self.made, self.head = made, None
        self.held, self.held_in = False, ""
        self.looked_at: list[tuple[str, ...]] = []
        self.created: list[tuple] = []

    def check(self, paths, size, session):
        yield from follow(lambda report: self._look(paths, size, session, report))

    def create(self, paths, settings, session, check=None, earlier=None):
        yield from follow(lambda report: self._make(paths, settings, session, report))

    def still(self, result):
        return result.files.texture

    def _stages(self, names, report) -> None:
        for name in names:
            report(StageProgress(name, 0.2))
            while self.held or self.held_in == name:
                time.sleep(0.3)  # as often as real work reports
                report(StageProgress(name, 0.2))
            report(StageProgress(name, 1.0))

    def _look(self, paths, size, session, report) -> CaptureCheck:
        *stages, last = STAGES["check"]
        self._stages(stages, report)
        self.looked_at.append(tuple(paths))
        if "nobody" in Path(paths[0]).name:
            raise NoFaceError("There is no face in the video.")
        report(FirstLook(self._check_of(paths, size, session)))
        self._stages([last], report)
        return self._check_of(paths, size, session)

    def _check_of(self, paths, size, session) -> CaptureCheck:
        name = Path(paths[0]).name
        folder = self._folder(session)
        weak = "weak" in name
        finding = {"name": "sharpness", "value": 0.2 if weak else 0.7, "unit": "0-1", "threshold": 0.5,
                   "verdict": "poor" if weak else "good", "advice": "Hold still." if weak else ""}  # fmt: skip
        tone = {"name": "skin_tone_known", "value": 0.0, "unit": "", "threshold": 1.0, "verdict": "fair",
                "advice": "The pictures have no color: choose the skin tone."}  # fmt: skip
        findings = {"verdict": finding["verdict"], "frames_used": 8, "frames_sampled": 10,
                    "frames_rejected": {"blurred": 2}, "findings": [finding, *([tone] if "grey" in name else [])],
                    "advice": [finding["advice"]] if weak else []}  # fmt: skip
        pictures = [folder / f"{name}.png" for name in ("sheet", "phone_texture", "provenance")]
        return CaptureCheck(tuple(paths), Phone(size), findings, 0.7, *pictures)

    def _make(self, paths, settings, session, report) -> AvatarResult:
        self.created.append((tuple(paths), settings))
        folder = self._folder(session)
        invert, *others = STAGES["create"]
        with self._busy:
            self._stages([invert], report)
            report(Ready("base", folder / "phone_texture.png"))
            self._stages(others, report)
        files = ResultFiles.in_folder(folder)
        named = files.avatar.rename(
            folder / f"{file_stem(paths[0])}_{files.avatar.name}"
        )  # as the service does
        files = replace(files, avatar=named)
        return AvatarResult(
            tuple(paths), settings, files, folder / "all.zip", {"completed": folder / "texture.png"},
            folder / "phone_texture.png", None,
            Avatar(None, np.zeros(100, np.float32), np.asarray(Image.open(folder / "texture.png"))), {},
            {"invert": 1.0, "upscale": 2.0}, TONES, "The phone saw 98% of the face.",
        )  # fmt: skip

    def _folder(self, session: str) -> Path:
        return Path(shutil.copytree(self.made, self.sessions.new(session), dirs_exist_ok=True))


def made_files(folder: Path, head) -> Path:
    """The files of a small result: a head in a painted texture, and pictures."""
    row, column = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    texture = np.stack([0.75 + 0.1 * np.sin(40 * column), 0.55 + 0.1 * row, 0.45 + 0 * row], axis=-1)
    texture = (255 * texture).astype(np.uint8)
    folder.mkdir()
    Avatar(head, np.zeros(100, np.float32), texture).export(folder / "avatar.glb")
    Image.fromarray(texture).save(folder / "texture.png")
    Image.fromarray(texture // 2).save(folder / "phone_texture.png")
    Image.fromarray((255 * (column > 0.4)).astype(np.uint8)).save(folder / "provenance.png")
    Image.fromarray(texture).resize((700, 400)).save(folder / "sheet.png")
    (folder / "report.json").write_text("{}")
    (folder / "all.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    return folder


@dataclass(frozen=True)
class StandIn:
    """A served page; `service` can be told how long it takes."""

    url: str
    service: StandInService
    demo: object


@contextmanager
def stand_in_demo(folder: Path, **limits) -> Iterator[StandIn]:
    """The page on this machine, in this process, with both examples and the finished heads."""
    import gradio as gr

    from studio_avatar.ui.app import build_app
    from studio_avatar.ui.server import page_arguments

    sessions = SessionFolders()
    sessions.hold_uploads()
    head = HeadModel.from_pretrained(ROOT / "weights_card", subfolder="head")
    service = StandInService(sessions, made_files(folder / "made", head))
    service.head = head
    service.warm_up()
    heads = Examples.in_folder(ROOT / "examples").heads
    examples = Examples(GOOD_CAPTURE, WEAK_CAPTURE, heads=heads)
    gr.set_static_paths(examples.served())
    demo = build_app(service, lambda function: function, examples, **limits)
    demo.blocks.queue(default_concurrency_limit=1)
    demo.blocks.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **page_arguments(demo, service, examples)
    )  # fmt: skip
    try:
        yield StandIn(demo.blocks.local_url.rstrip("/"), service, demo)
    finally:
        threading.Thread(target=demo.blocks.close, daemon=True).start()
