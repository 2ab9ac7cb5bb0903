"""The start of a command: the person is looked for while the networks are loaded."""

import threading
from types import SimpleNamespace

from PIL import Image

from studio_avatar.results import settings


def test_the_person_is_looked_for_while_the_networks_load(tmp_path, monkeypatch):
    both = threading.Barrier(2, timeout=10)  # broken unless two threads come
    found, stages = SimpleNamespace(seconds=2.0), []
    photo = tmp_path / "face.png"
    Image.new("RGB", (80, 80)).save(photo)

    def load(weights):
        both.wait()
        return lambda **arguments: SimpleNamespace(arguments=arguments, timings={"capture": 1.0})

    def find(source, progress, mirrored):
        both.wait()
        progress("landmarks", 1.0)
        assert source == [str(photo)] and mirrored
        return found

    monkeypatch.setattr(settings, "load_pipeline", load)
    monkeypatch.setattr("studio_avatar.capture.observation.find_person", find)
    pipeline, person = settings.load_and_find("weights", [photo], lambda stage, _: stages.append(stage), True)
    assert person is found and stages == ["landmarks", "load"]
    output = settings.create_avatar(pipeline, [photo], settings.CreationSettings(), found=person)
    assert output.arguments["video"] is found and "images" not in output.arguments
    assert output.timings["capture"] == 3.0
