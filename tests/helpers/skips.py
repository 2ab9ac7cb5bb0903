"""`pytest --check-skips`, as `make test` calls it: a test that is skipped for a reason not in tests/allowed_skips.txt fails
the run. A package that is missing would otherwise take its tests along in silence.

tests/conftest.py takes the hooks from here.
"""

from fnmatch import fnmatchcase
from pathlib import Path

ALLOWED = Path(__file__).parents[1] / "allowed_skips.txt"


def read_allowed(text: str) -> list[str]:
    """Patterns, one a line, in which * stands for anything; what follows " # " says why, lines that begin with # are
    comments."""
    lines = (line.split(" # ")[0].strip() for line in text.splitlines())
    # Brackets are brackets, as in "the extra [train]", and no choice of letters.
    return [line.lower().replace("[", "[[]") for line in lines if line and not line.startswith("#")]


def unexpected(reports, allowed: list[str]) -> list[str]:
    """ "test: reason" of skipped reports whose reason fits no pattern; upper and lower case are the same."""
    found = []
    for report in reports:
        # A test that is expected to fail has no such triple; it was run.
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if not any(fnmatchcase(reason.lower(), pattern) for pattern in allowed):
                found.append(f"{report.nodeid}: {reason}")
    return sorted(set(found))


def pytest_addoption(parser):
    parser.addoption(
        "--check-skips",
        action="store_true",
        help="fail when a test is skipped that tests/allowed_skips.txt does not allow",
    )


def pytest_sessionfinish(session):
    if _unexpected(session.config) and session.exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    if found := _unexpected(terminalreporter.config):
        terminalreporter.section("skipped, and not allowed by tests/allowed_skips.txt", red=True)
        for line in found:
            terminalreporter.line(line)


def _unexpected(config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    # Of several processes only the first has the reports of all.
    if not config.getoption("--check-skips") or reporter is None or hasattr(config, "workerinput"):
        return []
    return unexpected(reporter.stats.get("skipped", []), read_allowed(ALLOWED.read_text()))
