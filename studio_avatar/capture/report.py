"""How good a capture is, in numbers and in words about what the user could do better."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from studio_avatar.capture.fitting import HeadFit
from studio_avatar.capture.fusion import Fused
from studio_avatar.capture.keyframes import FaceFrame

SEEN_AT = 0.3  # trust from which a texel counts as seen
VERDICTS = ("good", "fair", "poor")


@dataclass(frozen=True)
class Finding:
    """One measured property of a capture.

    threshold: the value from which on (or up to which) the property is good.
    verdict: "good", "fair" or "poor".
    advice: one sentence on what to do; empty when the verdict is good.
    """

    name: str
    value: float
    unit: str
    threshold: float
    verdict: str
    advice: str


@dataclass(frozen=True)
class CaptureReport:
    """All findings about a capture.

    frames_sampled: pictures looked at; frames_with_face: of those, with a face; frames_used: keyframes.
    """

    frames_sampled: int
    frames_with_face: int
    frames_used: int
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The worst verdict of all findings that can be mended."""
        return max((f.verdict for f in self.findings), key=VERDICTS.index, default="good")

    @property
    def summary(self) -> str:
        """One or two sentences: how good the capture is, and the most pressing advice."""
        used = f"{self.frames_used} of {self.frames_sampled} pictures were used"
        if self.verdict == "good":
            return f"Good capture: {used}."
        worst = next(f for f in self.findings if f.verdict == self.verdict)
        opening = "Usable capture" if self.verdict == "fair" else "Weak capture"
        return f"{opening}: {used}. {worst.advice}"

    def finding(self, name: str) -> Finding:
        """The finding of that name; raises `KeyError` if there is none."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def to_dict(self) -> dict:
        """Plain dictionaries, lists, numbers and strings, ready for JSON."""
        return {
            "verdict": self.verdict,
            "summary": self.summary,
            "frames_sampled": self.frames_sampled,
            "frames_with_face": self.frames_with_face,
            "frames_used": self.frames_used,
            "findings": [asdict(finding) for finding in self.findings],
        }


def make_report(
    head,
    fused: Fused,
    keyframes: Sequence[FaceFrame],
    fit: HeadFit,
    frames_sampled: int,
    frames_with_face: int,
) -> CaptureReport:
    """Measure a finished capture; `fused` is its texture, `keyframes` the frames it came from."""
    from studio_avatar.head.layout import region_mask

    size = fused.seen.shape[0]
    face, ears = (
        region_mask(head, size, *names) for names in (("face", "lips", "brows", "eyelids"), ("ears",))
    )
    seen_face = face & (fused.seen > SEEN_AT)
    skin = fused.rgb[seen_face] if seen_face.any() else np.full((1, 3), 0.5, np.float32)
    turns = [k.face.yaw_deg for k in keyframes]
    nods = [k.face.pitch_deg for k in keyframes]
    seen = fused.seen > SEEN_AT
    findings = [
        _at_least("face_seen", 100 * seen[face].mean(), "%", 90, 65, "Turn the head slowly to both sides."),
        _at_least(
            "ears_seen", 100 * seen[ears].mean(), "%", 50, 15, "Turn further, until each ear was in view."
        ),
        _at_least(
            "yaw_range", np.ptp(turns), "degrees", 60, 25, "Turn the head further to the left and right."
        ),
        _at_least("pitch_range", np.ptp(nods), "degrees", 20, 6, "Look up and down once as well."),
        _at_least(
            "face_height", _median(k.face.height_px for k in keyframes), "pixels", 350, 160, "Come closer."
        ),
        _at_least(
            "sharpness",
            _median(k.sharpness for k in keyframes),
            "0-1",
            0.5,
            0.3,
            "Hold still, or find more light.",
        ),
        _at_least(
            "faces_found",
            100 * frames_with_face / frames_sampled,
            "%",
            80,
            40,
            "Keep the face in the picture.",
        ),
        _at_most("too_dark", 100 * (skin.max(1) < 0.12).mean(), "%", 5, 20, "Find more light."),
        _at_most("too_bright", 100 * (skin.max(1) > 0.98).mean(), "%", 3, 12, "Avoid direct lamps and sun."),
        _at_most(
            "uneven_light",
            100 * _unevenness(fused, face),
            "%",
            12,
            35,
            "Face the window or lamp, not sideways.",
        ),
        _at_most(
            "fit_error",
            100 * fit.reprojection_error,
            "% of face height",
            1.0,
            2.0,
            "Keep hair and hands off.",
        ),
        Finding("skin_tone_ita", _number(skin_tone_ita(skin)), "degrees", 0.0, "good", ""),
    ]
    return CaptureReport(frames_sampled, frames_with_face, len(keyframes), tuple(findings))


def skin_tone_ita(skin: np.ndarray) -> float:
    """Individual typology angle of skin colours (N, 3) sRGB in [0, 1], degrees: atan2(L* - 50, b*).

    Above 55 very light, 41 light, 28 intermediate, 10 tan, -30 brown, below dark (Chardon 1991). It tells of
    the light of the capture as much as of the skin.
    """
    import cv2

    lightness, _, yellow = np.median(
        cv2.cvtColor(skin[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0], axis=0
    )
    return float(np.degrees(np.arctan2(lightness - 50.0, yellow)))


def _unevenness(fused: Fused, face: np.ndarray) -> float:
    """Difference of the face halves' mean luma over its mean; only texels seen on both sides count."""
    seen = face & (fused.seen > SEEN_AT)
    both = (seen & seen[:, ::-1])[:, : seen.shape[1] // 2]
    if not both.any():
        return 0.0
    luma = fused.rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    left, right = luma[:, : both.shape[1]][both].mean(), luma[:, ::-1][:, : both.shape[1]][both].mean()
    return abs(left - right) / max(0.5 * (left + right), 1e-3)


def _median(values) -> float:
    return float(np.median(list(values)))


def _number(value) -> float:
    return round(float(value), 4)


def _at_least(name: str, value, unit: str, good: float, fair: float, advice: str) -> Finding:
    verdict = "good" if value >= good else "fair" if value >= fair else "poor"
    return Finding(name, _number(value), unit, good, verdict, "" if verdict == "good" else advice)


def _at_most(name: str, value, unit: str, good: float, fair: float, advice: str) -> Finding:
    verdict = "good" if value <= good else "fair" if value <= fair else "poor"
    return Finding(name, _number(value), unit, good, verdict, "" if verdict == "good" else advice)
