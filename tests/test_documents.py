"""What the documents name is there: modules, files, options of commands, links; and the table of modules is complete."""

import argparse
import ast
import functools
import os
import re
from pathlib import Path

import pytest

from studio_avatar.cli.commands import COMMANDS, DEFAULT_COMMAND

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = ROOT / "studio_avatar"
INSTALLED = {".venv", "node_modules", ".git"}
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
# Options of other people's commands.
FOREIGN = {
    "accelerate": {
        "--multi_gpu", "--num_processes", "--num_machines", "--machine_rank", "--main_process_ip", "--main_process_port",
        "--cpu",
    },
    "torchrun": {"--nproc-per-node"},
    "gltf-transform": {"--level", "--quality", "--quantize-normal"},
    "blender": {"--background", "--python"},
    "godot": {"--path"},
}  # fmt: skip
COMMAND = re.compile(
    r"-m (?P<module>studio_avatar(?:\.\w+)*|tools\.[a-z]\w+)\b(?: (?P<stage>[a-z_]+))?(?P<rest>[^\n`]*)"
    r"|python (?P<script>benchmarks/\w+\.py)(?P<script_rest>[^\n`]*)"
    r"|studio-avatar (?P<command>[a-z]+)(?P<command_rest>[^\n`]*)"
)


def text_of(document: Path) -> str:
    """With every command on one line."""
    return re.sub(r"\\\n\s*", " ", document.read_text())


@functools.cache
def options_in(*files: Path) -> set[str]:
    """Options that the source of a command adds to its parser, or takes with a parser (`…_parser`) from another module.

    A stage of training names its inputs as (name, help).
    """
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and any(name.name.endswith("_parser") for name in node.names):
                module = (ROOT / node.module.replace(".", "/")).with_suffix(".py")
                found |= options_in(module) if module.is_file() else set()  # else a library's
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.Tuple) and file.parent.name == "stages":
                found.update(f"--{part.value}" for part in node.elts[:1] if isinstance(part, ast.Constant))
    return set(filter(OPTION.fullmatch, found))


def options_of_command(name: str) -> set[str]:
    parser = argparse.ArgumentParser()
    COMMANDS[name].add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def sources_of(module: str, stage: str | None) -> list[Path]:
    """The files that make the command line of `python -m module stage`."""
    path = ROOT / module.replace(".", "/")
    if path.is_file() or path.with_suffix(".py").is_file():
        return [path.with_suffix(".py")]
    files = [path / "__main__.py"]
    if module == "studio_avatar.data.prepare":
        files.append(path / "pack.py")
    if module == "studio_avatar.training" and stage:
        files += [path / "stages" / f"{stage}.py", path / "options.py"]
    return files


def allowed_options(found: re.Match) -> set[str]:
    """Options that may follow the command that was found."""
    if found["script"]:
        script = ROOT / found["script"]
        passed_on = options_of_command("batch") if "parse_known_args" in script.read_text() else set()
        return options_in(script) | passed_on
    if found["command"]:
        name = found["command"]
        return options_of_command(name) if name in COMMANDS else options_of_command(DEFAULT_COMMAND)
    if found["module"] == "studio_avatar":
        return options_of_command(found["stage"] if found["stage"] in COMMANDS else DEFAULT_COMMAND)
    return options_in(*sources_of(found["module"], found["stage"]))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_have_the_options_that_documents_give_them(document):
    wrong = []
    for found in COMMAND.finditer(text_of(document)):
        rest = (found["rest"] or found["script_rest"] or found["command_rest"] or "").split(" #")[0]
        unknown = set(OPTION.findall(rest)) - allowed_options(found) - FOREIGN["accelerate"]
        wrong += [f"{found[0]}: {option}" for option in sorted(unknown)]
    assert not wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_named_in_a_document_exists(document):
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tools").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    known = options_in(*files).union(*map(options_of_command, COMMANDS), *FOREIGN.values())
    assert set(OPTION.findall(document.read_text())) <= known


@functools.cache
def files_of_the_project() -> list[str]:
    """Relative paths, what is installed into the folder apart."""
    return [
        os.path.relpath(os.path.join(folder, name), ROOT)
        for folder, _, names in os.walk(ROOT)
        if not INSTALLED & set(Path(folder).parts)
        for name in names
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_and_file_named_in_a_document_exists(document):
    text, files = text_of(document), files_of_the_project()
    named = re.findall(r"`([\w/.-]+\.(?:py|js|css|yaml))`", text)
    assert not [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)]
    for dotted in set(re.findall(r"\b(?:studio_avatar|tools)(?:\.\w+)+", text)) - {"tools.NAME"}:
        assert is_there(dotted), dotted


def is_there(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name that its module's source has."""
    path, parts = ROOT, dotted.split(".")
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if parts and (path / f"{parts[0]}.py").is_file():
        path = path / f"{parts.pop(0)}.py"
    source = path if path.is_file() else path / "__init__.py"
    return not parts or len(parts) == 1 and re.search(rf"\b{parts[0]}\b", source.read_text()) is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]+)?\)", document.read_text()):
        file = document if not target else document.parent / target
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor[1:] in slugs, f"{target}{anchor}"


def module_table() -> dict[str, set[str]]:
    """Folder → the modules that architecture.md names in its row."""
    rows = re.findall(
        r"^\| `([\w./]+)` \| (.+?) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    )
    table = {}
    for folder, text in rows:
        if (PACKAGE / folder).is_dir():
            # Names of classes, routes and folders are in backticks, too.
            table[folder.strip("./")] = set(re.findall(r"`([a-z][a-z0-9_]*)`", text))
    return table


def test_the_table_of_modules_is_complete():
    there: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if not path.stem.startswith("__"):
            folder = path.parent.relative_to(PACKAGE).as_posix()
            there.setdefault("" if folder == "." else folder, set()).add(path.stem)
    assert module_table() == there


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 220
