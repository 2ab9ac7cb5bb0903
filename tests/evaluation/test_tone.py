"""The table of the tone estimator on people it never saw."""

import json

import numpy as np
from helpers import texel_world
from safetensors.numpy import save_file

from studio_avatar.data.prepare.pack import PackContents, write_pack
from studio_avatar.evaluation import tone
from studio_avatar.models import ToneEstimator


def test_held_out_people_are_measured_under_each_light(tmp_path, monkeypatch, capsys):
    skins = [texture.permute(1, 2, 0).numpy() for texture in texel_world.textures()]
    light = {name: texel_world.panoramas() for name in ("photographed", "photographed_held_out", "painted")}
    networks = {"identity": {}, "features": {}}
    write_pack(
        tmp_path / "pack.safetensors",
        PackContents(
            light=light,
            transfer=texel_world.baked(),
            masks=texel_world.masks(),
            networks=networks,
        ),
    )
    save_file({"rgb": np.ascontiguousarray(np.stack(skins))}, tmp_path / "studio.safetensors")
    splits = ("train", "held_out", "train", "held_out")
    (tmp_path / "studio.json").write_text(json.dumps({"items": [{"split": split} for split in splits]}))
    assert np.array_equal(tone.held_out_textures(tmp_path, 64)[1].numpy(), skins[3].transpose(2, 0, 1))
    ToneEstimator(64, (8, 8, 8, 8, 8), 8).save_pretrained(tmp_path / "weights" / "tone_estimator")
    monkeypatch.setattr(tone, "BATCH", 24)
    monkeypatch.setattr(tone, "BANK", texel_world.BANK)
    monkeypatch.setattr(tone, "find_weights", lambda given: given)
    given = [
        "--pack",
        tmp_path / "pack.safetensors",
        "--prepared",
        tmp_path,
        "--weights",
        tmp_path / "weights",
    ]
    assert tone.main([*map(str, given), "--batches", "2"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    errors = [float(row.split("**")[1]) for row in rows]
    assert len(errors) == len(tone.ROWS) and all(20 < error < 160 for error in errors)  # an untrained network
