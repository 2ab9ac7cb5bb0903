"""Metrics against published or hand-computed values; baselines against cases whose answer is known."""

import json
import math
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_weights import WEIGHTS
from helpers.tiny_weights import tiny_pipeline as build_tiny_pipeline
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from studio_avatar.capture.io.video import read_frames
from studio_avatar.data import studio_set
from studio_avatar.data.prepare import make
from studio_avatar.data.prepare.packing import head_mark
from studio_avatar.errors import InvalidInputError
from studio_avatar.evaluation import baselines, held_out, metrics
from studio_avatar.evaluation.__main__ import Comparison, evaluate, main, prepared_folder
from studio_avatar.evaluation.pictures import CAPTION_HEIGHT, TILE
from studio_avatar.evaluation.report import Column, Table, write_report
from studio_avatar.evaluation.tables import StudioPair, detail_table
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.color import linear_to_srgb, srgb_to_linear

EXAMPLES = Path(__file__).parents[2] / "examples"
FULL = np.ones((16, 16), bool)


def flat(*rgb, size=16):
    return np.broadcast_to(np.array(rgb, float), (size, size, 3)).copy()


def random_texture(seed, size=16):
    return np.random.default_rng(seed).uniform(0.1, 0.9, (size, size, 3))


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_srgb_curve_is_undone_by_its_inverse(kind):
    values = np.linspace(0, 1, 101, dtype=kind)
    again = linear_to_srgb(srgb_to_linear(values))
    assert again.dtype == kind
    np.testing.assert_allclose(again, values, atol=1e-6)


def test_psnr_looks_at_masked_texels_only():
    a, b = flat(0.5, 0.5, 0.5), flat(0.6, 0.6, 0.6)
    mask = FULL.copy()
    mask[:, 8:] = False
    b[:, 8:] = 0
    assert metrics.psnr(a, b, mask) == pytest.approx(20.0)
    assert metrics.psnr(a, a, mask) == math.inf


def test_every_metric_is_nan_over_an_empty_mask():
    a, b, nothing = random_texture(0), random_texture(1), np.zeros_like(FULL)
    for metric in (metrics.psnr, metrics.ssim, metrics.skin_delta_e, metrics.gradient_correlation):
        assert math.isnan(metric(a, b, nothing))
    assert math.isnan(metrics.skin_ita(a, nothing)) and math.isnan(metrics.bs_error(a, nothing))


def test_ssim_equals_the_formula_window_by_window():
    a, b = random_texture(0), random_texture(1)
    steps = np.arange(-5, 6)
    kernel = np.exp(-(steps[:, None] ** 2 + steps[None] ** 2) / (2 * 1.5**2))
    values = []
    for row, column, channel in np.ndindex(16, 16, 3):
        rows, columns = np.clip([row - 5, row + 6], 0, 16), np.clip([column - 5, column + 6], 0, 16)
        weight = kernel[slice(*(rows - row + 5)), slice(*(columns - column + 5))]
        x, y = (t[slice(*rows), slice(*columns), channel] for t in (a, b))
        mx, my = np.average(x, weights=weight), np.average(y, weights=weight)
        cov = np.average((x - mx) * (y - my), weights=weight)
        spread = np.average((x - mx) ** 2, weights=weight) + np.average((y - my) ** 2, weights=weight)
        c1, c2 = 0.01**2, 0.03**2
        values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (spread + c2)))
    assert metrics.ssim(a, b, FULL) == pytest.approx(np.mean(values), abs=1e-9)


def test_ssim_ignores_what_lies_in_a_hole():
    a, b = random_texture(0), random_texture(0) * 0.9
    mask = FULL.copy()
    mask[4:9, 4:9] = False
    filled = b.copy()
    filled[4:9, 4:9] = 0
    assert metrics.ssim(a, filled, mask) == pytest.approx(metrics.ssim(a, b, mask), abs=1e-12)
    assert metrics.ssim(a, a, mask) == pytest.approx(1.0)


def test_ita_is_the_angle_over_the_b_axis():
    assert metrics.individual_typology_angle([60, 5, 10]) == pytest.approx(45.0)
    assert metrics.individual_typology_angle([40, 5, 10]) == pytest.approx(-45.0)
    light, dark = flat(0.9, 0.75, 0.65), flat(0.35, 0.22, 0.17)
    assert metrics.skin_ita(light, FULL) > 41 > -30 > metrics.skin_ita(dark, FULL)


@pytest.mark.parametrize("size", [128, 1024])
def test_bs_error_of_two_flat_halves_is_their_difference(size):
    texture = np.zeros((8, size, 3))
    texture[:, : size // 2], texture[:, size // 2 :] = 0.5, 0.7
    mask = np.ones((8, size), bool)
    mask[:, size * 3 // 8 : size * 5 // 8] = False  # wider than the kernel, so that no blur crosses over
    assert metrics.bs_error(texture, mask) == pytest.approx(0.2 * 255)
    assert metrics.bs_error(np.maximum(texture, texture[:, ::-1]), mask) == pytest.approx(0)
    mask[:, : size // 2] = False
    assert math.isnan(metrics.bs_error(texture, mask))


def test_gradient_correlation_of_scaled_inverted_and_unrelated_detail():
    a = random_texture(0, 64)
    mask = np.ones((64, 64), bool)
    assert metrics.gradient_correlation(a, 0.3 + 0.5 * a, mask) == pytest.approx(1.0)
    assert metrics.gradient_correlation(a, 1 - a, mask) == pytest.approx(-1.0)
    assert abs(metrics.gradient_correlation(a, random_texture(1, 64), mask)) < 0.1
    assert math.isnan(metrics.gradient_correlation(a, flat(0.5, 0.5, 0.5, size=64), mask))


def test_histogram_match_undoes_a_color_cast_and_fills_holes_with_the_mean():
    studio = random_texture(0, 32)
    cast = linear_to_srgb(srgb_to_linear(studio) * [0.9, 0.6, 0.4])
    seen = np.ones((32, 32))
    seen[:, 20:] = 0
    cast[seen == 0] = 0
    np.testing.assert_allclose(baselines.gray_world_histogram_match(cast, seen, studio), studio, atol=0.02)


def test_mirror_fill_takes_the_other_half_and_then_the_mean():
    studio = flat(0.1, 0.2, 0.3, size=32)
    phone, seen = flat(0.6, 0.5, 0.4, size=32), np.ones((32, 32))
    seen[:, 24:] = 0  # seen on the other side
    seen[8:12, :] = 0  # seen on neither side
    phone[seen == 0] = 0
    expected = flat(0.6, 0.5, 0.4, size=32)
    expected[8:12] = studio[8:12]
    np.testing.assert_allclose(baselines.mirror_fill_blur_divide(phone, seen, studio), expected, atol=1e-6)


def test_blur_divide_evens_a_wide_ramp_and_keeps_the_brightness():
    ramp = np.linspace(0.3, 0.8, 64)[None, :, None] * flat(1, 1, 1, size=64)
    seen = np.ones((64, 64))
    even = baselines.mirror_fill_blur_divide(ramp, seen, ramp)
    assert metrics.bs_error(even, seen) < 0.25 * metrics.bs_error(ramp, seen)
    linear_means = [srgb_to_linear(texture).mean() for texture in (even, ramp)]
    assert linear_means[0] == pytest.approx(linear_means[1], rel=0.05)


def low_rank_faces(count, seed=0):
    rng = np.random.default_rng(7)
    patterns = rng.normal(size=(3, 16 * 16 * 3)) * 0.05
    codes = np.random.default_rng(seed).normal(size=(count, 3))
    return (0.5 + codes @ patterns).reshape(count, 16, 16, 3).astype(np.float32)


def test_linear_model_fills_holes_and_completes_an_unknown_face():
    faces = low_rank_faces(40)
    seen = np.random.default_rng(1).uniform(size=(40, 16, 16)) > 0.15
    model = baselines.LinearTextureModel.fit(np.where(seen[..., None], faces, 9.0), seen, 3, fill_rounds=20)
    (unknown,) = low_rank_faces(1, seed=5)
    half = FULL.copy()
    half[:, :8] = False
    completed = model.reconstruct(np.where(half[..., None], unknown, -1.0), half, noise_variance=1e-8)
    assert metrics.psnr(completed, unknown, ~half) > 45
    coarse = model.truncated(1).reconstruct(unknown, FULL)
    assert metrics.psnr(coarse, unknown, FULL) < metrics.psnr(completed, unknown, FULL)


def test_linear_model_basis_is_orthonormal_and_ordered():
    model = baselines.LinearTextureModel.fit(low_rank_faces(20), np.ones((20, 16, 16)), 3)
    np.testing.assert_allclose(model.basis @ model.basis.T, np.eye(3), atol=1e-4)
    assert (np.diff(model.variance) <= 0).all()


def test_report_marks_the_best_and_leaves_out_what_was_not_measured(tmp_path):
    table = Table(
        "Colour", "On nothing.", (Column("psnr", "PSNR", 1, "higher"), Column("delta_e", "ΔE", 2, "lower"))
    )
    table.add("raw", {"psnr": 20.0, "delta_e": 9.0})
    table.add("raw", {"psnr": 22.0, "delta_e": math.nan})
    table.add("ours", {"psnr": 30.0})
    write_report([table], {"items": 2}, tmp_path / "new" / "e.json", tmp_path / "new" / "e.md")
    markdown = (tmp_path / "new" / "e.md").read_text()
    assert "| raw | 21.0 | **9.00** |" in markdown
    assert "| ours | **30.0** | – |" in markdown
    rows = json.loads((tmp_path / "new" / "e.json").read_text())["tables"][0]["rows"]
    assert rows[0]["mean"] == {"psnr": 21.0, "delta_e": 9.0}
    assert rows[0]["items"]["delta_e"] == [9.0, None]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["e.json", "e.md"]


def test_a_median_is_not_moved_by_one_odd_item():
    table = Table("Detail", "", (Column("energy", "energy"), Column("same", "same", of_all="median")))
    for value in (1.0, 2.0, 90.0, math.nan):
        table.add("ours", {"energy": value, "same": value})
    assert table.means("ours") == {"energy": 31.0, "same": 2.0}
    assert Table.from_dict(table.to_dict()).means("ours") == table.means("ours")


@pytest.fixture(scope="module")
def tiny_pipeline():
    """The real pipeline on untrained networks of 32 texels and a head that is one square of face and ears."""
    import torch

    head = HeadModel(4, 2, 4, 1, ["jawOpen"], ["face", "ears", "neck"])
    head.uv.copy_(torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    head.faces.copy_(torch.tensor([[0, 1, 2], [0, 2, 3]]))
    head.uv_faces.copy_(head.faces)
    head.face_region.copy_(torch.tensor([0, 1]))
    return build_tiny_pipeline(head, resolution=32)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_pipeline):
    """Prepared sets with three training and two held-out items: flat faces, captured at half brightness."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(0)
    tones = np.array(
        [[200, 160, 140], [160, 120, 100], [120, 90, 70], [230, 190, 170], [90, 60, 50]], np.uint8
    )
    studio = np.broadcast_to(tones[:, None, None], (5, 64, 64, 3)).copy()
    seen = np.full((5, 64, 64), 255, np.uint8)
    seen[:, :, 48:] = 0
    phone = studio // 2 + rng.integers(0, 5, studio.shape, np.uint8)
    sets = {
        "portraits": {"rgb": phone, "seen": seen},
        "studio": {"rgb": studio},
        "captures_held_out": {"rgb": phone[3:], "seen": seen[3:], "target": studio[3:]},
    }
    for name, arrays in sets.items():
        save_file(arrays, folder / f"{name}.safetensors")
        splits = ["train"] * (len(arrays["rgb"]) - 2) + ["held_out"] * 2
        items = [{"id": str(i), "subject": str(i), "split": split} for i, split in enumerate(splits)]
        index = {"head": head_mark(tiny_pipeline.head), "items": items, "skipped": {}}
        (folder / f"{name}.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def evaluated(tiny_pipeline, prepared):
    """All tables, those that compare studio generators last."""
    generators = {"same": tiny_pipeline.phone_generator, "studio": tiny_pipeline.studio_generator}
    compared = Comparison(embed=lambda texture: texture.mean((0, 1)), generators=generators)
    return evaluate(tiny_pipeline, prepared, compared)


def test_evaluation_of_the_real_pipeline_on_known_sets(evaluated):
    reconstruction, studio, by_tone, light, detail, ablation, *_ = evaluated
    inverted = [
        reconstruction.means(f"ours: encoder{steps}")["psnr"] for steps in ("", " + 100 steps (best)")
    ]
    assert inverted[1] > inverted[0] + 1
    assert all(len(values) == 2 for row in reconstruction.rows.values() for values in row.values())
    truths = np.array([[230, 190, 170], [90, 60, 50]]) / 255
    mean = np.array([160, 123, 103]) / 255  # of the training subjects only
    expected = deltaE_ciede2000(rgb2lab(np.broadcast_to(mean, truths.shape)), rgb2lab(truths))
    np.testing.assert_allclose(studio.rows["mean studio texture"]["delta_e"], expected, atol=0.2)
    np.testing.assert_allclose(studio.rows["mean studio texture"]["delta_e_completed"], expected, atol=0.2)
    assert studio.means("raw phone texture")["delta_e"] > 15
    distances = np.linalg.norm(truths - mean, axis=1)
    np.testing.assert_allclose(studio.rows["mean studio texture"]["identity_distance"], distances, atol=3e-3)
    assert {"all stages", "without relighting", "studio generator alone"} < set(ablation.rows)
    assert ablation.means("all stages")["delta_e"] != ablation.means("without relighting")["delta_e"]
    assert list(light.rows) == ["rooms"] and len(light.rows["rooms"]["error"]) == 2
    assert not detail.rows  # nothing is registered in these sets
    assert set(studio.rows) > {
        "quotient 12",
        "ours: relit",
        "ours: studio base",
        "ours: texture",
        "mirror fill + blur-divide",
    }
    assert [c.key for c in by_tone.columns[:2]] == ["delta_e, light", "delta_e, brown or dark"]
    assert by_tone.rows["mean studio texture"]["delta_e, brown or dark"] == pytest.approx(
        [expected[1]], abs=0.2
    )


def test_detail_is_compared_with_the_registered_truth_where_seen():
    generator = np.random.default_rng(0)
    truth, noise = generator.random((2, 64, 64, 3), np.float32)
    seen = np.ones((64, 64), np.float32)
    seen[:, 40:] = 0
    pair = StudioPair("one", truth, seen, noise, registered=truth)
    methods = [lambda pair: {"same": np.where(seen[..., None] > 0, truth, 0)}, lambda pair: {"other": noise}]
    distance = lambda texture, registered, mask: np.abs(texture - registered)[mask].mean()  # noqa: E731
    table = detail_table([pair], np.ones((64, 64), bool), methods, distance)
    same, other = table.means("same"), table.means("other")
    assert same["near_lpips"] == 0 < other["near_lpips"]
    assert same["correlation"] == pytest.approx(1) and abs(other["correlation"]) < 0.1
    assert same["octave_4"] == pytest.approx(1, abs=0.01)
    assert "near_lpips" not in detail_table([pair], seen > 0, methods).means("same")


def test_studio_generators_are_compared_on_real_people(evaluated):
    assert len(evaluated) == 8
    *_, known, real = evaluated
    assert list(known.rows) == ["same", "studio"] and list(real.rows) == ["phone generator", "same", "studio"]
    assert len(real.rows["studio"]["identity_distance"]) == 2
    assert real.means("same")["identity_distance"] == pytest.approx(0, abs=1e-6)
    assert real.means("studio")["identity_distance"] > 0
    assert real.means("same")["kid"] == pytest.approx(real.means("phone generator")["kid"])


def test_command_prints_what_it_writes(tiny_pipeline, evaluated, prepared, tmp_path, capsys):
    tiny_pipeline.save_pretrained(tmp_path / "weights")
    earlier = tmp_path / "earlier.json"
    write_report(evaluated, {}, earlier, tmp_path / "earlier.md")
    folders = {"--data": prepared, "--prepared": prepared, "--weights": tmp_path / "weights"}
    names = {"--out": "e.json", "--markdown": "e.md", "--picture": "e.jpg"}
    files = {option: tmp_path / "docs" / name for option, name in names.items()}
    given = folders | files | {"--reconstruction-from": earlier}
    arguments = [str(part) for pair in given.items() for part in pair]
    assert main([*arguments, "--limit", "1", "--no-identity", "--no-perceptual"]) == 0
    assert capsys.readouterr().out.strip() == files["--markdown"].read_text().strip()
    report = json.loads(files["--out"].read_text())
    taken, known = (table["tables"][0]["rows"] for table in (report, json.loads(earlier.read_text())))
    assert [(row["method"], row["items"]) for row in taken] == [
        (row["method"], row["items"]) for row in known
    ]
    with Image.open(files["--picture"]) as picture:  # one person; the truth below the methods
        assert picture.size == (TILE, (len(report["tables"][1]["rows"]) + 1) * (TILE + CAPTION_HEIGHT))
    assert report["facts"]["weights"].startswith("sha256:")
    ours = next(row for row in report["tables"][1]["rows"] if row["method"] == "ours: texture")
    assert len(ours["items"]["delta_e"]) == 1 and ours["mean"]["delta_e"] > 0


def test_sets_for_another_head_are_refused(tiny_pipeline, prepared, tmp_path):
    folder = Path(shutil.copytree(prepared, tmp_path / "prepared"))
    index = json.loads((folder / "studio.json").read_text())
    (folder / "studio.json").write_text(json.dumps(index | {"head": "00000000"}))
    with pytest.raises(InvalidInputError, match=r"studio .* another head"):
        evaluate(tiny_pipeline, folder, Comparison())


def test_sets_are_made_where_none_are_given(head, tmp_path, monkeypatch):
    """The smallest people: a frame of the example as a portrait, its texture in four tones, one of them held out."""
    for name, value in {"STUDIO_SIZE": 256, "SMALL_SIZE": 256, "PORTRAIT_CAPTURE_SIZE": 256}.items():
        monkeypatch.setattr(make, name, value)
    for name, value in {"HELD_OUT_VIEWS": 1, "HELD_OUT_FRAME": (270, 360), "UNSEEN_LIGHTS": 1}.items():
        monkeypatch.setattr(make, name, value)
    monkeypatch.setattr(studio_set, "HELD_OUT_PER_SOURCE", 1)
    (tmp_path / "portraits").mkdir()
    (tmp_path / "studio" / "head-v1").mkdir(parents=True)
    Image.fromarray(next(iter(read_frames(EXAMPLES / "selfie.mp4"))).rgb).save(
        tmp_path / "portraits" / "a.jpg"
    )
    with Image.open(EXAMPLES / "selfie_studio.png") as picture:
        texture = np.asarray(picture.convert("RGB").resize((256, 256), Image.Resampling.BOX)) / 255
    for number in range(4):
        toned = Image.fromarray(np.rint(255 * texture ** (0.8 + 0.2 * number)).astype(np.uint8))
        toned.save(tmp_path / "studio" / "head-v1" / f"{number}.png")
    options = Namespace(prepared=None, cache=tmp_path / "cache", data=tmp_path)
    monkeypatch.setattr(held_out, "WORKERS", 1)
    with prepared_folder(options, str(WEIGHTS)) as folder:
        held_out.check_head(folder, head)
        assert held_out.skipped(folder) == dict.fromkeys(held_out.SETS, 0)
        (pair,) = held_out.studio_pairs(folder)
        np.testing.assert_allclose(pair.truth, texture ** (0.8 + 0.2 * int(pair.subject)), atol=0.01)
        assert 0.1 < pair.seen.mean() < 0.9 and pair.registered.shape == pair.truth.shape == (256, 256, 3)
        assert len(held_out.portraits(folder, 64, "held_out").rgb) == 1
        assert sorted(path.stem for path in folder.glob("*.safetensors")) == sorted(held_out.SETS)


def test_command_names_what_is_missing(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none")]) == 2
    assert "none is no folder" in capsys.readouterr().err
    with pytest.raises(InvalidInputError, match="--prepared"):
        held_out.studio_pairs(tmp_path)
    (tmp_path / "portraits.json").write_text(json.dumps({"items": [{"split": "held_out"}]}))
    with pytest.raises(InvalidInputError, match="no train portrait"):
        held_out.portraits(tmp_path, 64, "train")
