"""The stages that learn from captures through rendered frames: registrar and upscaler; tiny networks, made-up sets."""

import json

import pytest
import torch
from diffusers import UNet2DModel
from helpers.tiny_weights import tiny_pipeline
from safetensors.torch import save_file

from studio_avatar.models import Registrar
from studio_avatar.training.config import RegistrarConfig, UpscalerConfig
from studio_avatar.training.loop import make_accelerator
from studio_avatar.training.options import StageOptions
from studio_avatar.training.stages.registrar import RegistrarStage, ViewSet, in_cells, warped
from studio_avatar.training.stages.registrar import main as train_registrar
from studio_avatar.training.stages.upscaler import UpscalerStage, gradient_correlation
from studio_avatar.training.stages.upscaler import main as train_upscaler


@pytest.fixture
def views(tmp_path):
    """Three captures of two views: a picture of places, moved by one offset a view that is to be found again."""
    torch.manual_seed(0)
    side = Registrar().config.resolution
    places = torch.linspace(0, 1, side)
    picture = torch.stack(
        [places.expand(side, side), places[:, None].expand(side, side), torch.full((side, side), 0.5)]
    )
    offset = 2.0 * torch.randn(6, 2)
    unit = 256 / 352 * side / 256  # a registrar's unit in these texels, roughly
    rgb = torch.stack([picture + (o * unit / side).repeat(2)[:3, None, None] for o in offset]).clamp(0, 1)
    arrays = {
        "rgb": (255 * rgb).to(torch.uint8).permute(0, 2, 3, 1).reshape(3, 2, side, side, 3),
        "trust": torch.full((3, 2, side, side), 255, dtype=torch.uint8),
        "offset": offset.half()[:, None, None]
        .expand(6, side // 4, side // 4, 2)
        .reshape(3, 2, side // 4, side // 4, 2),
        "known": torch.full((3, 2, side // 4, side // 4), 255, dtype=torch.uint8),
    }
    save_file({name: array.contiguous() for name, array in arrays.items()}, tmp_path / "views.safetensors")
    items = [{"id": f"{i}", "split": split} for i, split in enumerate(("train", "train", "validation"))]
    (tmp_path / "views.json").write_text(json.dumps({"items": items}))
    return tmp_path


def test_warped_views_carry_their_offsets_along(views, tmp_path):
    """Shown at t is what was at t + field, so a warp by a constant field adds that field to every offset."""
    options = StageOptions(views, tmp_path / "run", RegistrarConfig(), {})
    stage = RegistrarStage(options, make_accelerator(tmp_path / "run"))
    batch = ViewSet(views, "train").batch([0, 1])
    field = torch.tensor([1.5, -0.5]).view(1, 2, 1, 1)
    stage.warp = lambda count, side: field.expand(count, 2, side, side)
    stage.draws.rand = lambda *shape: torch.ones(*shape)  # no mirror
    offset, known = stage.augmented(*batch)[2:]
    inner = (..., slice(8, -8), slice(8, -8))
    torch.testing.assert_close(offset[inner], (batch[2] + field)[inner], atol=1e-3, rtol=0)
    assert (known[inner] == 1).all()
    mean, seen = in_cells(offset, known)
    assert mean.shape[-1] == offset.shape[-1] // 2 and seen[inner].all()


def test_a_mirrored_view_has_mirrored_offsets(views, tmp_path):
    options = StageOptions(views, tmp_path / "run", RegistrarConfig(warp=0.0), {})
    stage = RegistrarStage(options, make_accelerator(tmp_path / "run"))
    batch = ViewSet(views, "train").batch([0, 1])
    stage.draws.rand = lambda *shape: torch.zeros(*shape)  # always mirrored
    offset = stage.augmented(*batch)[2]
    inner = (..., slice(4, -4), slice(4, -4))
    expected = batch[2].flip(-1) * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    torch.testing.assert_close(offset[inner], expected[inner], atol=1e-3, rtol=0)


def test_warping_by_a_unit_moves_by_a_unit():
    config = Registrar().config
    picture = torch.zeros(1, 1, 256, 256)
    picture[..., 100, 120] = 1.0
    unit = config.unit / config.window[2] * 256  # texels of the window
    field = torch.tensor([8 / unit, -4 / unit]).view(1, 2, 1, 1).expand(1, 2, 256, 256)
    assert warped(picture, field, config)[0, 0].argmax().item() == 104 * 256 + 112


def test_registrar_stage_writes_a_network_and_its_validation(views, tmp_path, capsys):
    run = tmp_path / "registrar"
    train_registrar(
        ["--data", str(views), "--run", str(run), "--set", "steps=3", "batch_size=2", "warmup_steps=1"]
    )
    assert Registrar.from_pretrained(run / "registrar").config.resolution == 256
    assert "texels_before" in capsys.readouterr().out


@pytest.fixture
def runs(tmp_path):
    """Run folders of the stages before the upscaler, and details of 128 texels: a striped person under a shadow."""
    pipe = tiny_pipeline()
    for stage, names in {
        "phone": ("encoder",), "studio": ("studio_generator",), "tone": ("tone_estimator",), "carry_over": ("carry_over",)
    }.items():  # fmt: skip
        for name in names:
            getattr(pipe, name).save_pretrained(tmp_path / stage / name)
    size = 8 * pipe.base_resolution
    stripes = torch.where(torch.arange(size) % 8 < 4, 0.4, 0.6).expand(4, size, size)
    target = stripes[..., None] * torch.tensor([1.0, 0.8, 0.7])
    shadow = torch.where(torch.arange(size) < size // 2, 1.0, 0.5)[:, None, None]
    arrays = {"rgb": target * shadow, "seen": torch.ones(4, size, size), "target": target}
    save_file(
        {n: (255 * a).to(torch.uint8).contiguous() for n, a in arrays.items()},
        tmp_path / "details.safetensors",
    )
    items = [
        {"id": f"{i}", "split": split} for i, split in enumerate(("train", "train", "train", "validation"))
    ]
    (tmp_path / "details.json").write_text(json.dumps({"items": items}))
    return tmp_path, size, pipe.base_resolution


def test_upscaler_stage_learns_to_take_the_detail(runs, tmp_path, capsys):
    data, size, base = runs
    inputs = [
        f"--{name}={data / name.replace('-', '_')}" for name in ("phone", "studio", "tone", "carry-over")
    ]
    settings = [
        f"resolution={size}",
        f"base_resolution={base}",
        "crop=64",
        "channels=[16, 32]",
        "steps=40",
        "batch_size=4",
    ]
    settings += [
        "learning_rate=0.004",
        "warmup_steps=2",
        "ema_decay=0.9",
        "gradient_dropout=0",
        "validation_interval=39",
    ]
    run = tmp_path / "upscaler"
    train_upscaler(["--data", str(data), "--run", str(run), *inputs, "--set", *settings])
    assert UNet2DModel.from_pretrained(run / "unet").config.block_out_channels == [16, 32]
    said = [line for line in capsys.readouterr().out.splitlines() if "validation_gain_db" in line]
    assert said and (run / "preview_000039.png").exists()
    options = StageOptions(
        data, tmp_path / "again",
        UpscalerConfig(resolution=size, base_resolution=base, crop=64, channels=(16, 32)),
        {name: data / name.replace("-", "_") for name in ("phone", "studio", "tone", "carry-over")},
    )  # fmt: skip
    stage = UpscalerStage(options, make_accelerator(tmp_path / "again"))
    stage.ema.module = UNet2DModel.from_pretrained(run / "unet")
    target, plain, gradients, trust = stage.fixed_crops()
    assert target.shape[-1] == 64 and trust.shape[1] == 1 and gradients.shape[1] == 2
    with torch.no_grad():
        clean = stage.predict(plain, gradients, trust)
    assert gradient_correlation(clean, target, trust) > gradient_correlation(plain, target, trust) + 0.1
