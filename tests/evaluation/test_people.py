"""What the evaluation says of people, on made-up portraits."""

import numpy as np
import pytest
from helpers.tiny_weights import tiny_pipeline

from studio_avatar.capture.scene import SceneStatistics
from studio_avatar.evaluation import people
from studio_avatar.evaluation.evenness import unevenness
from studio_avatar.imaging.color import linear_to_srgb, srgb_to_linear

SIZE = 64


def portrait():
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    rgb = np.stack([0.7 + 0.1 * x, 0.5 + 0.1 * y, 0.4 + 0 * x], -1).astype(np.float32)
    return people.Portrait(
        "f000", np.zeros((8, 8, 3), np.uint8), rgb, np.ones((SIZE, SIZE), np.float32), np.zeros((3, 3)), np.eye(3),
        np.zeros(3), 100.0, np.zeros((478, 2)), SceneStatistics(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def rims():
    band = np.zeros((SIZE, SIZE), np.float32)
    band[20:24] = 1
    return band


def test_rims_that_stay_are_all_left_and_rims_that_go_are_none(monkeypatch, rims):
    monkeypatch.setattr(people, "relit", lambda pipeline, person, rgb: rgb)
    assert people.rims_left(None, portrait(), rims) == pytest.approx(1)
    monkeypatch.setattr(people, "relit", lambda pipeline, person, rgb: person.rgb)
    assert people.rims_left(None, portrait(), rims) == 0


def test_the_relit_texture_is_the_pipelines(rims):
    pipeline, person = tiny_pipeline(), portrait()
    texture = people.relit(pipeline, person, person.rgb)
    made = pipeline(
        phone_texture=person.rgb, seen=person.visibility, scene=person.scene, num_inversion_steps=0,
        num_inference_steps=1, output_type="np",
    )  # fmt: skip
    np.testing.assert_allclose(texture, made.relit, atol=1e-5)


def test_what_is_put_on_lies_where_caps_and_glasses_do(monkeypatch, rims):
    seen = []
    monkeypatch.setattr(people, "angle", lambda pipeline, person, rgb: seen.append(rgb) or float(len(seen)))
    changes = people.tone_changes(None, portrait(), rims)
    assert changes == {"glasses": 1.0, "cap black": 2.0, "cap red": 3.0, "cap white": 4.0}
    bare, glasses, black, red, _ = seen
    assert ((glasses != bare).any(-1) == (rims > 0)).all() and glasses[20:24].max() < 0.08
    assert (black[17:] == bare[17:]).all() and black[:17].max() < 0.07 and red[:17, :, 0].min() > 0.3


def test_light_from_the_side_is_uneven_and_what_is_everywhere_is_not():
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    seen, skin = np.ones((SIZE, SIZE)), np.ones((SIZE, SIZE), bool)
    even = np.repeat((0.3 + 0.4 * np.sin(np.pi * x) * y)[..., None], 3, -1)
    assert unevenness(even, seen, skin) < 1e-4
    lit = linear_to_srgb(srgb_to_linear(even) * np.where(x < 0.5, 0.6, 1.0)[..., None])
    assert unevenness(lit, seen, skin) == pytest.approx(-np.log(0.6), rel=0.2)
    assert np.isnan(unevenness(lit, seen * (x < 0.5), skin))


def test_tables_name_every_measure():
    distances = {method: 0.2 + 0.01 * n for n, method in enumerate(people.METHODS)}
    light = {f"uneven {method}": 0.3 for method in people.METHODS}
    caps = {f"cap {name}": 2.0 for name in people.CAPS} | {"glasses": 3.0}
    rows = [
        ("generated", "f000", 20.0, distances | light | caps | {"rims": 0.08}),
        ("generated", "f001", 30.0, distances | light | caps | {"rims": 0.2}),
        (
            "portraits",
            people.WEAR_GLASSES[0],
            40.0,
            {m: 2 * d for m, d in distances.items()} | light | caps | {"rims": 0.14},
        ),
    ]
    text = people.to_markdown(rows, {})
    assert "| generated (2) | studio texture | 0.240 | +0.040 ± 0.000 | 0.30 |" in text
    assert "| portraits (1) | studio texture | 0.480 | +0.080 ± 0.000 | 0.30 |" in text
    assert "| all without glasses (2) | studio texture | 0.240 | +0.040 ± 0.000 | 0.30 |" in text
    assert "| generated | 2 | 25 |" in text and "| cap black | 2.0 | 2.0 |" in text
    assert "| glasses | 3.0 | 3.0 |" in text
    assert "median 14 %, worst 20 %" in text
