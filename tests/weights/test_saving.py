"""What either loader has loaded and `save_pretrained` has saved, both load again, to the bit."""

import pytest
import torch
from diffusers import DiffusionPipeline
from helpers.tiny_weights import FAST, phone

from studio_avatar.errors import WeightsError
from studio_avatar.hub.repository import INDEX, REMOTE_CODE
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline
from studio_avatar.weights.checksums import CHECKSUMS_FILE, read_checksums, repository_files, sha256
from studio_avatar.weights.load import load


def remote(folder):
    return DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)


LOADERS = {"own": StudioTexturePipeline.from_pretrained, "remote": remote}


def texture(pipe) -> bytes:
    pipe.set_progress_bar_config(disable=True)
    return pipe(**phone(), **FAST, seed=0).texture.tobytes()


@pytest.fixture(scope="module", params=LOADERS)
def saved(request, tiny_weights, tmp_path_factory):
    """A folder, and the texture of the pipeline that was saved to it."""
    pipe, folder = LOADERS[request.param](tiny_weights), tmp_path_factory.mktemp("saved")
    pipe.save_pretrained(folder)
    return folder, texture(pipe)


@pytest.mark.parametrize("loader", LOADERS)
def test_both_loaders_load_what_either_saved(saved, loader):
    folder, expected = saved
    assert texture(LOADERS[loader](folder)) == expected


def test_the_saved_folder_is_a_repository(saved, tiny_weights):
    folder, _ = saved
    assert {name for name in repository_files(folder) if name.endswith(".py")} == set(REMOTE_CODE)
    assert all((folder / name).read_bytes() == (tiny_weights / name).read_bytes() for name in REMOTE_CODE)
    sums = read_checksums(folder)
    assert set(sums) == set(repository_files(folder)) - {CHECKSUMS_FILE}
    assert {name: sha256(folder / name) for name in sums} == sums
    assert StudioTexturePipeline.load_config(folder) == INDEX
    assert str(tiny_weights) not in (folder / "model_index.json").read_text()


def test_saving_again_lists_the_new_weights(saved, tmp_path):
    folder, _ = saved
    pipe = StudioTexturePipeline.from_pretrained(folder)
    pipe.save_pretrained(tmp_path)
    (tmp_path / "notes.txt").write_text("not ours")
    with torch.no_grad():
        pipe.unet.conv_out.bias.add_(1.0)
    pipe.save_pretrained(tmp_path)
    changed = StudioTexturePipeline.from_pretrained(tmp_path)
    assert torch.equal(changed.unet.conv_out.bias, pipe.unet.conv_out.bias)
    assert "notes.txt" not in read_checksums(tmp_path)


def test_what_was_saved_is_verified(saved, tmp_path):
    pipe = StudioTexturePipeline.from_pretrained(saved[0])
    pipe.save_pretrained(tmp_path)
    config = tmp_path / "unet" / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(WeightsError, match="unet/config.json' is not the file"):
        load(StudioTexturePipeline, tmp_path)
