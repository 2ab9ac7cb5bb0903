"""`studio-avatar capture`: the front end alone, with its files and its refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.painted_head import facing, paint, render
from PIL import Image

from studio_avatar.cli.main import main
from studio_avatar.imaging.files import new_folder
from studio_avatar.results.folder import ResultFiles, check_target

FILES = {"phone_texture.png", "seen.png", "report.json", "contact_sheet.png", "fit.npz"}
CARD = Path(__file__).parents[2] / "weights_card"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    from studio_avatar.head.model import HeadModel

    head = HeadModel.from_pretrained(CARD, subfolder="head")
    folder, painting = tmp_path_factory.mktemp("photos"), paint(head)
    paths = [folder / f"{yaw}.png" for yaw in (0, 25, -25)]
    for path in paths:
        picture = render(head, painting, head.neutral.numpy(), facing(float(path.stem)))
        Image.fromarray(picture).save(path)
    return [str(path) for path in paths]


def test_photos_become_a_capture_folder(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["capture", *photos, "-o", str(out), "--size", "256"]) == 0
    assert {path.name for path in out.iterdir()} == FILES
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == str(out) and "Traceback" not in printed.err
    texture, seen = (np.asarray(Image.open(out / name)) for name in ("phone_texture.png", "seen.png"))
    assert texture.shape == (256, 256, 3) and texture.std() > 10
    assert seen.shape == (256, 256) and seen.max() > 200 and seen.min() == 0
    report = json.loads((out / "report.json").read_text())
    assert report["frames_used"] == 3 and set(report["frames_rejected"]) >= {"blurred", "eyes_closed", "cut"}
    assert {"glasses", "hair_on_face", "neck_seen", "light_azimuth"} <= {
        f["name"] for f in report["findings"]
    }
    fit = np.load(out / "fit.npz")
    assert fit["identity"].shape == (125,) and fit["expression"].shape == (3, 52)
    assert sorted(fit["timestamps"]) == [0, 1, 2]  # the numbers of the photos
    sheet = np.asarray(Image.open(out / "contact_sheet.png"))
    assert sheet.shape[0] > 600 and sheet.std() > 20
    # `create` takes a folder in it, whose avatar stays when the capture is made anew.
    check_target(out / "front")
    with new_folder(out / "front") as avatar:
        for name in ResultFiles.names():
            (avatar / name).write_text(name)
    (out / "fit.npz").write_text("old")
    assert main(["capture", *photos, "-o", str(out), "--size", "256", "--quiet"]) == 0
    assert {path.name for path in out.iterdir()} == FILES | {"front"}
    assert {path.read_text() for path in (out / "front").iterdir()} == ResultFiles.names()
    assert (out / "fit.npz").read_bytes() != b"old"
    # The same files are replaced; a folder with anything else in it is refused.
    (out / "notes.txt").write_text("mine")
    assert main(["capture", photos[0], "-o", str(out), "--quiet"]) == 2
    assert (out / "notes.txt").exists()


@pytest.mark.parametrize("arguments", [["--size", "0"], ["--max-keyframes", "99"]])
def test_settings_out_of_range_are_refused(photos, tmp_path, capsys, arguments):
    out = tmp_path / "out"
    assert main(["capture", photos[0], "-o", str(out), *arguments, "--quiet"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("studio-avatar: ") and printed.count("\n") == 1
    assert not out.exists()
