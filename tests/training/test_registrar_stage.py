"""The registrar's stage on a made-up set: views with known offsets, warped and mirrored."""

import json

import pytest
import torch
from safetensors.torch import save_file

from studio_avatar.models import Registrar
from studio_avatar.training.config import RegistrarConfig
from studio_avatar.training.loop import make_accelerator
from studio_avatar.training.options import StageOptions
from studio_avatar.training.stages.registrar import RegistrarStage, ViewSet, in_cells, warped
from studio_avatar.training.stages.registrar import main as train_registrar


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


def test_registrar_stage_goes_on_from_a_trained_network(views, tmp_path):
    torch.manual_seed(5)
    trained = Registrar()
    trained.save_pretrained(tmp_path / "trained")
    config = RegistrarConfig(start=str(tmp_path / "trained"))
    stage = RegistrarStage(
        StageOptions(views, tmp_path / "run", config, {}), make_accelerator(tmp_path / "run")
    )
    for mine, theirs in zip(stage.net.parameters(), trained.parameters(), strict=True):
        assert torch.equal(mine, theirs)
