"""Turning progress, reports and results into what a reader sees: HTML and one picture."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from studio_avatar.imaging.color import linear_to_srgb
from studio_avatar.imaging.image_io import unit_to_uint8
from studio_avatar.pipeline.skin_tone import SkinTone
from studio_avatar.results.settings import stage_title

from .jobs import Job
from .progress import RunProgress

COMPLETED_TINT = np.array([0.92, 0.45, 0.16])  # sRGB; the page's accent color
TINT_STRENGTH = 0.55
LIGHT_WHITE = 99.0  # percentile of the light that is shown white
SHOWN_SECONDS = 0.05
VERDICT_WORDS = {"good": "Good capture", "fair": "Usable capture", "poor": "Weak capture"}
# Not shown: the page has one figure of skin tone, and the advice says where the light comes from.
NEITHER_GOOD_NOR_POOR = ("skin_tone_ita", "light_azimuth", "skin_tone_known")
FINDING_VERDICTS = {"good": "good", "fair": "fair", "poor": "weak"}
FINDING_TITLES = {
    "face_seen": "Face seen", "ears_seen": "Ears seen", "neck_seen": "Neck seen", "scalp_seen": "Top of the head seen",
    "yaw_range": "Turned from side to side by", "pitch_range": "Nodded by", "face_height": "Height of the face",
    "sharpness": "Sharpness, 0 to 1", "frames_usable": "Usable pictures", "fit_error": "Error of the fitted head",
    "too_dark": "Too dark", "too_bright": "Too bright", "uneven_light": "Unevenness of the light",
    "glasses": "Marks of glasses", "hair_on_face": "Hair on the forehead",
    "mouth_covered": "Cloth over the mouth, a mask from 1",
    "face_in_picture": "Part of the face in the picture", "other_shots": "Pictures of another shot",
}  # fmt: skip
REASON_WORDS = {
    "no_face": "no face in it", "too_small": "face too small", "cut": "another shot", "blurred": "blurred",
    "eyes_closed": "eyes closed", "occluded": "something in front of the face",
}  # fmt: skip
PREVIEW_TITLES = {
    "sheet": "Your pictures, and the head that was fitted to them",
    "phone_texture": "What the phone saw",
    "base": "Studio base, what the model knows of faces",
    "relit": "Relit: your own texture in studio light",
}
PROMISES = """
<div class="promises">
<div><h3>Light goes, you stay</h3><p>Shadows, lamps and color casts come off the skin; marks and fine detail are taken
from your own capture.</p></div>
<div><h3>Complete</h3><p>What the phone never saw is filled in, and you are shown where.</p></div>
<div><h3>Yours to use</h3><p>A GLB with 52 ARKit expressions for Blender, Unity, Unreal and the browser.</p></div>
</div>
"""
FINISHED = "Finished heads of people who do not exist, to turn and light:"  # page.js opens them
MOVE_IT = "Move this head with your own face"
HEAD_FILES = ("avatar.glb", "phone.jpg", "seen.png")  # of a finished head, as `head_viewer` takes them
COME_BACK = (
    "The address of this page shows your last avatar in other tabs of this browser, too, until you close all of them, for "
    "an hour at most."
)
TONE_TITLES = {"phone": "As filmed", "studio": "In the studio texture"}


def file_address(path: str | Path) -> str:
    """Where the page finds a file of its session; relative, so that it holds behind a proxy as well."""
    return f"gradio_api/file={quote(str(path))}"


def welcome(picture: Path, heads: Sequence[Path] = ()) -> str:
    """HTML of the page before there is a result; the picture, a JPEG, is part of it.

    heads: folders of finished heads, see `Examples`, the picture's own first; page.js puts one into the picture's place
    when its button is pressed.
    """
    data = base64.b64encode(picture.read_bytes()).decode()
    return f"""<figure class="welcome"><img class="shown" src="data:image/jpeg;base64,{data}"
alt="A head in the viewer, its left half with the phone texture, its right half with the studio texture, under one lamp">
<figcaption>An avatar: as filmed left of the divider, in studio light right of it, both under a new lamp.</figcaption>
{_gallery(heads)}</figure>{PROMISES}"""


def _gallery(heads: Sequence[Path]) -> str:
    """A button for each finished head, with the viewer that it opens, and one that asks for the camera."""
    if not heads:
        return ""
    buttons = "".join(
        f'<button type="button" class="finished" aria-label="Finished head {number}"><img src="'
        f'{file_address(head / "picture.jpg")}" alt=""><template>'
        f"{head_viewer(*(head / name for name in HEAD_FILES))}</template></button>"
        for number, head in enumerate(heads, 1)
    )
    return f'<p class="gallery"><span>{FINISHED}</span>{buttons}<button type="button" class="move">{MOVE_IT}</button></p>'


def notice(text: str, kind: str = "quiet", run: int | None = None, phase: str = "") -> str:
    """One line of HTML for the status panel; `kind` is "quiet", "waiting", "done" or "problem".

    run, phase: of which run, and how far it is: "work", "check", "tone", "result" or "failed"; "gone" where an address shows
    nothing. static/page.js brings what there is to see in a new phase into view.
    """
    role = "alert" if kind == "problem" else "status"
    return f'<p class="notice {kind}" role="{role}"{_phase(run, phase)}>{html.escape(text)}</p>'


def _phase(run: int | None, phase: str) -> str:
    return f' data-run="{run}" data-phase="{phase}"' if phase else ""


def working(job: Job, phase: str = "work") -> str:
    """HTML of a run that waits or works, with a button that page.js takes for Cancel. phase: as for `notice`."""
    return f'<button type="button" class="stop">Cancel</button>{_how_far(job, phase)}'


def _how_far(job: Job, phase: str) -> str:
    if job.waiting is not None:
        before = f"{job.waiting.before} before you, about {_words_of(job.waiting.seconds)}."
        return notice(before, "waiting", job.number, phase)
    if not job.progress.fractions:
        return notice("Starting ...", "waiting", job.number, phase)
    return run_progress(job.progress, job.number, phase)


def run_progress(progress: RunProgress, run: int, phase: str = "work") -> str:
    """HTML of a run: earlier stages done, the running one with step, bar and time left."""
    *done, running = progress.fractions
    rows = [f'<li class="done">{html.escape(stage_title(stage))}</li>' for stage in done]
    percent = round(100 * progress.fractions[running])
    step, left = progress.step(), progress.time_left()
    details = [f"step {step[0]} of {step[1]}"] if step else []
    if left is not None:
        seconds, reason = left
        details += [f"about {_duration(seconds)} left", *([reason] if reason else [])]
    rows.append(
        f'<li class="running"><span>{html.escape(stage_title(running))}</span>'
        f'<span class="bar" role="progressbar" aria-label="{html.escape(stage_title(running))}" '
        f'aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100"><span style="width:{percent}%"></span></span>'
        f'<span class="details">{" · ".join(details)}</span></li>'
    )
    return f'<ol class="stages"{_phase(run, phase)}>{"".join(rows)}</ol>'


def capture_card(findings: dict) -> str:
    """HTML of a capture report: the verdict, what to do better, and, folded in, every measured quantity."""
    tips = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in findings["advice"])
    better = (
        f'<p>To do better next time:</p><ol class="tips">{tips}</ol>'
        if tips
        else "<p>Nothing to improve.</p>"
    )
    return (
        f'<section class="card {findings["verdict"]}"><h3>{VERDICT_WORDS[findings["verdict"]]}</h3>'
        f'{better}<p class="frames">{html.escape(pictures_used(findings))}</p></section>'
        f"<details><summary>What was measured</summary>{findings_list(findings)}</details>"
    )


def tone_question(findings: dict) -> str | None:
    """Why a capture says nothing of the skin's tone, as a sentence that asks for it; None where it does."""
    return next((f["advice"] for f in findings["findings"] if f["name"] == "skin_tone_known"), None)


def pictures_used(findings: dict) -> str:
    """Where the pictures went; the numbers add up to those that were looked at."""
    sampled, used = findings["frames_sampled"], findings["frames_used"]
    left_out = {reason: count for reason, count in findings["frames_rejected"].items() if count}
    alike = sampled - used - sum(left_out.values())
    parts = [f"{used} used"]
    parts += [f"{alike} much like these"] if alike > 0 else []
    parts += [f"{count} left out ({REASON_WORDS.get(reason, reason)})" for reason, count in left_out.items()]
    return f"{sampled} picture{'s' * (sampled != 1)} looked at: {', '.join(parts)}."


def findings_list(findings: dict) -> str:
    """HTML of the findings that are good or poor: name, value and verdict."""
    rows = "".join(
        f'<div class="{finding["verdict"]}"><dt>{_title(finding["name"])}</dt>'
        f"<dd>{_value(finding['value'])} {html.escape(finding['unit'].replace('0-1', ''))}"
        f'<span class="verdict">{FINDING_VERDICTS[finding["verdict"]]}</span></dd></div>'
        for finding in findings["findings"]
        if finding["name"] not in NEITHER_GOOD_NOR_POOR
    )
    return f'<dl class="findings">{rows}</dl>'


def figures(pictures: dict[str, tuple[str | Path, str]]) -> str:
    """HTML of pictures side by side: {caption: (file, alternative text)}."""
    rows = "".join(
        f'<figure><img src="{file_address(path)}" alt="{html.escape(text)}"><figcaption>{html.escape(caption)}'
        "</figcaption></figure>"
        for caption, (path, text) in pictures.items()
    )
    return f'<div class="figures">{rows}</div>'


def previews(ready: dict[str, Path]) -> str:
    """HTML of what exists of an avatar while it is made; `ready` maps "phone_texture", "base" and "relit" to files."""
    return figures({PREVIEW_TITLES[name]: (path, PREVIEW_TITLES[name]) for name, path in ready.items()})


def head_viewer(glb: Path, phone_head: Path, provenance: Path) -> str:
    """The element that static/head_viewer.js fills."""
    return (
        f'<studio-head glb="{file_address(glb)}" phone="{file_address(phone_head)}" '
        f'seen="{file_address(provenance)}"></studio-head>'
    )


def still_head(picture: Path) -> str:
    """A picture of the head for browsers that cannot draw it."""
    return (
        f'<figure class="still"><img src="{file_address(picture)}" alt="Your head under three lights"><figcaption>This '
        "browser has no WebGL 2, so the head stands still: download it and open it in any 3D program.</figcaption></figure>"
    )


def texture_compare(phone_texture: Path, texture: Path, overlays: dict[str, Path]) -> str:
    """The element that static/texture_compare.js fills; `overlays`: "completed", "kept", "light", "repair" → file."""
    pictures = {"before": phone_texture, "after": texture, **overlays}
    attributes = " ".join(f'{name}="{file_address(path)}"' for name, path in pictures.items())
    return f"<studio-compare {attributes}></studio-compare>"


def skin_tone_rows(tones: dict[str, SkinTone]) -> str:
    """HTML of the skin's tone: the color as filmed, and that of the texture with its class and place on the scale."""
    studio = tones["studio"]
    spread = f", give or take {studio.ita_std:.0f}" if any(studio.std) else ", as you chose it"
    said = {
        "phone": "with the light it was filmed in",
        "studio": f"{studio.name}: {studio.ita:.0f} on the scale from −60 (dark) to 65 (very light){spread}",
    }
    rows = "".join(
        f'<div><span class="swatch" style="background:rgb{tone.rgb}" role="img" '
        f'aria-label="Skin color rgb{tone.rgb}"></span><dt>{TONE_TITLES[name]}</dt><dd>{said[name]}</dd></div>'
        for name, tone in tones.items()
    )
    return f'<section class="tones"><h3>Skin tone</h3><dl>{rows}</dl></section>'


def account(invented: str, timings: dict[str, float]) -> str:
    """HTML: what was invented, and where the time went."""
    stages = " · ".join(
        f"{stage_title(stage)} {seconds:.1f} s"
        for stage, seconds in timings.items()
        if seconds >= SHOWN_SECONDS
    )
    return (
        f"<section><h3>What was invented</h3><p>{html.escape(invented)}</p></section>"
        f'<section><h3>Made in {sum(timings.values()):.0f} s</h3><p class="timings">{html.escape(stages)}</p></section>'
    )


def result_address(token: str) -> str:
    """HTML: what the page's address is good for; page.js puts the token there."""
    return f'<p data-result="{token}">{COME_BACK}</p>'


def light_picture(gain: np.ndarray) -> np.ndarray:
    """The light that relighting took off.

    Args:
        gain: (H, W, 3) natural logarithm of the factor in linear color; where it is dark the light was bright.
    Returns:
        (H, W, 3) float32 sRGB in [0, 1], its brightest parts white.
    """
    light = np.exp(-gain)
    linear = np.clip(light / np.percentile(light.max(axis=-1), LIGHT_WHITE), 0.0, 1.0)
    return linear_to_srgb(linear).astype(np.float32)


def hex_of_linear(color: Sequence[float]) -> str:
    """A linear color (3,) as "#rrggbb" in sRGB."""
    values = linear_to_srgb(np.clip(color, 0.0, 1.0).astype(np.float32))
    return "#" + "".join(f"{round(255 * value):02x}" for value in values.tolist())


def hex_of_picker(color: str) -> str:
    """What gradio's color picker gives, "#rrggbb" or "rgba(red, green, blue, 1)", as "#rrggbb"."""
    if color.startswith("#"):
        return color[:7].lower()
    return "#" + "".join(f"{round(float(value)):02x}" for value in re.findall(r"[\d.]+", color)[:3])


def provenance_overlay(texture: np.ndarray, provenance: np.ndarray):
    """The texture with what the model completed tinted.

    Args:
        texture: (H, W, 3) uint8 sRGB.
        provenance: (H, W) float in [0, 1], 1 = seen by the phone.
    Returns:
        PIL image of the same size.
    """
    from PIL import Image

    color = texture.astype(np.float32) / 255.0
    completed = (1.0 - provenance)[..., None] * TINT_STRENGTH
    return Image.fromarray(unit_to_uint8(color * (1.0 - completed) + COMPLETED_TINT * completed))


def _title(name: str) -> str:
    return html.escape(FINDING_TITLES.get(name, name.replace("_", " ").capitalize()))


def _value(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _words_of(seconds: float) -> str:
    """ "about" so long, in words."""
    minutes = round(seconds / 60)
    return (
        f"{max(5 * round(seconds / 5), 5)} seconds"
        if seconds < 50
        else f"{max(minutes, 1)} minute{'s' * (minutes > 1)}"
    )


def _duration(seconds: float) -> str:
    return f"{max(round(seconds), 1)} s" if seconds < 90 else f"{round(seconds / 60)} min"
