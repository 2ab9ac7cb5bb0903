"""Publishing and loading over real HTTP from a local Hub; every client is a fresh process with its own HF_HOME."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.hub_stub import TOKEN, card_faults, serve_hub
from helpers.tiny_weights import WEIGHTS
from huggingface_hub import constants

from studio_avatar.cli.main import main
from studio_avatar.errors import WeightsError
from studio_avatar.evaluation.report import Table
from studio_avatar.hub.card import CARD_FILE, PLACEHOLDER, check_card, evaluation_section, refresh_card
from studio_avatar.hub.door_check import texture_digest
from studio_avatar.hub.publish import assemble
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline
from studio_avatar.weights.checksums import CHECKSUMS_FILE, read_checksums, repository_files, sha256
from studio_avatar.weights.locate import DEFAULT_REPOSITORY, weights_revision

ROOT = Path(__file__).parents[2]
EVALUATION = ROOT / "docs" / "evaluation.json"
REPOSITORY = "org/studio-avatar"
UNET = "unet/diffusion_pytorch_model.safetensors"
ABSENT_AT_THE_REMOTE_DOOR = ("studio_avatar", "mediapipe", "av", "cv2", "gradio", "scipy", "accelerate")

REMOTE_DOOR = f"""
import sys
sys.path.insert(0, {str(ROOT / "studio_avatar" / "hub")!r})
for name in {ABSENT_AT_THE_REMOTE_DOOR}:
    sys.modules[name] = None
from door_check import texture_digest
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
print(texture_digest(pipe))
try:
    pipe(video="selfie.mp4")
except ValueError as error:
    print(error)
"""
# Without torch, hence fast: the folder that each `--weights` and STUDIO_AVATAR_WEIGHTS resolve to.
FIND = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from studio_avatar.errors import WeightsError
from studio_avatar.weights.locate import find_weights
for given in sys.argv[1:] or [None]:
    try:
        print(find_weights(given))
    except WeightsError as error:
        print(f"{{type(error).__name__}}: {{error}}")
"""


def client(
    hub_url: str, home: Path, code: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess:
    """Run `code` in a fresh isolated process that knows nothing but this Hub and this cache."""
    keep = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    hub = {
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.run(
        [sys.executable, "-I", "-c", code, *arguments],
        env={**keep, "HOME": str(home), **hub, **environment},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=240,
    )


def output(done: subprocess.CompletedProcess) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


@pytest.fixture(scope="module")
def hub():
    with serve_hub() as running:
        yield running


@pytest.fixture(scope="module")
def publishing(hub, tiny_weights):
    """What `studio-avatar publish` of tiny weights prints; here, where torch is imported. Its check starts a process."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        assert main(["publish", REPOSITORY, "--weights", str(tiny_weights), "--private"]) == 0
    return printed.getvalue()


@pytest.fixture(scope="module")
def files(hub, publishing):
    """The published repository; public from here on."""
    hub.private.discard(REPOSITORY)
    return hub.files(REPOSITORY)


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def own_home(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def own_door(hub, files, own_home):
    """The digest of what the package's own door makes of a cache that was cold; the door itself opens here, offline."""
    output(client(hub.url, own_home, FIND, REPOSITORY))
    pipe = StudioTexturePipeline.from_pretrained(
        REPOSITORY, cache_dir=own_home / "hub", local_files_only=True
    )
    return texture_digest(pipe)


# ---------------------------------------------------------------------------------------- publishing


def test_publishing_is_one_commit_of_a_private_repository(hub, publishing):
    assert len(hub.commits[REPOSITORY]) == 2  # the Hub's own first one, and ours
    assert publishing.strip().endswith(f"/commit/{hub.refs[REPOSITORY]['main']}")
    posted = [path for method, path, _ in hub.requests if method == "POST" and "/commit/" in path]
    assert len(posted) == 1


def test_the_published_repository_is_whole(files, tmp_path):
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    sums = read_checksums(tmp_path)
    assert {name: sha256(tmp_path / name) for name in sums} == sums
    assert set(files) - set(sums) == {CARD_FILE, CHECKSUMS_FILE, ".gitattributes"}
    assert {UNET, UNET.replace(".safetensors", ".fp16.safetensors")} <= set(files)
    assert not any(
        str(tmp_path.parents[1]).encode() in data for data in files.values()
    )  # no path of the publisher's
    card = files[CARD_FILE].decode()
    assert card_faults(card) == [] and f'from_pretrained("{REPOSITORY}"' in card


def test_both_doors_load_and_give_the_same_bytes(hub, files, own_door, home):
    digest, sentence = output(client(hub.url, home, REMOTE_DOOR, REPOSITORY))
    assert digest == own_door and re.fullmatch("[0-9a-f]{64}", digest)
    assert "needs the studio-avatar package" in sentence and "phone_texture" in sentence


def test_own_door_downloads_no_code_and_no_other_variant(own_door, own_home):
    names = {path.name for path in own_home.rglob("snapshots/*/*/*")}
    assert "diffusion_pytorch_model.safetensors" in names
    assert not [name for name in names if name.endswith(".py") or "fp16" in name]


def test_a_warm_cache_offline_needs_no_request(hub, own_door, own_home):
    before = len(hub.requests)
    (folder,) = output(client(hub.url, own_home, FIND, REPOSITORY, HF_HUB_OFFLINE="1"))
    assert (Path(folder) / UNET).is_file() and len(hub.requests) == before


def test_a_dry_run_lists_and_uploads_nothing(hub, files, tiny_weights, capsys, monkeypatch):
    from studio_avatar.hub import publish

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(publish, "check", lambda folder: None)  # the publishing test runs it
    before = len(hub.requests)
    assert main(["publish", "org/other", "--dry-run", "--weights", str(tiny_weights)]) == 0
    printed = capsys.readouterr().out
    assert len(hub.requests) == before and "org/other" not in hub.refs
    assert f"{len(files[UNET]):,}  {UNET}" in printed and "nothing was uploaded" in printed


def test_what_cannot_be_published_is_a_sentence(hub, tmp_path, home):
    with pytest.raises(WeightsError, match="no model card"):
        assemble(tmp_path, tmp_path / "out", "org/other")
    (tmp_path / CARD_FILE).write_text("---\nlicense: free-beer\n---\n")
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from studio_avatar.errors import StudioAvatarError
from studio_avatar.hub.upload import require_token, upload
weights, token = Path(sys.argv[1]), sys.argv[2]
def refused_card():
    os.environ["HF_TOKEN"] = token
    upload(weights, "org/other")
for attempt in (require_token, lambda: upload(weights, "org/other"), lambda: upload(weights, "no name"), refused_card):
    try:
        attempt()
    except StudioAvatarError as error:
        print(error)
"""
    no_token, refused, no_name, bad_card = output(client(hub.url, home, code, str(tmp_path), TOKEN))
    assert "set HF_TOKEN" in no_token and "write access" in refused
    assert "use org/name" in no_name and "refuses the model card" in bad_card and "license" in bad_card


def test_a_revision_is_a_branch_of_its_own(hub, files, tmp_path, home):
    main_before = hub.refs[REPOSITORY]["main"]
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from studio_avatar.hub.upload import upload
print(upload(Path(sys.argv[1]), sys.argv[2], revision="next"))
"""
    output(client(hub.url, home, code, str(tmp_path), REPOSITORY, HF_TOKEN=TOKEN))
    assert hub.refs[REPOSITORY]["main"] == main_before
    assert set(hub.files(REPOSITORY, "next")) - {".gitattributes"} == {
        "unet/config.json"
    }  # older files are gone


# ---------------------------------------------------------------------------------------- what can go wrong


@pytest.fixture
def copy(hub, files, request):
    """A repository of its own for one test, with the published files."""
    name = f"org/{request.node.name.replace('[', '-').replace(']', '')}"[:60]
    hub.commit(name, files)
    return name


def test_a_damaged_file_is_deleted_and_named(hub, copy, home):
    hub.faults[copy][UNET] = "corrupt"
    (sentence,) = output(client(hub.url, home, FIND, copy))
    assert sentence.startswith("WeightsError:") and UNET in sentence and "SHA-256" in sentence
    assert not list(home.rglob(f"snapshots/*/{UNET}"))
    kept = len([blob for blob in home.rglob("blobs/*") if blob.stat().st_size == len(hub.files(copy)[UNET])])
    hub.faults[copy].clear()
    folder = Path(output(client(hub.url, home, FIND, copy))[0])
    assert kept == 0 and (folder / UNET).read_bytes() == hub.files(copy)[UNET]


def test_a_half_cut_download_is_no_file_and_loads_later(hub, copy, home):
    hub.faults[copy][UNET] = "cut"
    (sentence,) = output(client(hub.url, home, FIND, f"{copy}@main"))
    assert sentence.startswith("HubUnreachableError:") and copy in sentence
    assert not list(home.rglob(f"snapshots/*/{UNET}"))
    hub.faults[copy].clear()
    folder = Path(output(client(hub.url, home, FIND, copy))[0])
    assert (folder / UNET).read_bytes() == hub.files(copy)[UNET]


def test_a_missing_file_is_named(hub, copy, home):
    hub.faults[copy][UNET] = "missing"
    (answered,) = output(client(hub.url, home, FIND, copy))
    files = hub.files(copy)
    hub.commit(copy, {name: data for name, data in files.items() if name != UNET})
    (unlisted,) = output(client(hub.url, home, FIND, copy))
    assert UNET in answered and UNET in unlisted and "lacks" in answered and "lacks" in unlisted


def test_a_repository_that_is_not_there_is_a_sentence(hub, files, home):
    hub.commit("org/other-model", {"model_index.json": b"{}"})
    asked = "org/nowhere", "not-a-folder", "org/other-model"
    nowhere, no_folder, other = output(client(hub.url, home, FIND, *asked))
    assert "no repository 'org/nowhere'" in nowhere
    assert "no weights folder" in no_folder
    assert CHECKSUMS_FILE in other


def test_a_wrong_token_is_a_sentence(hub, copy, home):
    (sentence,) = output(client(hub.url, home, FIND, copy, HF_TOKEN="hf_wrong"))
    assert sentence.startswith("WeightsError:") and "HF_TOKEN" in sentence


def test_a_hub_that_is_down_gives_way_to_the_embedded_weights(hub, copy, home):
    hub.faults[copy]["*"] = 503
    done = client(hub.url, home, FIND, copy, f"{copy}@main")
    instead, pinned = output(done)
    assert instead == str(WEIGHTS)
    assert (
        "503" in done.stderr
        and "embedded weights" in done.stderr
        and len(done.stderr.strip().splitlines()) == 1
    )
    assert pinned.startswith("HubUnreachableError:") and "503" in pinned
    unreachable = client("http://127.0.0.1:1", home, FIND, copy)
    assert output(unreachable) == [str(WEIGHTS)] and "cannot be reached" in unreachable.stderr


def test_an_installation_without_weights_takes_the_published_ones(hub, files, home):
    bare = FIND.replace(
        "for given",
        "from studio_avatar.weights import locate\nlocate.embedded_weights = lambda: None\nfor given",
    )
    (sentence,) = output(client(hub.url, home, bare))
    assert "has no weights" in sentence and "STUDIO_AVATAR_WEIGHTS" in sentence
    hub.commit(DEFAULT_REPOSITORY, files)
    assert weights_revision(output(client(hub.url, home, bare))[0]) == hub.refs[DEFAULT_REPOSITORY]["main"]


def test_a_hub_that_is_down_leaves_the_warm_cache(hub, copy, home):
    (folder,) = output(client(hub.url, home, FIND, copy))
    hub.faults[copy]["*"] = 503
    assert output(client(hub.url, home, FIND, copy)) == [folder]


def test_a_revision_is_pinned(hub, copy, home):
    first = hub.refs[copy]["main"]
    changed = {**hub.files(copy), "scheduler/scheduler_config.json": b"{}"}
    listed = changed[CHECKSUMS_FILE].decode().splitlines()
    empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    sums = [f"{empty}  {line[66:]}" if "scheduler_config" in line else line for line in listed]
    hub.commit(copy, {**changed, CHECKSUMS_FILE: "\n".join(sums).encode()})
    hub.refs[copy]["v1"] = first
    asked = (f"{copy}@{revision}" for revision in ("v1", first, "v9"))
    pinned, same, unknown = output(client(hub.url, home, FIND, *asked))
    newest = output(client(hub.url, home, FIND, HF_HOME=str(home), STUDIO_AVATAR_WEIGHTS=copy))[0]
    assert weights_revision(pinned) == first != weights_revision(newest) == hub.refs[copy]["main"]
    assert same == pinned and "no revision 'v9'" in unknown


# ---------------------------------------------------------------------------------------- the embedded repository


def test_the_embedded_list_of_sums_is_true():
    sums = read_checksums(WEIGHTS)
    assert {name: sha256(WEIGHTS / name) for name in sums} == sums, "run python -m studio_avatar.hub code"
    assert set(repository_files(WEIGHTS)) - set(sums) == {CARD_FILE, CHECKSUMS_FILE}


def test_the_card_says_what_the_evaluation_says(tmp_path):
    """Run `python -m studio_avatar.hub card --out weights_card` when this fails after a new evaluation."""
    card = tmp_path / CARD_FILE
    text = (WEIGHTS / CARD_FILE).read_text()
    card.write_text(re.sub(r"(value: |\| \**)-?\d+\.\d+", r"\g<1>0.0", text))  # every figure forgotten
    assert card.read_text() != text
    refresh_card(card, EVALUATION)
    assert evaluation_section(json.loads(EVALUATION.read_text())) in text
    assert card.read_text() == text


def test_the_evaluation_page_and_the_card_show_the_same_tables():
    page = (ROOT / "docs" / "evaluation.md").read_text()
    for table in json.loads(EVALUATION.read_text())["tables"]:
        assert Table.from_dict(table).to_markdown() in page


def test_the_card_has_valid_metadata():
    from huggingface_hub import ModelCard

    text = (WEIGHTS / CARD_FILE).read_text()
    assert card_faults(text) == [] and PLACEHOLDER in text
    check_card(text)
    data = ModelCard(text).data
    assert (
        data.library_name == "diffusers" and data.pipeline_tag == "image-to-3d" and len(data.eval_results) > 5
    )
    with pytest.raises(WeightsError, match="pipeline_tag"):
        check_card(text.replace("pipeline_tag: image-to-3d", "pipeline_tag: cooking"))
    with pytest.raises(WeightsError, match="cannot be read"):
        check_card(text.replace("model-index:\n- name: Studio Avatar small\n", "model-index:\n- title: x\n"))


def test_hub_validation_accepts_the_card_and_refuses_a_broken_one(hub, home):
    """`ModelCard.validate` posts the card to the Hub; here, to the stub's rules for metadata."""
    code = """
import sys
from huggingface_hub import ModelCard
text = open(sys.argv[1]).read()
ModelCard(text).validate()
try:
    ModelCard(text.replace("license: apache-2.0", "license: free-beer")).validate()
except ValueError as error:
    print(error)
"""
    (refusal,) = output(client(hub.url, home, code, str(WEIGHTS / CARD_FILE)))
    assert "license" in refusal
