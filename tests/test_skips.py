"""`make test` fails on a test that is skipped for a reason nobody allowed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.skips import ALLOWED, read_allowed

TESTS = Path(__file__).parent


@pytest.mark.parametrize(
    "reason, code",
    [("could not import 'torch'", 1), ("Node is not installed", 0), ("dlib is in the extra [train]", 0)],
)
def test_only_listed_reasons_pass(tmp_path, reason, code):
    (tmp_path / "conftest.py").write_text(
        "from helpers.skips import pytest_addoption, pytest_sessionfinish, pytest_terminal_summary\n"
    )
    (tmp_path / "test_one.py").write_text(
        f"import pytest\n\ndef test_skipped():\n    pytest.skip({reason!r})\n\ndef test_passed():\n    pass\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        tmp_path,
        "--check-skips",
        tmp_path,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)}, cwd=tmp_path
    )
    assert done.returncode == code, done.stdout
    assert ("not allowed" in done.stdout) == bool(code)
    assert done.stdout.count(reason) == code


def test_the_list_names_no_package_that_tests_always_have():
    pyproject = (TESTS.parent / "pyproject.toml").read_text()
    packages = [
        p.split("'")[1] for p in read_allowed(ALLOWED.read_text()) if p.startswith("could not import '")
    ]
    dev = pyproject[pyproject.index("\ndev = [") : pyproject.index("[project.scripts]")]
    assert not [name for name in packages if name in dev.replace("-", "_")]
