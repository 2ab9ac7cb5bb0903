"""Idle OpenMP threads sleep: checked in new processes, because OpenMP reads its settings once, with torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
# What the command and the packages run with `-m` import; app.py is run from the repository's root.
ENTRY_POINTS = (
    "studio_avatar.cli.main",
    "studio_avatar.training.__main__",
    "studio_avatar.evaluation.__main__",
    "app",
)


def run_python(code: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )


def test_openmp_does_not_spin():
    """`OMP_DISPLAY_ENV` makes OpenMP print what it has read."""
    report = run_python("import studio_avatar, torch", OMP_DISPLAY_ENV="VERBOSE").stderr
    if "GOMP_SPINCOUNT" not in report:
        pytest.skip("torch does not use GNU OpenMP here")
    assert "GOMP_SPINCOUNT = '0'" in report and "OMP_WAIT_POLICY = 'PASSIVE'" in report


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_every_entry_point_says_so_before_torch_is_imported(module):
    code = f"""
import os, sys
class Torch(Exception):
    pass
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise Torch  # seen: there is no need to wait for it
sys.meta_path.insert(0, Watch())
try:
    import {module}
except Torch:
    print("torch", os.environ["GOMP_SPINCOUNT"], os.environ["OMP_WAIT_POLICY"])
else:
    print("lazy", os.environ["GOMP_SPINCOUNT"], os.environ["OMP_WAIT_POLICY"])
"""
    assert run_python(code).stdout.split()[1:] == ["0", "PASSIVE"]


@pytest.mark.parametrize("variable, value", [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "2000")])
def test_what_the_user_has_set_stays(variable, value):
    code = (
        f"import json, os, studio_avatar; print(json.dumps([os.environ.get(name) for name in {VARIABLES}]))"
    )
    found = json.loads(run_python(code, **{variable: value}).stdout)
    assert dict(zip(VARIABLES, found)) == dict.fromkeys(VARIABLES) | {variable: value}
