"""What a capture report says to its user: few sentences, the worst first, and a verdict that fits the result."""

from studio_avatar.capture.reporting.report import GROUPS, MOST_ADVICE, CaptureReport, Finding

MEASURED = [name for names in GROUPS for name in names]


def report(sampled=40, photos=False, **verdicts) -> CaptureReport:
    """A report in which the named findings have those verdicts, and all others are good."""
    findings = [
        Finding(name, 0.0, "", 0.0, verdict, "" if verdict == "good" else f"Mend {name}.")
        for name in MEASURED
        for verdict in [verdicts.get(name, "good")]
    ]
    return CaptureReport(sampled, sampled, min(sampled, 12), {}, tuple(findings), photos)


def test_a_capture_that_gives_a_good_head_is_called_good_or_usable():
    assert report().verdict == "good" and report().advice == ()
    # Light is what the method takes off, and what was not seen of neck and scalp is completed.
    assert report(uneven_light="poor", scalp_seen="poor", pitch_range="poor").verdict == "fair"
    assert report(glasses="poor", hair_on_face="poor").verdict == "fair"  # they may be wrinkles
    assert report(too_bright="poor").verdict == report(face_seen="poor").verdict == "poor"


def test_who_never_turns_is_told_so_in_a_clip_and_not_in_a_photo():
    assert report(sampled=40, yaw_range="poor").verdict == "poor"
    assert report(sampled=1, yaw_range="poor").verdict == "poor"  # a clip of a moment
    assert report(sampled=1, photos=True, yaw_range="poor").verdict == "fair"


def test_advice_is_short_the_worst_first_and_says_nothing_twice():
    everything = report(**dict.fromkeys(MEASURED, "fair"))
    assert len(everything.advice) == MOST_ADVICE
    turned = report(face_seen="fair", yaw_range="poor", ears_seen="poor", pitch_range="fair")
    assert turned.advice == ("Mend yaw_range.", "Mend pitch_range.")
    mixed = report(uneven_light="poor", face_height="poor", sharpness="fair")
    assert mixed.advice == ("Mend face_height.", "Mend uneven_light.", "Mend sharpness.")
    assert mixed.to_dict()["advice"] == list(mixed.advice) and mixed.summary.endswith("Mend face_height.")


def test_two_findings_with_one_sentence_say_it_once():
    findings = [
        Finding(name, 0.0, "", 0.0, "fair", "Come closer.") for name in ("face_height", "frames_usable")
    ]
    assert CaptureReport(40, 40, 12, {}, tuple(findings)).advice == ("Come closer.",)


def test_a_skin_tone_that_has_to_be_chosen_is_said_first_however_much_else_is_wrong():
    photo = report(
        photos=True, yaw_range="poor", uneven_light="poor", pitch_range="poor", skin_tone_known="fair"
    )
    assert photo.advice == ("Mend skin_tone_known.", "Mend yaw_range.", "Mend uneven_light.")
    assert photo.verdict == "fair" and photo.summary.endswith("Mend skin_tone_known.")
