"""What the detector's start leaves out, in a new process: other tests may have imported it."""

import subprocess
import sys
from pathlib import Path


def test_pyplot_waits_until_somebody_draws():
    code = """
import sys
from studio_avatar.capture.detection.landmarks import FaceLandmarker
FaceLandmarker().close()
print(type(sys.modules["matplotlib.pyplot"]).__name__)
import matplotlib.pyplot as pyplot
pyplot.figure
print(type(pyplot).__name__, any(type(finder).__name__ == "_PyplotOnFirstUse" for finder in sys.meta_path))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["_LazyModule", "module", "False"]
