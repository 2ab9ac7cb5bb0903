"""The SHA-256 list of a repository comes from a stranger: nothing outside its snapshot is read, named or deleted."""

import json
import shutil
from pathlib import Path

import pytest

from studio_avatar.errors import WeightsError
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline
from studio_avatar.weights import download
from studio_avatar.weights.checksums import (
    CHECKSUMS_FILE,
    INDEX_FILE,
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


@pytest.fixture
def local(tmp_path):
    """The embedded weights in a folder of their own: all files are links, but for what a test changes."""
    weights = Path(__file__).resolve().parents[2] / "weights_card"
    for path in weights.iterdir():
        if path.name not in ("tone_estimator", INDEX_FILE):
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(weights / "tone_estimator", tmp_path / "tone_estimator")
    shutil.copyfile(weights / INDEX_FILE, tmp_path / INDEX_FILE)
    return tmp_path


def test_a_flipped_byte_of_a_local_folder_is_named(local, monkeypatch):
    file = next((local / "tone_estimator").glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=f"tone_estimator/{file.name}' is not the file"):
        StudioTexturePipeline.from_pretrained(local)
    verify_folder(local, ["encoder"])  # what is not loaded does not matter
    monkeypatch.setenv(VERIFY_VARIABLE, "0")
    verify_folder(local, ["tone_estimator"])


def test_an_index_that_was_changed_is_named(local):
    (local / INDEX_FILE).write_text((local / INDEX_FILE).read_text() + "\n")
    with pytest.raises(WeightsError, match=f"{INDEX_FILE}' is not the file"):
        StudioTexturePipeline.from_pretrained(local)


@pytest.mark.parametrize(
    "name", ["tone_estimator/config.json", "tone_estimator/diffusion_pytorch_model.safetensors"]
)
def test_a_listed_file_that_is_missing_is_named(local, name):
    (local / name).unlink()
    with pytest.raises(WeightsError, match=f"lacks {name}"):
        StudioTexturePipeline.from_pretrained(local)


def test_code_and_other_variants_may_be_missing(local):
    """As in the cache of a download, which fetches neither."""
    (local / "tone_estimator" / "tone_estimator.py").unlink()
    (local / "hair_segmenter").unlink()
    with pytest.raises(WeightsError, match="lacks hair_segmenter/config.json"):
        verify_folder(local, ["hair_segmenter"])
    verify_folder(local, ["tone_estimator"])


ENTRIES = [
    None,
    3,
    "x",
    [],
    ["a"],
    ["a", "b", "c"],
    ["diffusers", None],
    ["diffusers", 7],
    {},
    ["diffusers", "AutoencoderKL"],
]


@pytest.mark.parametrize("component", ["unet", "scheduler"])
@pytest.mark.parametrize("entry", ENTRIES, ids=json.dumps)
def test_a_wrong_entry_of_the_index_is_a_sentence(local, monkeypatch, component, entry):
    monkeypatch.setenv(VERIFY_VARIABLE, "0")
    index = json.loads((local / INDEX_FILE).read_text())
    (local / INDEX_FILE).write_text(json.dumps({**index, component: entry}))
    with pytest.raises(WeightsError, match=f"'{component}'"):
        StudioTexturePipeline.from_pretrained(local)


@pytest.mark.parametrize("text", ["", "{", "3", "null", "[]", '"x"', "{}", "[" * 100_000, "\xff"])
def test_an_index_that_is_none_is_a_sentence(local, monkeypatch, text):
    monkeypatch.setenv(VERIFY_VARIABLE, "0")
    (local / INDEX_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match="give a folder of weights|export the weights again"):
        StudioTexturePipeline.from_pretrained(local)
