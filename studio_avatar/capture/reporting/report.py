"""How good a capture is, in numbers and in words about what the user could do better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.capture.detection.people import FaceFrame, Sighting
from studio_avatar.capture.fitting.head_fit import HeadFit
from studio_avatar.capture.texture.fusion import Fused
from studio_avatar.capture.texture.skin import OTHER_ABOVE, skin_distance, thin_marks, typical_chroma
from studio_avatar.head.geometry import geometry
from studio_avatar.imaging.color import luma

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

SEEN_AT = 0.3  # trust from which a texel counts as seen
VERDICTS = ("good", "fair", "poor")
MOST_PHOTOS = 5  # more pictures than that are a clip
MOST_ADVICE = 3
# What somebody has to choose or it is invented: said first, whatever else there is to say.
TO_CHOOSE = "skin_tone_known"
# Findings that mean the same to the user, the most important first: one sentence for each group.
GROUPS = (
    ("other_shots",),
    ("mouth_covered",),
    ("too_dark", "too_bright", "uneven_light"),
    ("face_in_picture", "face_seen", "yaw_range", "ears_seen"),
    ("fit_error",),
    ("face_height",),
    ("sharpness", "frames_usable"),
    ("pitch_range", "neck_seen", "scalp_seen"),
    ("glasses", "hair_on_face"),
    (TO_CHOOSE,),
)
# What a good head does without: light is taken off, and neck, ears and scalp are completed where they were not seen. Glasses
# and strands are told by color and thinness, which wrinkles around the eyes have, too. These make a capture fair at most; a
# clip that never turned, or a face in the dark, makes it poor.
NICE_TO_HAVE = {
    "uneven_light", "ears_seen", "neck_seen", "scalp_seen", "pitch_range", "glasses", "hair_on_face",
}  # fmt: skip
PHOTO_ADVICE = {
    "face_seen": "Add a photo from the left and one from the right.",
    "yaw_range": "The profile is a guess: add a photo from the left and one from the right.",
    "ears_seen": "Add photos from further round, until each ear is in one.",
    "neck_seen": "Add a photo with the chin lifted and the collar open.",
    "scalp_seen": "Add a photo with the head bowed.",
    "pitch_range": "Add a photo with the chin lifted.",
}
NECK_GOOD, SCALP_GOOD = 30, 25  # % seen
REGIONS = {
    "face": ("face", "lips", "brows", "eyelids"),
    "ears": ("ears",),
    "neck": ("neck",),
    "scalp": ("scalp",),
}
ADVICE_BY_REASON = {
    "no_face": "Keep the face in the picture.",
    "too_small": "Come closer.",
    "cut": "Record one clip of one person, without cuts.",
    "blurred": "Move more slowly, or find more light.",
    "eyes_closed": "Keep the eyes open.",
    "occluded": "Keep hands and hair off the face.",
}
FACE_INSIDE = 97  # % of its landmarks
KEEP_IN_VIEW = "Keep the whole face in view: hold the camera further away."
# MediaPipe landmarks: from the lower lids to the cheeks, where rims of glasses lie; the forehead and the temples above
# the brows.
AROUND_EYES = (
    (226, 31, 228, 229, 230, 231, 232, 233, 244, 245, 188, 114, 47, 100, 101, 50, 123, 116, 143, 35),
    (446, 261, 448, 449, 450, 451, 452, 453, 464, 465, 412, 343, 277, 329, 330, 280, 352, 345, 372, 265),
)
FOREHEAD_AREA = (
    (63, 105, 66, 107, 9, 336, 296, 334, 293, 301, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 71),
)
BETWEEN_BROWS = 9  # landmark
HAIR_FAIR, HAIR_POOR = 10, 25  # percent of the forehead that is covered
# Around the mouth, from the nose to the chin.
AROUND_MOUTH = ((203, 206, 216, 212, 202, 204, 194, 201, 200, 421, 418, 424, 422, 432, 436, 426, 423, 164),)
# Cloth is less red and more blue than skin by so many log units, and lips under it are not told from what surrounds them.
# Of 664 generated portraits, beards and make-up among them, none comes so far in all three.
LESS_RED, MORE_BLUE, LIPS_ALIKE = 0.4, 0.2, 0.35
ENOUGH_TEXELS = 30


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
    frames_rejected: how many pictures were left out for each reason. photos: they were photos and no clip, however short.
    """

    frames_sampled: int
    frames_with_face: int
    frames_used: int
    frames_rejected: dict[str, int]
    findings: tuple[Finding, ...]
    photos: bool = False

    @property
    def verdict(self) -> str:
        """The worst verdict of the findings; those that a good head does without count as fair at most."""
        verdicts = (min(f.verdict, self._worst(f), key=VERDICTS.index) for f in self.findings)
        return max(verdicts, key=VERDICTS.index, default="good")

    @property
    def advice(self) -> tuple[str, ...]:
        """At most three sentences on what to do better, none twice: what has to be chosen, then the worst."""
        by_name = {finding.name: finding for finding in self.findings if finding.advice}
        worst_of_groups = []
        for rank, names in enumerate(GROUPS):
            found = [by_name[name] for name in names if name in by_name]
            if found:  # `max` takes the first of equals: the most important one
                worst = max(found, key=lambda finding: VERDICTS.index(finding.verdict))
                pressing = (
                    worst.name != TO_CHOOSE,
                    -VERDICTS.index(worst.verdict),
                    worst.name in NICE_TO_HAVE,
                )
                worst_of_groups.append((*pressing, rank, worst.advice))
        return tuple(dict.fromkeys(sentence for *_, sentence in sorted(worst_of_groups)))[:MOST_ADVICE]

    def _worst(self, finding: Finding) -> str:
        never_asked = self.photos and finding.name == "yaw_range"
        return "fair" if finding.name in NICE_TO_HAVE or never_asked else "poor"

    @property
    def summary(self) -> str:
        """One or two sentences: how good the capture is, and the most pressing advice."""
        used = f"{self.frames_used} of {self.frames_sampled} pictures were used"
        if self.verdict == "good":
            return f"Good capture: {used}."
        opening = "Usable capture" if self.verdict == "fair" else "Weak capture"
        return f"{opening}: {used}. {self.advice[0]}"

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
            "advice": list(self.advice),
            "frames_sampled": self.frames_sampled,
            "frames_with_face": self.frames_with_face,
            "frames_used": self.frames_used,
            "frames_rejected": dict(self.frames_rejected),
            "findings": [asdict(finding) for finding in self.findings],
        }


def make_report(
    head: HeadModel,
    fused: Fused,
    keyframes: Sequence[FaceFrame],
    fit: HeadFit,
    sighting: Sighting,
    doubt: str | None = None,
) -> CaptureReport:
    """Measure a finished capture; `fused` is its texture, `keyframes` the frames it came from.

    doubt: why nothing can be said of the skin tone (`SceneStatistics.doubt`).
    """
    around_eyes, on_forehead = _covered_shares(head, fused)
    skin = _seen_skin(head, fused, below_brows=on_forehead > HAIR_POOR)
    findings = [
        *_coverage(head, fused, keyframes),
        *_sharpness_and_size(keyframes, sighting, fit),
        *_exposure(fused.rgb[skin] if skin.any() else np.full((1, 3), 0.5, np.float32)),
        *_light(head, fused, skin & _region(head, fused, "face")),
        *_cover(head, fused, around_eyes, on_forehead),
    ]
    photos = sighting.sampled <= MOST_PHOTOS and not keyframes[0].frame.of_clip
    if photos:
        findings = [_for_photos(finding) for finding in findings]
    if doubt:
        findings.append(Finding(TO_CHOOSE, 0.0, "", 1.0, "fair", doubt))
    return CaptureReport(
        sighting.sampled, sighting.with_face, len(keyframes), sighting.rejected, tuple(findings), photos
    )


def _for_photos(finding: Finding) -> Finding:
    """The same with advice for somebody who brings photos."""
    if finding.verdict == "good":
        return finding
    return replace(finding, advice=PHOTO_ADVICE.get(finding.name, finding.advice))


def _coverage(head: HeadModel, fused: Fused, keyframes: Sequence[FaceFrame]) -> list[Finding]:
    seen = fused.seen > SEEN_AT
    shares = {name: 100 * seen[_region(head, fused, *regions)].mean() for name, regions in REGIONS.items()}
    yaw, pitch = (np.ptp([k.view[axis] for k in keyframes]) for axis in (0, 1))
    # Up and down is asked for because of neck and scalp alone.
    seen_both = shares["neck"] >= NECK_GOOD and shares["scalp"] >= SCALP_GOOD
    return [
        _at_least("face_seen", shares["face"], "%", 90, 45, "Turn the head slowly to both sides."),
        _at_least("ears_seen", shares["ears"], "%", 50, 15, "Turn further, until each ear was in view."),
        _at_least("neck_seen", shares["neck"], "%", NECK_GOOD, 10, "Lift the chin once and open the collar."),
        _at_least(
            "scalp_seen",
            shares["scalp"],
            "%",
            SCALP_GOOD,
            8,
            "Bow the head once, and keep its top in the picture.",
        ),
        _at_least(
            "yaw_range",
            yaw,
            "degrees",
            60,
            25,
            "The profile is a guess: turn the head further to the left and right.",
        ),
        _at_least(
            "pitch_range", pitch, "degrees", 0 if seen_both else 20, 6, "Look up and down once as well."
        ),
    ]


def _sharpness_and_size(keyframes, sighting: Sighting, fit: HeadFit) -> list[Finding]:
    usable, elsewhere = (100 * n / sighting.sampled for n in (len(sighting.frames), sighting.rejected["cut"]))
    inside = _median(_share_inside(k) for k in keyframes)
    closer = "Come closer." if inside >= FACE_INSIDE else KEEP_IN_VIEW
    return [
        _at_least("face_in_picture", inside, "%", FACE_INSIDE, 90, KEEP_IN_VIEW),
        _at_least("face_height", _median(k.face.height_px for k in keyframes), "pixels", 350, 160, closer),
        _at_least("sharpness", _median(k.sharpness for k in keyframes), "0-1", 0.5, 0.3, "Hold still, or find more light."),
        _at_least("frames_usable", usable, "%", 70, 35, _advice_for(sighting.rejected)),
        _at_most("other_shots", elsewhere, "% of the pictures", 15, 35, ADVICE_BY_REASON["cut"]),
        _at_most("fit_error", 100 * fit.reprojection_error, "% of face height", 1.0, 2.0, "Keep hair and hands off."),
    ]  # fmt: skip


def _share_inside(seen: FaceFrame) -> float:
    """Percent of a face's landmarks that lie in the picture; the detector guesses those beyond its edges."""
    (left, top, right, bottom), (x, y) = seen.frame.picture, seen.face.points.T
    return 100 * float(((x >= left) & (x < right) & (y >= top) & (y < bottom)).mean())


def _exposure(skin: np.ndarray) -> list[Finding]:
    """skin: (N, 3) sRGB in [0, 1]."""
    # A channel that clips alone, as red does under a lamp, leaves the texture in the others.
    dark, bright = 100 * (skin.max(1) < 0.12).mean(), 100 * (np.sort(skin, axis=1)[:, 1] > 0.98).mean()
    return [
        _at_most("too_dark", dark, "%", 5, 20, "Find more light."),
        _at_most("too_bright", bright, "%", 3, 12, "Avoid direct lamps and sun."),
        Finding("skin_tone_ita", _number(skin_tone_ita(skin)), "degrees", 0.0, "good", ""),
    ]


def _light(head: HeadModel, fused: Fused, skin: np.ndarray) -> list[Finding]:
    """How much the face's brightness changes with the direction it faces, and from where it is brightest."""
    direction, strength = light_direction(head, fused, skin)
    azimuth = float(np.degrees(np.arctan2(direction[0], direction[2])))
    side = "left" if azimuth > 0 else "right"
    sideways, upwards = abs(direction[0]), direction[1]
    where = f"your {side}" if sideways >= 0.5 * abs(upwards) else "above" if upwards > 0 else "below"
    advice = f"The light comes from {where}: turn towards it, or face a window."
    return [
        _at_most("uneven_light", 100 * strength, "%", 30, 60, advice),
        Finding("light_azimuth", _number(azimuth), "degrees, left positive", 0.0, "good", ""),
    ]


def _covered_shares(head: HeadModel, fused: Fused) -> tuple[float, float]:
    """Percent of what was seen around the eyes, and of the forehead, that is not skin, by color or by thinness."""
    from studio_avatar.head.layout import landmark_uv

    place = landmark_uv(head) * len(fused.seen)
    skin = _region(head, fused, "face") & (fused.seen > SEEN_AT)
    unlike = (skin_distance(head, fused.rgb, fused.seen, skin) > OTHER_ABOVE) | thin_marks(fused.rgb)
    shares = []
    for outline in (AROUND_EYES, FOREHEAD_AREA):
        area = skin & _polygons(place, outline, fused.seen.shape)
        shares.append(100 * unlike[area].mean() if area.any() else 0.0)
    return tuple(shares)


def _cover(head: HeadModel, fused: Fused, around_eyes: float, on_forehead: float) -> list[Finding]:
    """What is not skin where skin should be: rims around the eyes, hair or cloth on the forehead (in percent, as
    `_covered_shares` gives them), and cloth over the mouth, by color."""
    return [
        _at_most("glasses", around_eyes, "%", 5, 25, "Take off glasses, if you wear any."),
        _at_most(
            "hair_on_face",
            on_forehead,
            "%",
            HAIR_FAIR,
            HAIR_POOR,
            "Free the forehead, if hair, a cap or a scarf covers it.",
        ),
        _at_most(
            "mouth_covered",
            _cloth_on_mouth(head, fused),
            "",
            1.0,
            1.5,
            "Take off the mask or scarf, if one covers mouth and chin.",
        ),
    ]


def _cloth_on_mouth(head: HeadModel, fused: Fused) -> float:
    """How far what surrounds the mouth is from skin in the direction of cloth; 1 is the least that a mask has, 0 is none."""
    from studio_avatar.head.layout import landmark_uv

    place = landmark_uv(head) * len(fused.seen)
    seen = fused.seen > SEEN_AT
    lips = _region(head, fused, "lips")
    around = _polygons(place, AROUND_MOUTH, fused.seen.shape) & ~lips
    areas = [area & seen for area in (around, lips, _polygons(place, FOREHEAD_AREA, fused.seen.shape))]
    if min(area.sum() for area in areas) < ENOUGH_TEXELS:
        return 0.0
    mouth, lips, forehead = (typical_chroma(fused.rgb[area]) for area in areas)
    if np.linalg.norm(lips - mouth) > LIPS_ALIKE:
        return 0.0
    red, blue = mouth - forehead
    return max(float(min(-red / LESS_RED, blue / MORE_BLUE)), 0.0)


def light_direction(head: HeadModel, fused: Fused, where: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit vector (3,) in head space towards the brighter side, and the strength: slope of luma over its mean.

    Least squares of luma = mean + slope . normal over the seen skin of the face, `where` (H, W) bool.
    """
    from studio_avatar.head.layout import TexelMap, texel_map, texel_normals

    if where.sum() < 100:
        return np.array([0.0, 0.0, 1.0]), 0.0
    texels = texel_map(head, len(fused.seen))
    seen = TexelMap(texels.triangle[where][None], texels.barycentric[where][None])
    normals = texel_normals(seen, head, geometry(head).neutral)[0]
    brightness = luma(fused.rgb[where])
    terms = np.c_[np.ones(len(brightness)), normals]
    mean, *slope = np.linalg.lstsq(terms, brightness, rcond=None)[0]
    # What faces the camera is seen in every light: only the slope across the face tells of its direction.
    across = np.linalg.norm(slope[:2]) / max(float(brightness.mean()), 1e-3)
    return np.array(slope) / max(np.linalg.norm(slope), 1e-9), float(across)


def _region(head: HeadModel, fused: Fused, *names: str) -> np.ndarray:
    from studio_avatar.head.layout import region_mask

    return region_mask(head, len(fused.seen), *names)


def _seen_skin(head: HeadModel, fused: Fused, below_brows: bool = False) -> np.ndarray:
    """(H, W) bool, the face where it was seen. below_brows: above them lies a cap, a scarf or hair, and how bright that is
    says nothing of the light."""
    from studio_avatar.head.layout import landmark_uv

    where = _region(head, fused, *REGIONS["face"]) & (fused.seen > SEEN_AT)
    if below_brows:
        where[: round(landmark_uv(head)[BETWEEN_BROWS, 1] * len(where))] = False
    return where


def _polygons(place: np.ndarray, outlines, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, inside any of the polygons through landmarks at `place` (468, 2) texels."""
    import cv2

    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [place[list(outline)].round().astype(np.int32) for outline in outlines], 1)
    return mask.astype(bool)


def _advice_for(rejected: dict[str, int]) -> str:
    """One sentence about the most frequent reason for which pictures were left out."""
    reason = max(rejected, key=rejected.get)
    return ADVICE_BY_REASON[reason]


def skin_tone_ita(skin: np.ndarray) -> float:
    """Individual typology angle of skin colors (N, 3) sRGB in [0, 1], degrees: atan2(L* - 50, b*).

    Above 55 very light, 41 light, 28 intermediate, 10 tan, -30 brown, below dark (Chardon 1991). It tells of
    the light of the capture as much as of the skin.
    """
    import cv2

    lightness, _, yellow = np.median(
        cv2.cvtColor(skin[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0], axis=0
    )
    return float(np.degrees(np.arctan2(lightness - 50.0, yellow)))


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
