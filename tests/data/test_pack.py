"""The packed training file: what goes in comes out."""

import json

import numpy as np
import pytest
import torch
from helpers import texel_world
from safetensors.numpy import save_file

from studio_avatar.data.prepare import relit
from studio_avatar.data.prepare.pack import (
    Pack,
    PackContents,
    prepared_rows,
    read_people,
    read_validated,
    write_pack,
)
from studio_avatar.data.prepare.sets import generated_people, real_people
from studio_avatar.errors import InvalidInputError
from studio_avatar.pipeline import StudioTexturePipeline
from studio_avatar.pipeline.skin_tone import measure_tone


def test_what_is_packed_comes_out(tmp_path):
    skins = [texture.permute(1, 2, 0).numpy() for texture in texel_world.textures()]
    smooth = np.full((64, 64, 3), (180, 140, 120), np.uint8)
    light = {name: texel_world.panoramas() for name in ("photographed", "photographed_held_out", "painted")}
    networks = {"identity": {"a.weight": torch.tensor([0.5]), "a.count": torch.tensor(3)}, "features": {}}
    path = tmp_path / "pack.safetensors"
    size = write_pack(
        path,
        PackContents(
            studio=skins,
            augmented=[smooth],
            light=light,
            transfer=texel_world.baked(),
            masks=texel_world.masks(),
            networks=networks,
            relit=[smooth[:32, :32]],
        ),
    )
    assert size == path.stat().st_size
    pack = Pack(path)
    assert pack.images("studio").shape == (4, 3, 64, 64) and pack.images("studio", 32).shape == (4, 3, 32, 32)
    assert (
        pack.images("augmented")[0].float() - torch.tensor([180, 140, 120.0]).view(3, 1, 1)
    ).abs().max() < 3
    assert len(pack.images("portraits")) == 0 and pack.images("relit").shape == (1, 3, 32, 32)
    assert np.array_equal(pack.images("covers").numpy(), texel_world.baked()["covers"])
    for name, array in pack.transfer().items():
        assert np.array_equal(array, texel_world.baked()[name])
    assert (pack.masks().tone_weight - texel_world.masks().tone_weight).abs().max() < 0.01
    assert pack.weights("identity") == {"a.weight": torch.tensor([0.5]), "a.count": torch.tensor(3)}
    assert np.array_equal(pack.tensor("painted").numpy(), texel_world.panoramas())


def test_people_are_relit(tiny_weights, monkeypatch):
    pipeline = StudioTexturePipeline.from_pretrained(tiny_weights)
    rgb = np.full((128, 128, 3), (180, 140, 120), np.uint8)
    person = rgb, np.full((128, 128), 255, np.uint8), np.zeros(20, np.float32)
    monkeypatch.setattr(relit, "is_clean", lambda texture, weight, lab: texture.isfinite().all())
    (texture,) = relit.relit_textures([person], pipeline)
    assert texture.shape == (128, 128, 3) and texture.dtype == np.uint8


def test_captures_of_validation_people_come_with_the_tone_of_their_truth(tiny_weights, tmp_path):
    pipeline = StudioTexturePipeline.from_pretrained(tiny_weights)
    target = np.full((3, 256, 256, 3), (180, 140, 120), np.uint8)
    seen = np.full((3, 256, 256), 255, np.uint8)
    arrays = {"rgb": target // 2, "seen": seen, "target": target, "scene": np.eye(3, 20, dtype=np.float32)}
    save_file(arrays, tmp_path / "captures.safetensors")
    items = [{"id": str(i), "split": split} for i, split in enumerate(("train", "validation", "validation"))]
    (tmp_path / "captures.json").write_text(json.dumps({"items": items}))
    rows = list(read_validated(tmp_path / "captures.safetensors", pipeline))
    assert [int(scene.argmax()) for _, _, scene, _ in rows] == [1, 2]
    picture, visibility, _, lab = rows[0]
    assert picture.shape == (128, 128, 3) and visibility.shape == (128, 128)
    color = torch.tensor([180, 140, 120.0]).view(1, 3, 1, 1) / 127.5 - 1
    expected = measure_tone(color.expand(1, 3, 8, 8), torch.ones(1, 1, 8, 8))[0].numpy()
    assert np.allclose(lab, expected, atol=0.1)


def test_a_texture_of_another_tone_or_with_hair_over_the_forehead_is_not_clean():
    weight, skin = (
        torch.ones(1, 1, 32, 32),
        torch.tensor([0.5, 0.2, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 32, 32),
    )
    lab = measure_tone(skin, weight)
    assert relit.is_clean(skin, weight, lab)
    assert not relit.is_clean(skin, weight, lab - torch.tensor([[10.0, 0, 0]]))
    streaked = skin.clone()
    streaked[..., ::4] = -0.9
    assert not relit.is_clean(streaked, weight, measure_tone(streaked, weight))


def test_missing_and_foreign_files_are_said(tmp_path):
    with pytest.raises(InvalidInputError, match="prepare pack"):
        Pack(tmp_path / "none.safetensors")
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InvalidInputError, match="no packed training file"):
        Pack(tmp_path / "other.safetensors")


def test_only_training_people_who_show_their_face_are_read(tmp_path):
    rgb = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3)
    seen = np.full((4, 8, 8), 255, np.uint8)
    seen[2] = 0
    scene = np.arange(4, dtype=np.float32)[:, None].repeat(20, 1)
    save_file({"rgb": rgb, "seen": seen, "scene": scene}, tmp_path / "people.safetensors")
    items = [
        {"id": str(i), "split": split} for i, split in enumerate(("train", "held_out", "train", "train"))
    ]
    (tmp_path / "people.json").write_text(json.dumps({"items": items}))
    pictures, visibility, scenes = read_people(tmp_path / "people.safetensors", 10)
    assert [int(picture[0, 0, 0]) for picture in pictures] == [int(one[0]) for one in scenes] == [0, 3]
    assert all(one.shape == (256, 256) and one.min() == 255 for one in visibility)
    counts = {
        most: len(list(prepared_rows(tmp_path / "people.safetensors", "rgb", most=most)))
        for most in (None, 2, 0)
    }
    assert counts == {None: 3, 2: 2, 0: 0}


def test_held_out_portraits_stay_apart(tmp_path):
    for folder, suffix, count in (("portraits", "jpg", 70), ("portraits_generated", "webp", 12)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            (tmp_path / folder / f"{folder[-3:]}{i:02d}.{suffix}").touch()
    splits = dict(real_people(tmp_path) + generated_people(tmp_path))
    assert [name for name, split in splits.items() if split == "train" and name.startswith("its")] == [
        f"its{i:02d}" for i in range(10)
    ]
    assert [name for name, split in splits.items() if split == "held_out" and name.startswith("ted")] == [
        "ted00",
        "ted06",
    ]
