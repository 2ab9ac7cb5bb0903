"""What `import studio_avatar` gives, and how little it costs."""

import inspect
import subprocess
import sys

IMPORT_SECONDS = 0.3
HEAVY = ("torch", "numpy", "cv2", "diffusers", "mediapipe", "gradio", "warp")
# Own CPU time, which what else runs on the machine does not lengthen much.
TIMED = """
import sys, time
start = time.process_time()
import studio_avatar
print(time.process_time() - start, *[name for name in sys.argv[1:] if name in sys.modules])
"""


def test_the_public_names_are_what_they_say():
    from studio_avatar import Avatar, StudioTexturePipeline, capture

    assert inspect.isclass(Avatar) and callable(Avatar.export)
    assert inspect.isclass(StudioTexturePipeline) and callable(StudioTexturePipeline.from_pretrained)
    assert inspect.ismodule(capture) and callable(capture.capture)


def test_importing_the_package_is_quick_and_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", TIMED, *HEAVY], capture_output=True, text=True, check=True, timeout=60
    )
    seconds, *loaded = done.stdout.split()
    assert float(seconds) < IMPORT_SECONDS and not loaded
