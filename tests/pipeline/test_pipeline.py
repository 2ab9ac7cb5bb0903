"""The pipeline: tiny networks around the real head, and the embedded weights."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from helpers.tiny_weights import FAST, SIZE, WEIGHTS, phone, tiny_pipeline
from PIL import Image

from studio_avatar.capture import CaptureReport, HeadFit, PhoneTexture
from studio_avatar.errors import InvalidInputError, WeightsError
from studio_avatar.hub.repository import PACKAGE, REMOTE_CODE
from studio_avatar.imaging.image_io import unit_to_uint8
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def test_output_has_the_promised_shapes_and_ranges(pipe):
    out = pipe(**phone(), **FAST, seed=0, output_type="np")
    assert out.texture.shape == (SIZE, SIZE, 3) and out.texture.dtype == np.float32
    assert out.texture.min() >= 0 and out.texture.max() <= 1
    assert out.base.shape == out.reconstruction.shape == (64, 64, 3)
    assert out.relit.shape == out.gain.shape == out.repair.shape == (SIZE, SIZE, 3)
    assert out.keep.shape == (SIZE, SIZE) and out.keep[phone()["seen"] == 0].max() == 0
    assert out.latents.shape == (pipe.phone_generator.num_ws, 8)
    assert np.array_equal(out.provenance, phone()["seen"])
    assert out.capture is None and out.avatar is None
    assert set(out.timings) == {"capture", "invert", "studio", "relight", "upscale", "avatar"}


def test_the_seed_fixes_every_byte(pipe):
    first, again, other = (pipe(**phone(), **FAST, seed=seed).texture for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    given = pipe(**phone(), **FAST, generator=torch.Generator().manual_seed(0)).texture
    assert given.tobytes() == first.tobytes()


def test_pictures_are_taken_like_arrays(pipe):
    given = phone()
    eight_bit = {name: np.rint(255 * given[name]).astype(np.uint8) for name in ("phone_texture", "seen")}
    pictures = {name: Image.fromarray(values) for name, values in eight_bit.items()}
    arrays = {name: values.astype(np.float32) / 255.0 for name, values in eight_bit.items()}
    first, again = (pipe(**{**given, **texture}, **FAST, seed=0).texture for texture in (pictures, arrays))
    assert first.tobytes() == again.tobytes()


def test_a_texture_comes_out_as_large_as_it_was_given(pipe):
    given = phone(192)
    del given["output_size"]
    assert pipe(**given, **FAST, seed=0).texture.size == (192, 192)


def test_another_tone_goes_on_from_the_inversion(pipe):
    dark, light = (pipe(**phone(), **FAST, seed=0, skin_tone=tone) for tone in (-20, 40))
    assert dark.texture.tobytes() != light.texture.tobytes()
    again = pipe(**phone(), **FAST, seed=0, skin_tone=40, inversion=dark.inversion)
    assert again.texture.tobytes() == light.texture.tobytes()
    assert "invert" in light.timings and "invert" not in again.timings


def test_callbacks_see_the_steps_and_can_change_the_sample(pipe):
    stages, steps = [], []

    def on_step(pipeline, step, timestep, kwargs):
        steps.append((pipeline is pipe, step))
        return {"sample": torch.zeros_like(kwargs["sample"])}

    out = pipe(
        **phone(),
        **FAST,
        output_type="np",
        callback_on_step_end=on_step,
        progress_callback=lambda stage, fraction: stages.append((stage, fraction)),
    )
    assert steps == [(True, 0), (True, 1)]
    assert np.allclose(out.texture, 0.5)
    expected = {
        "invert": [0.0, 0.5, 1.0],
        "studio": [0.0, 1.0],
        "relight": [0.0, 1.0],
        "upscale": [0.0, 0.5, 1.0],
    }
    assert stages == [(stage, fraction) for stage, fractions in expected.items() for fraction in fractions]


def test_previews_come_in_order_and_are_the_outputs(pipe):
    seen = {}
    out = pipe(**phone(), **FAST, output_type="np", preview_callback=seen.setdefault)
    assert list(seen) == ["phone_texture", "base", "relit"]
    assert np.array_equal(seen["phone_texture"], out.phone_texture)
    assert np.array_equal(seen["base"], out.base) and np.array_equal(seen["relit"], out.relit)


def test_a_finished_capture_goes_on_to_an_avatar(pipe):
    given = phone()
    fit = HeadFit(
        identity=np.zeros(100, np.float32), expression=np.zeros((1, 52), np.float32),
        rotation=np.eye(3, dtype=np.float32)[None], translation=np.array([[0, 0, 0.5]], np.float32),
        focal_px=1000.0, image_size=(720, 1280), reprojection_error=0.0, reprojection_error_contour=0.0,
        timestamps=np.zeros(1, np.float32),
    )  # fmt: skip
    capture = PhoneTexture(given["phone_texture"], given["seen"], fit, CaptureReport(1, 1, 1, {}, ()))
    out = pipe(capture=capture, output_size=SIZE, **FAST, seed=0)
    assert out.capture is capture and out.avatar.texture.shape == (SIZE, SIZE, 3)
    assert out.texture.tobytes() == pipe(**given, **FAST, seed=0).texture.tobytes()
    with pytest.raises(InvalidInputError, match="exactly one"):
        pipe(capture=capture, **given)
    with pytest.raises(InvalidInputError, match="must have shape"):
        pipe(capture=capture, output_size=2 * SIZE)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"video": "a.mp4"}, "exactly one"),
        ({"phone_texture": None}, "exactly one"),
        ({"seen": None}, "belong together"),
        ({"output_size": 100}, "multiple of 64"),
        ({"output_size": 256}, "must have shape"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"gradient_guidance_scale": 1.5}, r"\[0, 1\]"),
        ({"phone_texture": np.full((SIZE, SIZE, 3), 2.0, np.float32)}, "lie in"),
        ({"phone_texture": np.full((SIZE, SIZE, 3), np.nan, np.float32)}, "finite"),
        ({"phone_texture": np.zeros((SIZE, SIZE, 3), np.uint8)}, "floating point"),
        ({"seen": np.zeros((SIZE, SIZE), np.float32)}, "zero everywhere"),
    ],
)
def test_bad_arguments_are_named(pipe, change, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        pipe(**{**phone(), **FAST, **change})


def test_save_and_load_round_trip_is_equal_to_the_bit(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = StudioTexturePipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    texture = pipe(**phone(), **FAST, seed=0).texture
    assert again(**phone(), **FAST, seed=0).texture.tobytes() == texture.tobytes()


def test_missing_weights_are_said_in_a_sentence(tmp_path):
    with pytest.raises(WeightsError, match="no readable model_index"):
        StudioTexturePipeline.from_pretrained(tmp_path)
    (tmp_path / "model_index.json").write_text((WEIGHTS / "model_index.json").read_text())
    with pytest.raises(WeightsError, match="lacks cover_network, encoder, hair_segmenter"):
        StudioTexturePipeline.from_pretrained(tmp_path)


def test_head_geometry_stays_float32_when_networks_are_halved():
    pipe = tiny_pipeline().to(dtype=torch.float16)
    assert pipe.unet.dtype == torch.float16
    assert pipe.head.neutral.dtype == torch.float32


def test_repository_code_is_the_packages_own():
    for target, source in REMOTE_CODE.items():
        assert (WEIGHTS / target).read_bytes() == (PACKAGE / source).read_bytes(), (
            f"weights_card/{target} is stale: run python -m studio_avatar.hub code"
        )


@pytest.fixture(scope="module")
def embedded():
    pipe = StudioTexturePipeline.from_pretrained(WEIGHTS)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def embedded_input(pipe):
    """A phone texture the networks know: a generator sample, up-sampled, half of it seen."""
    noise = torch.randn(1, len(pipe.encoder.code_std), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        picture = pipe.phone_generator.synthesize(pipe.encoder.sample_codes(0.7 * noise))
    size = 2 * pipe.base_resolution
    rgb = torch.nn.functional.interpolate(picture, size, mode="bicubic").clamp(-1, 1)[0].permute(1, 2, 0)
    seen = np.ones((size, size), np.float32)
    seen[:, : size // 4] = 0
    return {"phone_texture": (rgb * 0.5 + 0.5).numpy(), "seen": seen, "output_size": size}


def test_embedded_weights_are_small_float32_in_memory_and_trained(embedded):
    size = sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors"))
    assert size <= 90e6
    assert embedded.unet.dtype == embedded.studio_generator.dtype == torch.float32
    out = embedded(**embedded_input(embedded), num_inversion_steps=20, seed=0, output_type="np")
    given = embedded_input(embedded)
    shown = np.asarray(out.reconstruction, np.float32)
    small = given["phone_texture"].reshape(128, 2, 128, 2, 3).mean((1, 3))
    seen = given["seen"][::2, ::2] > 0
    assert 10 * np.log10(1 / ((shown - small)[seen] ** 2).mean()) > 24  # dB; random weights give under 15


def test_both_doors_give_the_same_texture(embedded):
    remote = DiffusionPipeline.from_pretrained(WEIGHTS, trust_remote_code=True)
    remote.set_progress_bar_config(disable=True)
    given = embedded_input(embedded)
    pictures = {name: Image.fromarray(unit_to_uint8(given[name])) for name in ("phone_texture", "seen")}
    arguments = {**given, **pictures, "num_inversion_steps": 2, "seed": 0}  # as the README has it
    assert remote(**arguments).texture.tobytes() == embedded(**arguments).texture.tobytes()
    assert type(remote) is not type(embedded)


def test_output_is_a_dataclass_that_unpacks(pipe):
    out = pipe(**phone(), **FAST, seed=0)
    assert [field.name for field in dataclasses.fields(out)][0] == "texture"
    assert pipe(**phone(), **FAST, seed=0, return_dict=False)[0].tobytes() == out.texture.tobytes()
