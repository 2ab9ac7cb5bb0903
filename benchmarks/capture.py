"""How well a simulated selfie is captured: `python benchmarks/capture.py --prepared DIR --clips 24`.

DIR holds `studio.safetensors` and `studio.json` of `python -m studio_avatar.data.prepare`. The held-out people, whom no
network and no calibration has seen, are filmed in turn (720 x 1280, a turn of 45 degrees to both sides; every time another
head, room and phone with blur, noise, H.264, changing expression and a blink) and captured by `studio_avatar.capture`;
since head, texture and cameras are known, so is
where every texel should have come from. Prints one row a clip and the medians as Markdown.

The heads are MakeHuman's. With `--everybody` every other one is drawn from the prior of the fit, which knows people of 3D
scans, and lenses reach from those of phones held near to short telephoto ones.

What is measured, at 1024²:

registration: texels. A texel of the fused texture shows a place in a key frame (that of the view from which its
    finest detail comes). How far that is from the texel's own place, in texels (`data/simulate/correspondences.py`), is how
    far the texture is off. Median over face, lips, brows and eyelids where `seen` > 0.5.
gradient energy: %. Energy = mean squared forward difference of luma. The fused texture's, over that of the true
    texture as the best frame sees it: the key frame unwrapped by the true geometry, each texel from the frame that
    sees it best, gradients taken within that frame. Same texels in both: face, lips, brows and eyelids that both have
    with more than half trust. Light, blur, noise and compression of the frame are in both; only fusing, wrong
    registration and ghosts make a difference. `true detail` takes the noise out of the numerator: the share of the
    best frame's gradients that is found again in the fused texture at the same texels (regression slope, so detail
    that is shifted or invented counts nothing).
landmarks: %. Distance of the fitted head's inner-face landmarks (MediaPipe's 468 less the face oval) to the true
    head's in the key frames, mean over landmarks and frames, over the face's height in the frame.
silhouette: %. The same for the face oval and 200 vertices each of ears and scalp: what no landmark holds.
coverage: %. Texels of face, lips, brows, eyelids and ears with `seen` > 0.3.
focal: %. Error of the focal length. seconds: of `capture`, wall time. memory: GB, peak of the process.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from studio_avatar.capture import contact_sheet, observe
from studio_avatar.capture.texture.unwrap import FrameCamera, unwrap
from studio_avatar.data.simulate.clip import simulate_clip
from studio_avatar.data.simulate.correspondences import true_offsets
from studio_avatar.data.simulate.simulation import EVERYBODY, MAKEHUMAN, SimulationOptions
from studio_avatar.head.landmark_ids import FACE_OVAL, NUM_SURFACE_LANDMARKS
from studio_avatar.head.layout import region_mask, texel_map
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.color import luma
from studio_avatar.imaging.image_io import encode_png
from studio_avatar.models import Registrar
from studio_avatar.rendering import Camera

SIZE = 1024
FACE = ("face", "lips", "brows", "eyelids")
COLUMNS = {
    "registration": "registration [texels]",
    "gradient_energy": "gradient energy [%]",
    "true_detail": "true detail [%]",
    "landmarks": "landmarks [% of face height]",
    "silhouette": "silhouette [% of face height]",
    "coverage": "coverage [%]",
    "focal": "focal [%]",
    "keyframes": "key frames",
    "seconds": "seconds",
    "memory": "memory [GB]",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--prepared", type=Path, required=True, help="folder with studio.safetensors and studio.json"
    )
    parser.add_argument("--clips", type=int, default=24, help="how many, over the held-out people in turn")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the clips")
    parser.add_argument("--keep", type=Path, help="folder that keeps the rendered clips for the next run")
    parser.add_argument("--split", default="held_out", help="whose people are filmed")
    parser.add_argument("--everybody", action="store_true", help="heads of both shape spaces, phones' lenses")
    parser.add_argument("--head", default="weights_card", help="folder or Hub id with `head` and `registrar`")
    parser.add_argument(
        "--registrar", help="another folder with `registrar`; none: landmarks and tracks alone"
    )
    parser.add_argument("--pictures", type=Path, help="folder for a contact sheet of each clip")
    options = parser.parse_args()
    head = HeadModel.from_pretrained(options.head, subfolder="head")
    registrar = None
    if options.registrar != "none":
        registrar = Registrar.from_pretrained(options.registrar or options.head, subfolder="registrar")
    rows = []
    print("| clip | " + " | ".join(COLUMNS.values()) + " |")
    print("|---|" + "---:|" * len(COLUMNS))
    for name, truth, video in _clips(head, options):
        rows.append(
            measure(head, registrar, truth, video, options.pictures and options.pictures / f"{name}.png")
        )
        print(f"| {name} | " + " | ".join(f"{rows[-1][key]:.2f}" for key in COLUMNS) + " |", flush=True)
    medians = {key: np.median([row[key] for row in rows]) for key in COLUMNS}
    print(f"| **median of {len(rows)}** | " + " | ".join(f"{medians[key]:.2f}" for key in COLUMNS) + " |")


@dataclass(frozen=True)
class Truth:
    """What is known of the K frames of a clip; as in `SimulatedCapture`."""

    frames_per_second: int
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float


def _clips(head, options) -> Iterator[tuple[str, Truth, Path]]:
    """Name, truth and file of each subject's clip; rendered unless `--clips` has it."""
    import tempfile

    items = json.loads((options.prepared / "studio.json").read_text())["items"]
    people = [index for index, item in enumerate(items) if item["split"] == options.split]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kind, population = ("_everybody", EVERYBODY) if options.everybody else ("", MAKEHUMAN)
        for number in range(options.clips):
            index = people[number % len(people)]
            path = folder / f"{number:03d}_{index:03d}_{options.seconds:g}s{kind}.mp4"
            known = path.with_suffix(".npz")
            if not known.exists():
                # Nothing is worn in front of the face: this measures the fit.
                clip = simulate_clip(
                    head, _studio_texture(options.prepared, index), np.random.default_rng(1000 + number),
                    options.seconds, turn_deg=45.0, worn=False,
                    options=SimulationOptions((720, 1280), population=population),
                )  # fmt: skip
                path.write_bytes(clip.video)
                parts = {
                    f.name: getattr(clip.capture, f.name)
                    for f in fields(Truth)
                    if f.name != "frames_per_second"
                }
                np.savez(known, frames_per_second=clip.frames_per_second, **parts)
            with np.load(known) as saved:
                yield (
                    f"{number:02d} {items[index]['id']}",
                    Truth(**{f.name: saved[f.name] for f in fields(Truth)}),
                    path,
                )


def _studio_texture(prepared: Path, index: int) -> np.ndarray:
    from safetensors import safe_open

    with safe_open(prepared / "studio.safetensors", "np") as file:
        return file.get_slice("rgb")[index].astype(np.float32) / 255


def measure(head, registrar, truth: Truth, video: Path, picture: Path | None = None) -> dict[str, float]:
    """Capture one clip and compare it with the truth; the keys are those of `COLUMNS`."""
    begin = time.perf_counter()
    seen = observe(video, head, SIZE, registrar=registrar)
    seconds = time.perf_counter() - begin
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(encode_png(contact_sheet(seen, head)))
    true_views, true_shapes = _true_views(head, truth, seen)
    texture = seen.texture
    face = region_mask(head, SIZE, *FACE)
    with_ears = region_mask(head, SIZE, *FACE, "ears")
    landmarks, silhouette = _geometry_errors(head, truth, seen, true_shapes)
    energy, detail = _gradients(texture, true_views, face)
    return {
        "registration": _registration(seen, true_views, face & (texture.seen > 0.5)),
        "gradient_energy": 100 * energy,
        "true_detail": 100 * detail,
        "landmarks": 100 * landmarks,
        "silhouette": 100 * silhouette,
        "coverage": 100 * (texture.seen > 0.3)[with_ears].mean(),
        "focal": 100 * (texture.fit.focal_px / float(truth.focal_px) - 1),
        "keyframes": len(seen.keyframes),
        "seconds": seconds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def _true_views(head, truth: Truth, seen):
    """The key frames unwrapped by the true head and cameras, and the true shapes (K, V, 3)."""
    import torch

    at = [round(keyframe.frame.time * int(truth.frames_per_second)) for keyframe in seen.keyframes]
    shapes = head.vertices(torch.from_numpy(truth.identity), torch.from_numpy(truth.expression[at])).numpy()
    views = [
        unwrap(
            keyframe.frame,
            head,
            texel_map(head, SIZE),
            shape,
            FrameCamera(
                float(truth.focal_px),
                truth.rotation[k],
                truth.translation[k],
                keyframe.frame.rgb.shape[1::-1],
                keyframe.face.height_px,
            ),
        )
        for keyframe, shape, k in zip(seen.keyframes, shapes, at)
    ]
    return views, shapes


def _registration(seen, true_views, where: np.ndarray) -> float:
    """Median distance in texels between where the texture was sampled and where it should have been."""
    error = np.full(where.shape, np.nan, np.float32)
    for k, (view, true_view) in enumerate(zip(seen.views, true_views)):
        offset, known = true_offsets(view, true_view)
        mine = where & known & (seen.best_view == k)
        error[mine] = SIZE * np.linalg.norm(offset[mine], axis=-1)
    return float(np.nanmedian(error[where]))


def _gradients(texture, true_views, face: np.ndarray) -> tuple[float, float]:
    """Energy ratio and share of true detail, as the head of this file defines them."""
    trust = np.stack([view.trust for view in true_views])
    best = trust.argmax(0)
    where = face & (texture.seen > 0.5) & (trust.max(0) > 0.5)
    own = _forward_differences(texture.rgb)
    true = np.zeros_like(own)
    for k, view in enumerate(true_views):
        true[best == k] = _forward_differences(view.rgb)[best == k]
    own, true = own[where], true[where]
    return float((own**2).sum() / (true**2).sum()), float((own * true).sum() / (true**2).sum())


def _forward_differences(rgb: np.ndarray) -> np.ndarray:
    light = luma(rgb)
    return np.stack(
        [np.diff(light, axis=1, append=light[:, -1:]), np.diff(light, axis=0, append=light[-1:])], -1
    )


def _geometry_errors(head, truth: Truth, seen, true_shapes: np.ndarray) -> tuple[float, float]:
    """Inner-face landmark error and silhouette error, shares of the face's height."""
    import torch

    fit = seen.texture.fit
    shapes = head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression))
    true_shapes = torch.from_numpy(true_shapes)
    oval = np.isin(np.arange(NUM_SURFACE_LANDMARKS), FACE_OVAL)
    loose = _vertices_of(head, "ears") + _vertices_of(head, "scalp")
    inner, outer = [], []
    for k, keyframe in enumerate(seen.keyframes):
        at = round(keyframe.frame.time * int(truth.frames_per_second))
        own = Camera(fit.focal_px, fit.rotation[k], fit.translation[k], fit.image_size)
        true = Camera(float(truth.focal_px), truth.rotation[at], truth.translation[at], fit.image_size)
        points = [
            np.concatenate([head.landmarks(shape).numpy(), shape[loose].numpy()])
            for shape in (shapes[k], true_shapes[k])
        ]
        pixels = [camera.project(p) for camera, p in zip((own, true), points)]
        distance = np.linalg.norm(pixels[0] - pixels[1], axis=1)
        height = np.linalg.norm(pixels[1][10] - pixels[1][152])
        marks = distance[:NUM_SURFACE_LANDMARKS] / height
        inner.append(marks[~oval].mean())
        outer.append(np.concatenate([marks[oval], distance[NUM_SURFACE_LANDMARKS:] / height]).mean())
    return float(np.mean(inner)), float(np.mean(outer))


def _vertices_of(head, region: str, count: int = 200) -> list[int]:
    """About `count` vertices of a region, evenly spread over its list."""
    label = list(head.config.region_names).index(region)
    vertices = np.unique(head.faces.numpy()[head.face_region.numpy() == label])
    return vertices[:: max(len(vertices) // count, 1)].tolist()


if __name__ == "__main__":
    main()
