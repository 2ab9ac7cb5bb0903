"""The SHA-256 list of a repository comes from a stranger: nothing outside its snapshot is read, named or deleted."""

import shutil
from pathlib import Path

import pytest

from studio_avatar.errors import WeightsError
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline
from studio_avatar.weights import download
from studio_avatar.weights.checksums import (
    CHECKSUMS_FILE,
    VERIFY_VARIABLE,
    is_inside,
    read_checksums,
    sha256,
    verify_folder,
)

WRONG = "0" * 64


def snapshot(cache: Path, lines: dict[str, str]) -> Path:
    """A repository's part of the Hub's cache with a list of sums; the snapshot links to its blobs."""
    folder, blobs = cache / "snapshots" / "c0ffee", cache / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    (folder / CHECKSUMS_FILE).write_text("".join(f"{digest}  {name}\n" for name, digest in lines.items()))
    return folder


def fetch(monkeypatch, folder: Path) -> Path:
    monkeypatch.setattr(download, "_snapshot", lambda *arguments, **options: folder)
    return download.download_weights("org/name")


@pytest.mark.parametrize("place", ["absolute", "parents", "inner parents"])
def test_a_name_outside_the_snapshot_is_refused_and_its_file_stays(tmp_path, monkeypatch, place):
    victim = tmp_path / "victim.json"
    victim.write_text("{}")
    name = {
        "absolute": str(victim),
        "parents": "../../../victim.json",
        "inner parents": "unet/../../../../victim.json",
    }[place]
    folder = snapshot(tmp_path / "cache", {name: WRONG})
    assert (folder / name).resolve() == victim or place == "inner parents"
    with pytest.raises(WeightsError, match="names a file outside its folder") as caught:
        fetch(monkeypatch, folder)
    assert name in str(caught.value) and victim.read_text() == "{}"


@pytest.mark.parametrize(
    "name", ["C:/x.json", "C:x.json", "..\\x.json", "\\\\host\\x.json", "a\x1b[2J.json", "."]
)
def test_names_that_leave_the_folder_on_another_system_are_refused(name):
    assert not is_inside(name)


def test_ordinary_names_are_inside():
    assert is_inside("model_index.json") and is_inside("unet/..config.json") and is_inside("a b/ö.json")


def test_a_wrong_file_is_deleted_with_its_blob_and_nothing_else(tmp_path, monkeypatch):
    folder = snapshot(tmp_path / "cache", {"model_index.json": WRONG})
    blob = tmp_path / "cache" / "blobs" / "b10b"
    blob.write_text("{}")
    (folder / "model_index.json").symlink_to(blob)
    with pytest.raises(WeightsError, match="wrong SHA-256 and was deleted"):
        fetch(monkeypatch, folder)
    assert not blob.exists() and not (folder / "model_index.json").is_symlink()


def test_a_link_out_of_the_cache_is_removed_and_not_followed(tmp_path, monkeypatch):
    folder = snapshot(tmp_path / "cache", {"model_index.json": WRONG})
    victim = tmp_path / "victim.json"
    victim.write_text("{}")
    (folder / "model_index.json").symlink_to(victim)
    with pytest.raises(WeightsError, match="wrong SHA-256"):
        fetch(monkeypatch, folder)
    assert victim.read_text() == "{}" and not (folder / "model_index.json").is_symlink()


def test_a_right_list_is_read(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    digest = sha256(tmp_path / "a.json")
    (tmp_path / CHECKSUMS_FILE).write_text(f"{digest}  a.json\n")
    assert read_checksums(tmp_path) == {"a.json": digest}


def test_a_flipped_byte_of_a_local_folder_is_named(tmp_path, monkeypatch):
    weights = Path(__file__).resolve().parents[2] / "weights_card"
    for path in weights.iterdir():
        if path.name != "tone_estimator":
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(weights / "tone_estimator", tmp_path / "tone_estimator")
    file = next((tmp_path / "tone_estimator").glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=f"tone_estimator/{file.name}' is not the file"):
        StudioTexturePipeline.from_pretrained(tmp_path)
    verify_folder(tmp_path, ["encoder"])  # what is not loaded does not matter
    monkeypatch.setenv(VERIFY_VARIABLE, "0")
    verify_folder(tmp_path, ["tone_estimator"])
