"""Idle OpenMP threads sleep: checked in new processes, because OpenMP reads its settings once, with torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import studio_avatar

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


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "max 100000", "a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 2),
        ({"a/cpu.max": "400000 100000", "a/b/cpu.max": "100000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),  # no Linux, or no control groups
    ],
)
def test_the_quota_of_a_container_is_the_least_of_its_groups(tmp_path, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text("1:name=systemd:/x\n0::/a/b\n")
    assert studio_avatar._quota(str(tmp_path), str(tmp_path / "own")) == cores


@pytest.mark.parametrize(
    ("cores", "set_by_user", "threads"), [(2, None, "2"), (2, "3", "3"), (64, None, None)]
)
def test_threads_stay_within_the_quota(monkeypatch, cores, set_by_user, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(studio_avatar, "_quota", lambda *places: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", set_by_user or "")
    if set_by_user is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    studio_avatar._stay_within_the_quota()
    assert os.environ.get("OMP_NUM_THREADS") == threads
