"""What the page's buttons and the API calls do, free of layout."""

import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.image_io import encode_png, unit_to_uint8
from studio_avatar.pipeline.skin_tone import SkinTone
from studio_avatar.results.exports import ExportSettings, write_exports
from studio_avatar.results.folder import ResultFiles, save_results
from studio_avatar.results.settings import CreationSettings, capture_arguments, create_avatar, load_pipeline
from studio_avatar.results.summary import seen_by_region, what_was_invented
from studio_avatar.weights.locate import weights_revision

from .presentation import light_picture, provenance_overlay
from .sessions import SessionFolders
from .worker import Done, FirstLook, Ready, Report, StageProgress, Update, follow

LONGEST_STEM = 40
LARGEST_TEXTURE = 2048  # texels each way, as on the page; four times as many need 13 GB
OVERLAY_QUALITY = 88
MOST_STEPS, MOST_INVERSION_STEPS = 8, 300  # the ends of the page's sliders


@dataclass(frozen=True)
class CaptureCheck:
    """One capture, looked at.

    paths: the video or photos it is of.
    phone: the `PhoneTexture`, to go on from.
    findings: `CaptureReport.to_dict()`.
    seconds: how long it took.
    sheet: PNG of the key frames with the fitted head over them, and the textures; see `contact_sheet`.
    phone_texture, seen: PNG files of the same size, sRGB and 8-bit grey, as `/texture` takes them.
    """

    paths: tuple[str, ...]
    phone: object
    findings: dict
    seconds: float
    sheet: Path
    phone_texture: Path
    seen: Path


@dataclass(frozen=True)
class AvatarResult:
    """One finished avatar as the page shows it.

    paths, settings: what it was made of, and how.
    files: the result folder's files; archive: all of them in one ZIP.
    overlays: pictures of what relighting did, JPEG at half the size: "completed" and "kept", the texture with what was never
    seen, or not kept, tinted; "light", the light that was taken off; "repair", what stands where nothing was kept.
    phone_head: PNG of the phone texture as the head wears it, eyes and mouth painted like the studio texture's.
    inversion: to go on from with another tone of the skin. avatar: the `Avatar` without its head model, which is the
        pipeline's, for more files.
    findings: `CaptureReport.to_dict()`.
    timings: stage -> seconds; "capture" is the check's where it went on from one. What was taken over from an earlier result
    is not in it.
    tones: "phone" and "studio" -> tone of the skin.
    invented: what the model completed, in words.
    """

    paths: tuple[str, ...]
    settings: CreationSettings
    files: ResultFiles
    archive: Path
    overlays: dict[str, Path]
    phone_head: Path
    inversion: object
    avatar: object
    findings: dict
    timings: dict[str, float]
    tones: dict[str, SkinTone]
    invented: str

    def leads_to(self, paths: Sequence[str], settings: CreationSettings) -> bool:
        """Whether what is asked for now is this avatar in another tone of the skin, with other hair, shapes or bones."""
        free = {
            name: getattr(settings, name) for name in ("skin_tone", "hair", "hair_color", "shapes", "rig")
        }
        changed = replace(self.settings, **free)
        return self.paths == tuple(paths) and changed == settings


class AvatarService:
    """Looks at captures and makes avatars, one at a time, with a pipeline that is loaded once."""

    def __init__(self, weights: str, sessions: SessionFolders, load: Callable[[str], object] = load_pipeline):
        self.weights = weights
        self.sessions = sessions
        self._load = load
        self._pipeline = None
        self._revision: str | None = None
        self._loading = threading.Lock()
        self._busy = threading.Lock()  # a cancelled run may still be finishing its step

    @property
    def state(self) -> str:
        """ "loading", "busy" or "ready"."""
        if self._pipeline is None:
            return "loading"
        return "busy" if self._busy.locked() else "ready"

    def warm_up(self) -> None:
        """Load the networks now instead of at the first request."""
        self._ready_pipeline()

    def check(self, paths: Sequence[str], size: int, session: str) -> Iterator[Update | Done[CaptureCheck]]:
        """Yield progress while a capture is looked at, then `Done(CaptureCheck)`; closing the generator stops it.

        On the way, of a clip, a `FirstLook(CaptureCheck)` with a smaller phone texture, of a fit that is still made better.

        Args:
            paths: one video, or one or more photos. size: of the phone texture [texels].
        Raises:
            StudioAvatarError: the input cannot be captured; the message is for the user.
        """
        capture_arguments(paths)
        _check_limits(CreationSettings(size=size))
        yield from follow(lambda report: self._check(paths, size, session, report))

    def create(
        self,
        paths: Sequence[str],
        settings: CreationSettings,
        session: str,
        check: CaptureCheck | None = None,
        earlier: AvatarResult | None = None,
    ) -> Iterator[Update | Done[AvatarResult]]:
        """Yield progress and previews while an avatar is made, then `Done(AvatarResult)`; closing stops it.

        Args:
            paths: one video, or one or more photos; their name goes into those of the files.
            check: to go on from; without one, or with one of other files or another size, `paths` are captured anew.
            earlier: a result of the same files; if its settings differ in the tone of the skin alone, what does not depend
                on tone is taken over.
        Raises:
            StudioAvatarError: the input cannot become an avatar; the message is for the user.
        """
        capture_arguments(paths)
        _check_limits(settings)
        yield from follow(lambda report: self._create(paths, settings, session, check, earlier, report))

    def export(
        self, result: AvatarResult, settings: ExportSettings, session: str
    ) -> Iterator[Update | Done[Path]]:
        """Yield progress, then `Done` with a ZIP of the result's files and of what else the settings say."""
        yield from follow(lambda report: self._export(result, settings, session, report))

    def still(self, result: AvatarResult) -> Path:
        """A picture (PNG) of an avatar under three lights, beside its other files; drawn when it is first asked for."""
        path = result.files.avatar.parent / "still.png"
        if not path.exists():
            replace(result.avatar, head=self._ready_pipeline().head).preview(path)
        return path

    def texture(
        self, phone_texture: str, seen: str, settings: CreationSettings, session: str
    ) -> Iterator[Update | Done[Path]]:
        """Yield progress, then `Done` with the path of the studio texture (PNG) for a finished phone texture.

        Args:
            phone_texture, seen: pictures of `settings.size`, sRGB and grey (white = seen).
        Raises:
            StudioAvatarError: a picture cannot be used; the message is for the user.
        """
        _check_limits(settings)
        pictures = {"phone_texture": _read_picture(phone_texture, "RGB"), "seen": _read_picture(seen, "L")}
        yield from follow(lambda report: self._texture(pictures, settings, session, report))

    # ------------------------------------------------------------------------------------------ the tasks

    def _check(self, paths: Sequence[str], size: int, session: str, report: Report) -> CaptureCheck:
        from studio_avatar.capture import observe

        report(StageProgress("load", 0.0))
        (source,) = capture_arguments(paths).values()
        pipe = self._ready_pipeline()
        began = time.monotonic()

        def looked_at(observation) -> CaptureCheck:
            return self._written(observation, tuple(paths), time.monotonic() - began, session)

        return looked_at(
            observe(
                source,
                pipe.head,
                size=size,
                progress=_stages(report),
                registrar=pipe.registrar,
                hair_segmenter=pipe.hair_segmenter,
                first_look=lambda first: report(FirstLook(looked_at(first))),
            )
        )

    def _written(self, observation, paths: tuple[str, ...], seconds: float, session: str) -> CaptureCheck:
        from studio_avatar.capture import contact_sheet

        phone, folder = observation.texture, self.sessions.new(session)
        return CaptureCheck(
            paths=paths,
            phone=phone,
            findings=phone.report.to_dict(),
            seconds=seconds,
            sheet=_write_png(folder / "contact_sheet.png", contact_sheet(observation, self._pipeline.head)),
            phone_texture=_write_png(folder / "phone_texture.png", unit_to_uint8(phone.rgb)),
            seen=_write_png(folder / "seen.png", unit_to_uint8(phone.seen)),
        )

    def _create(
        self,
        paths: Sequence[str],
        settings: CreationSettings,
        session: str,
        check: CaptureCheck | None,
        earlier: AvatarResult | None,
        report: Report,
    ) -> AvatarResult:
        report(StageProgress("load", 0.0))
        pipeline = self._ready_pipeline()
        if check is not None and (check.paths, len(check.phone.rgb)) != (tuple(paths), settings.size):
            check = None
        if earlier is not None and not earlier.leads_to(paths, settings):
            earlier = None
        folder = self.sessions.new(session)

        def preview(name: str, texture: np.ndarray) -> None:
            report(Ready(name, _write_png(folder / f"preview_{name}.png", unit_to_uint8(texture))))

        with self._busy:
            output = create_avatar(
                pipeline, paths, settings, _stages(report), preview,
                capture=check.phone if check else None, inversion=earlier.inversion if earlier else None,
            )  # fmt: skip
        if check is not None and earlier is None:
            output.timings["capture"] = check.seconds
        return self._save(output, paths, settings, folder, earlier, report)

    def _texture(self, pictures: dict, settings: CreationSettings, session: str, report: Report) -> Path:
        report(StageProgress("load", 0.0))
        pipeline = self._ready_pipeline()
        with self._busy:
            output = pipeline(**pictures, **settings.pipeline_arguments(), progress_callback=_stages(report))
        return _write_png(self.sessions.new(session) / "texture.png", output.texture)

    def _export(self, result: AvatarResult, settings: ExportSettings, session: str, report: Report) -> Path:
        report(StageProgress("export", 0.0))
        folder, prefix = self.sessions.new(session), file_stem(result.paths[0])
        avatar = replace(result.avatar, head=self._ready_pipeline().head)
        write_exports(avatar, folder, settings, f"{prefix}_")
        report(StageProgress("export", 0.9))
        written = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        others = {path.name: path for path in result.files.paths()}
        return _pack({**others, **written}, folder / f"{prefix}_everything.zip")

    def _ready_pipeline(self):
        with self._loading:
            if self._pipeline is None:
                self._revision = weights_revision(self.weights)
                self._pipeline = self._load(self.weights)
        return self._pipeline

    def _save(
        self,
        output,
        paths: Sequence[str],
        settings: CreationSettings,
        folder: Path,
        earlier: AvatarResult | None,
        report: Report,
    ) -> AvatarResult:
        prefix = f"{file_stem(paths[0])}_"
        files = ResultFiles.in_folder(folder, prefix)
        names = {path: name for name, path in vars(files).items()}
        report(StageProgress("save", 0.0))
        save_results(
            output, folder, settings, self._revision, prefix, lambda path: report(Ready(names[path], path))
        )
        report(StageProgress("save", 0.6))
        seen = seen_by_region(output.avatar.head, output.provenance)
        same_hair = earlier is not None and all(
            getattr(earlier.settings, name) == getattr(settings, name) for name in ("hair", "hair_color")
        )
        return AvatarResult(
            paths=tuple(paths),
            settings=settings,
            files=files,
            archive=_pack({path.name: path for path in files.paths()}, folder / f"{prefix}all.zip"),
            overlays=_overlays(output, folder),
            phone_head=earlier.phone_head if same_hair else self._phone_head(output, folder),
            inversion=output.inversion.to("cpu"),
            avatar=replace(output.avatar, head=None),
            findings=output.capture.report.to_dict(),
            timings=dict(output.timings),
            tones={"phone": output.phone_skin_tone, "studio": output.skin_tone},
            invented=f"{what_was_invented(seen)} Hair: {output.avatar.worn.reason}",
        )

    def _phone_head(self, output, folder: Path) -> Path:
        bare = self._pipeline.build_avatar(output.capture, output.capture.rgb, hair="none")
        return _write_png(folder / "phone_head.png", output.avatar.under_hair(bare.texture))


def file_stem(path: str) -> str:
    """What result files are called after an input: its name's letters and digits, never a path."""
    return re.sub(r"[^\w-]+", "_", Path(path).stem)[:LONGEST_STEM].strip("_") or "avatar"


def _check_limits(settings: CreationSettings) -> None:
    """Refuse what would keep the machine from everybody else, whatever way it was asked for."""
    limits = {
        "size": (settings.size, LARGEST_TEXTURE),
        "steps": (settings.steps, MOST_STEPS),
        "inversion_steps": (settings.inversion_steps, MOST_INVERSION_STEPS),
    }
    for name, (value, most) in limits.items():
        if value > most:
            raise InvalidInputError(f"{name} is {value}: this server makes at most {most}.")


def _stages(report: Report) -> Callable[[str, float], None]:
    """`report` as the pipeline's progress callback."""
    return lambda stage, fraction: report(StageProgress(stage, fraction))


def _write_png(path: Path, picture) -> Path:
    return write_atomically(path, encode_png(picture))


def _overlays(output, folder: Path) -> dict[str, Path]:
    """What relighting did, as pictures; see `AvatarResult.overlays`."""
    from PIL import Image

    worn = output.avatar.texture
    pictures = {
        "completed": provenance_overlay(worn, output.provenance),
        "kept": provenance_overlay(worn, output.keep),
        "light": Image.fromarray(unit_to_uint8(light_picture(output.gain))),
        "repair": output.repair,
    }
    paths = {name: folder / f"overlay_{name}.jpg" for name in pictures}
    for name, picture in pictures.items():
        picture.reduce(2).save(paths[name], quality=OVERLAY_QUALITY)
    return paths


def _read_picture(path: str, mode: str) -> np.ndarray:
    """A PNG or JPEG as float32 in [0, 1], (H, W, 3) for "RGB", (H, W) for "L"."""
    from PIL import Image, UnidentifiedImageError

    if not path:
        raise InvalidInputError("Give two pictures of the same size: phone_texture and seen.")
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if max(image.size) > LARGEST_TEXTURE:  # seen in the header, before pixels fill the memory
                raise InvalidInputError(
                    f"phone_texture and seen have {image.width} × {image.height} pixels: give at most "
                    f"{LARGEST_TEXTURE} each way."
                )
            return np.asarray(image.convert(mode), np.float32) / 255.0
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"'{Path(path).name}' is no readable picture: give a PNG or JPEG.") from error


def _pack(files: Mapping[str, Path], archive: Path) -> Path:
    """A ZIP of files under the given names."""
    # PNG is compressed already; only the report and the mesh would gain
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        for name, path in files.items():
            bundle.write(path, name)
    return archive
