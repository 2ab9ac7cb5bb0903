"""The mirror: who may use it, what it takes, what it keeps (nothing), and how calmly the head follows a face."""

import io
import logging
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from starlette.applications import Starlette
from starlette.testclient import TestClient

from studio_avatar.ui.mirror import (
    MOST_BYTES,
    MOST_MIRRORS,
    MOST_OF_ONE_ADDRESS,
    MOST_PIXELS,
    PER_SECOND,
    Mirror,
    Mirrors,
    Refused,
    mirror_route,
)
from studio_avatar.ui.mirror_motion import LEVEL_DEG, Motion, OneEuro
from studio_avatar.ui.sessions import SessionFolders
from studio_avatar.ui.visitors import Visitors

PORTRAIT = Path(__file__).parents[2] / "examples" / "person_1.jpg"
SECRET = "0123456789abcdef" * 2
MINE = {"x-studio-avatar": SECRET}


def jpeg(width: int = 320, height: int = 240) -> bytes:
    data = io.BytesIO()
    Image.open(PORTRAIT).resize((width, height)).save(data, "JPEG", quality=60)
    return data.getvalue()


@pytest.fixture
def visitors():
    visitors = Visitors(SessionFolders())
    visitors.enter("page", SECRET)
    return visitors


@pytest.fixture
def mirrors():
    mirrors = Mirrors()
    yield mirrors
    mirrors.close_idle(0.0)


@pytest.fixture
def client(visitors, mirrors):
    return TestClient(Starlette(routes=[mirror_route(visitors, mirrors)]))


def test_a_face_is_answered_and_nothing_of_it_is_kept(client, mirrors, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level(logging.DEBUG, "studio_avatar")
    answer = client.post("/mirror", content=jpeg(240, 240), headers=MINE).json()
    assert {"jawOpen", "mouthSmileLeft", "eyeBlinkRight"} < answer["weights"].keys()
    assert len(answer["weights"]) == 51 and all(0 <= weight <= 1 for weight in answer["weights"].values())
    assert len(answer["turn"]) == 3 and np.linalg.norm(answer["turn"]) < 0.5  # a portrait looks ahead
    blank = io.BytesIO()
    Image.new("RGB", (320, 240)).save(blank, "JPEG")
    assert client.post("/mirror", content=blank.getvalue(), headers=MINE).json() is None
    assert list(tmp_path.rglob("*")) == [] and caplog.records == []
    assert len(mirrors) == 1 and mirrors.close_idle(0.0) and len(mirrors) == 0  # the landmarker is freed


def test_strangers_and_who_has_left_are_refused(client, visitors):
    for headers in ({}, {"x-studio-avatar": "f" * 32}, {"x-studio-avatar": "../../etc"}):
        refused = client.post("/mirror", content=jpeg(), headers=headers)
        assert refused.status_code == 403 and "load the page again" in refused.json()["detail"]
    visitors.close("page")
    assert client.post("/mirror", content=jpeg(), headers=MINE).status_code == 403


def test_a_run_stops_the_mirror(client, visitors):
    visitors.of("page").job = SimpleNamespace(over=False)
    refused = client.post("/mirror", content=jpeg(), headers=MINE)
    assert refused.status_code == 409 and "works on your capture" in refused.json()["detail"]


def test_sizes_are_looked_at_before_anything_is_decoded(client, monkeypatch):
    too_long = b"\xff\xd8" + bytes(MOST_BYTES)
    in_parts = iter([too_long[:9000]] * 3)  # without a length
    expected = {413: (too_long, in_parts), 400: (jpeg(MOST_PIXELS + 1, 8), b"", b"no picture", png())}
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    for status, bodies in expected.items():
        for body in bodies:
            refused = client.post("/mirror", content=body, headers=MINE)
            assert refused.status_code == status and "takes JPEGs" in refused.json()["detail"]


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (32, 24)).save(data, "PNG")
    return data.getvalue()


def test_what_goes_wrong_is_no_news_to_the_browser(client, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("/home/somebody/selfie.mp4")

    monkeypatch.setattr(Mirror, "look", fail)
    answer = client.post("/mirror", content=jpeg(), headers=MINE)
    assert answer.status_code == 500 and "selfie" not in answer.text + caplog.text


def test_one_address_and_all_together_have_a_bound(mirrors, monkeypatch):
    for number in range(MOST_OF_ONE_ADDRESS):
        mirrors.end(mirrors.begin(f"{number}", "203.0.113.9"))
    with pytest.raises(Refused, match="Too many mirrors"):
        mirrors.begin("another", "203.0.113.9")
    held = [
        mirrors.begin(f"of {number}", f"{number}") for number in range(MOST_MIRRORS - MOST_OF_ONE_ADDRESS)
    ]
    with pytest.raises(Refused, match="Too many mirrors"):
        mirrors.begin("last", "198.51.100.1")
    with pytest.raises(Refused, match="one picture at a time"):
        mirrors.begin("of 0", "0")
    mirrors.close_idle(0.0)
    assert len(mirrors) == len(held)  # a mirror that is at work is not closed
    for mirror in held:
        mirrors.end(mirror)
    mirrors.begin("last", "198.51.100.1")


def test_a_mirror_answers_no_more_than_its_share(client, monkeypatch):
    moments = []

    def look(mirror, _):
        mirror.asked = time.monotonic()
        moments.append(mirror.asked)

    monkeypatch.setattr(Mirror, "look", look)
    for _ in range(4):
        client.post("/mirror", content=jpeg(), headers=MINE)
    assert np.diff(moments).min() >= 1 / PER_SECOND


# ---------------------------------------------------------------------------------------------- the motion


def test_noise_is_calmed_and_a_blink_is_not_late():
    times, noise = np.arange(200) / 20, 0.03 * np.random.default_rng(0).standard_normal((200, 1))
    calm, blink = OneEuro(1.0, 0.6), OneEuro(1.0, 0.6)
    assert np.std([calm(0.3 + one, at) for one, at in zip(noise, times)][20:]) < 0.5 * noise.std()
    followed = [blink(np.array([float(0.5 <= at < 0.7)]), at)[0] for at in times[:30]]
    assert max(followed) > 0.85 and followed[17] < 0.15  # 0.15 s after the eye opened


def face(turn=(0.0, 0.0, 0.0), **scores):
    level = Rotation.from_euler("x", LEVEL_DEG, degrees=True)
    resting = {"eyeSquintLeft": 0.4, "eyeBlinkLeft": 0.1, "jawOpen": 0.0}
    return SimpleNamespace(
        scores=resting | scores, head_rotation=(Rotation.from_rotvec(turn) * level).as_matrix()
    )


def test_a_resting_face_rests_and_closed_eyes_close():
    motion = Motion()
    at_rest = [motion.of(face(), at)["weights"] for at in np.arange(5) / 20][-1]
    assert max(at_rest.values()) == 0.0
    shut = [motion.of(face(eyeBlinkLeft=0.5, jawOpen=0.4), at)["weights"] for at in 1 + np.arange(8) / 20][-1]
    assert shut["eyeBlinkRight"] > 0.97 and shut["jawOpen"] == pytest.approx(0.5, abs=0.02)


def test_it_is_a_mirror():
    said = Motion().of(face(turn=(0.1, 0.4, 0.2), mouthLeft=1.0), 0.0)
    assert said["turn"] == pytest.approx([0.1, -0.4, -0.2], abs=1e-3)
    assert said["weights"]["mouthRight"] == 1.0 and "mouthLeft" not in said["weights"]
