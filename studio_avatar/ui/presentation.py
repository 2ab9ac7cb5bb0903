"""Turning progress, reports and results into what a reader sees: HTML and one picture."""

import base64
import html
from pathlib import Path
from urllib.parse import quote

import numpy as np

from studio_avatar.imaging.image_io import unit_to_uint8
from studio_avatar.pipeline.skin_tone import SkinTone
from studio_avatar.results.settings import stage_title

from .progress import RunProgress

COMPLETED_TINT = np.array([0.92, 0.45, 0.16])  # sRGB; the page's accent colour
TINT_STRENGTH = 0.55
SHOWN_SECONDS = 0.05
VERDICT_WORDS = {"good": "Good capture", "fair": "Usable capture", "poor": "Weak capture"}
NEITHER_GOOD_NOR_POOR = ("skin_tone_ita", "light_azimuth")
PREVIEW_TITLES = {
    "phone_texture": "What the phone saw",
    "base": "Studio base, what the model knows of faces",
    "relit": "Relit: your own texture in studio light",
}
PROMISES = """
<div class="promises">
<div><h3>Light goes, you stay</h3><p>Shadows, lamps and colour casts come off the skin; marks and fine detail are taken
from your own capture.</p></div>
<div><h3>Complete</h3><p>What the phone never saw is filled in, and you are shown where.</p></div>
<div><h3>Yours to use</h3><p>A GLB with 52 ARKit expressions for Blender, Unity, Unreal and the browser.</p></div>
</div>
"""
TONE_TITLES = {"phone": "As filmed", "studio": "In the studio texture"}


def file_address(path: str | Path) -> str:
    """Where the page finds a file of its session; relative, so that it holds behind a proxy as well."""
    return f"gradio_api/file={quote(str(path))}"


def welcome(picture: Path) -> str:
    """HTML of the page before there is a result; the picture, a JPEG, is part of it."""
    data = base64.b64encode(picture.read_bytes()).decode()
    return (
        f'<figure class="welcome"><img src="data:image/jpeg;base64,{data}" alt="A head in the viewer, its left half with '
        "the phone texture, its right half with the studio texture, under one lamp\"><figcaption>The example's avatar: as "
        f"filmed left of the divider, in studio light right of it, both under a new lamp.</figcaption></figure>{PROMISES}"
    )


def notice(text: str, kind: str = "quiet") -> str:
    """One line of HTML for the status panel; `kind` is "quiet", "done" or "problem"."""
    role = "alert" if kind == "problem" else "status"
    return f'<p class="notice {kind}" role="{role}">{html.escape(text)}</p>'


def run_progress(progress: RunProgress) -> str:
    """HTML of a run: earlier stages done, the running one with step, bar and time left."""
    *done, running = progress.fractions
    rows = [f'<li class="done">{html.escape(stage_title(stage))}</li>' for stage in done]
    percent = round(100 * progress.fractions[running])
    step, left = progress.step(), progress.seconds_left()
    details = [f"step {step[0]} of {step[1]}"] if step else []
    details += [f"about {_duration(left)} left"] if left is not None else []
    rows.append(
        f'<li class="running"><span>{html.escape(stage_title(running))}</span>'
        f'<span class="bar" role="progressbar" aria-label="{html.escape(stage_title(running))}" '
        f'aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100"><span style="width:{percent}%"></span></span>'
        f'<span class="details">{" · ".join(details)}</span></li>'
    )
    return f'<ol class="stages">{"".join(rows)}</ol>'


def shows_progress(status: str) -> bool:
    """Whether the status panel's HTML is from `run_progress`."""
    return 'class="stages"' in status


def capture_card(findings: dict) -> str:
    """HTML of a capture report: the verdict, what to do better, and every measured quantity."""
    advice = [finding for finding in findings["findings"] if finding["advice"]]
    tips = "".join(f'<li class="{tip["verdict"]}">{html.escape(tip["advice"])}</li>' for tip in advice)
    left_out = "".join(
        f", {count} left out: {html.escape(reason.replace('_', ' '))}"
        for reason, count in findings["frames_rejected"].items()
        if count
    )
    frames = f"{findings['frames_used']} of {findings['frames_sampled']} pictures used{left_out}"
    return (
        f'<section class="card {findings["verdict"]}"><h3>{VERDICT_WORDS[findings["verdict"]]}</h3>'
        f'<p class="frames">{frames}</p>'
        + (
            f'<p>To do better next time:</p><ul class="tips">{tips}</ul>'
            if tips
            else "<p>Nothing to improve.</p>"
        )
        + "</section>"
        + findings_list(findings)
    )


def findings_list(findings: dict) -> str:
    """HTML of all findings: name, value and verdict."""
    rows = "".join(
        f'<div class="{finding["verdict"]}"><dt>{_title(finding["name"])}</dt>'
        f"<dd>{_value(finding['value'])} {html.escape(finding['unit'].replace('0-1', ''))}"
        f'<span class="verdict">{"" if finding["name"] in NEITHER_GOOD_NOR_POOR else finding["verdict"]}</span></dd></div>'
        for finding in findings["findings"]
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


def texture_compare(phone_texture: Path, texture: Path, overlay: Path) -> str:
    """The element that static/texture_compare.js fills."""
    return (
        f'<studio-compare before="{file_address(phone_texture)}" after="{file_address(texture)}" '
        f'marked="{file_address(overlay)}"></studio-compare>'
    )


def skin_tone_rows(tones: dict[str, SkinTone]) -> str:
    """HTML of the skin's tone before and after: a swatch, the typology angle and its class."""
    rows = "".join(
        f'<div><span class="swatch" style="background:rgb{tone.rgb}" role="img" '
        f'aria-label="Skin colour rgb{tone.rgb}"></span>'
        f"<dt>{TONE_TITLES[name]}</dt><dd>{tone.name}, ITA {tone.ita:.0f}°{_spread(tone)}</dd></div>"
        for name, tone in tones.items()
    )
    return f'<section class="tones"><h3>Skin tone</h3><dl>{rows}</dl></section>'


def _spread(tone: SkinTone) -> str:
    return f" ± {tone.ita_std:.0f}°" if any(tone.std) else ""


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


def provenance_overlay(texture: np.ndarray, provenance: np.ndarray):
    """The texture with what the model completed tinted.

    Args:
        texture: (H, W, 3) uint8 sRGB.
        provenance: (H, W) float in [0, 1], 1 = seen by the phone.
    Returns:
        PIL image of the same size.
    """
    from PIL import Image

    colour = texture.astype(np.float32) / 255.0
    completed = (1.0 - provenance)[..., None] * TINT_STRENGTH
    return Image.fromarray(unit_to_uint8(colour * (1.0 - completed) + COMPLETED_TINT * completed))


def _title(name: str) -> str:
    text = html.escape(name.replace("_", " "))
    return (text[:1].upper() + text[1:]).replace(" ita", " (ITA)")


def _value(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _duration(seconds: float) -> str:
    return f"{max(round(seconds), 1)} s" if seconds < 90 else f"{round(seconds / 60)} min"
