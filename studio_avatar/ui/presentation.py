"""Turning progress, reports and maps into what a reader sees: HTML, Markdown and one picture."""

import html

import numpy as np

from ..creation import stage_title
from ..images import unit_to_uint8
from .worker import StageProgress

Findings = dict
COMPLETED_TINT = np.array([0.92, 0.45, 0.16])  # sRGB; the page's accent colour
TINT_STRENGTH = 0.55


class StageLog:
    """The stages of one run in the order they came, drawn as a list with a bar for the running one."""

    def __init__(self):
        self._fractions: dict[str, float] = {}

    def add(self, progress: StageProgress) -> None:
        self._fractions[progress.stage] = progress.fraction

    def html(self) -> str:
        """An HTML list: earlier stages done, the last one with its bar."""
        *done, running = self._fractions
        rows = [f'<li class="done">{html.escape(stage_title(stage))}</li>' for stage in done]
        percent = round(100 * min(max(self._fractions[running], 0.0), 1.0))
        rows.append(
            f'<li class="running">{html.escape(stage_title(running))}'
            f'<span class="bar" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" '
            f'aria-valuemax="100"><span style="width:{percent}%"></span></span></li>'
        )
        return f'<ol class="stages" aria-live="polite">{"".join(rows)}</ol>'


def notice(text: str) -> str:
    """One quiet line of HTML for the status panel."""
    return f'<p class="notice">{html.escape(text)}</p>'


def findings_list(findings: Findings) -> str:
    """HTML of a capture report: what was measured, how good it is and, where it falls short, what helps."""
    rows = [f'<p class="summary">{html.escape(findings["summary"])}</p><dl class="findings">']
    for finding in findings["findings"]:
        advice = html.escape(finding["advice"])
        rows.append(
            f'<div class="{finding["verdict"]}"><dt>{_title(finding["name"])}</dt>'
            f"<dd>{finding['value']:.3g} {html.escape(finding['unit'].replace('0-1', ''))}</dd>"
            + (f'<dd class="advice">{advice}</dd>' if advice else "")
            + "</div>"
        )
    return "".join([*rows, "</dl>"])


def timings_line(timings: dict[str, float], seen_share: float) -> str:
    """Markdown: seconds in all and by stage, and how much of the texture the phone saw."""
    stages = " · ".join(f"{stage_title(stage)} {seconds:.1f}" for stage, seconds in timings.items())
    total = sum(timings.values())
    return f"The phone saw **{seen_share:.0%}** of the texture. Made in **{total:.0f} s**: {stages}."


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
    return text[:1].upper() + text[1:]
