"""Imports of the package point one way: no module imports itself through others, and no layer one above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "studio_avatar"

# From the ground up. A module may import from its own layer and from those before it, at its top and inside functions.
# The renderer lies below the head because it knows meshes and light only; the head's resampler uses its mesh queries.
LAYERS = (
    ("version", "lazy", "errors", "pipeline.errors"),
    ("imaging",),
    ("models",),
    ("rendering",),
    ("head",),
    ("pipeline", "capture", "avatar"),
    ("weights", "results"),
    ("data",),
    ("training",),
    ("evaluation",),
    ("hub",),
    ("ui",),
    ("cli",),
)
# What else may not import one another, though it is in one layer or package; each in the order it is built up.
INSIDE = {
    "capture": ("io", "detection", "texture", "fitting", "reporting"),
    "data": ("augment", "simulate", "prepare"),
}
# (importing module, imported module): why it is so. Named here until somebody removes it.
KNOWN_EXCEPTIONS = {
    (
        "pipeline.studio_texture_pipeline",
        "weights.load",
    ): "remote code: by name, because it runs without the package, too",
}
TOP_LEVEL_MODULES = {"__init__", "__main__", "errors", "lazy", "version"}


def module_name(path: Path) -> str:
    """ "capture.io.video"; a package has the name of its folder, the whole package none."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(name: str) -> dict[str, bool]:
    """Modules of the package that a module imports: whether at its top, hence when it is itself imported.

    A name that is imported from a package is followed to the module that it is, if it is one. Modules named in
    `import_module("…")` count as imported inside functions.
    """
    path, found = FILES[name], {}
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def note(target: str, top: bool) -> None:
        if target in FILES and target != name:
            found[target] = found.get(target, False) or top

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    if alias.name.startswith("studio_avatar."):
                        note(alias.name.removeprefix("studio_avatar."), top)
            elif isinstance(child, ast.ImportFrom):
                source = absolute(child, package)
                for alias in child.names if source is not None else ():
                    submodule = f"{source}.{alias.name}".lstrip(".")
                    note(submodule if submodule in FILES else source, top)
            elif isinstance(child, ast.Call) and "import_module" in ast.unparse(child.func):
                target = child.args[0]
                if isinstance(target, ast.Constant):
                    note(target.value.removeprefix("studio_avatar."), False)
            visit(child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(path.read_text()), True)
    return found


def absolute(node: ast.ImportFrom, package: str) -> str | None:
    """The module that `from … import` names, without "studio_avatar."; None if it is of another package."""
    if node.level == 0:
        root, _, rest = (node.module or "").partition(".")
        return rest if root == "studio_avatar" else None
    parents = package.split(".") if package else []
    parts = parents[: len(parents) - node.level + 1] + (node.module.split(".") if node.module else [])
    return ".".join(parts)


IMPORTS = {name: imports(name) for name in FILES}


def layer(name: str) -> int:
    """Index in `LAYERS` by the longest entry that the module belongs to."""
    return max(
        (len(entry), i) for i, entries in enumerate(LAYERS) for entry in entries if within(name, entry)
    )[1]


def within(name: str, entry: str) -> bool:
    return name == entry or name.startswith(f"{entry}.")


def edges():
    return [(a, b) for a, targets in IMPORTS.items() for b in targets if (a, b) not in KNOWN_EXCEPTIONS]


def test_few_modules_lie_at_the_top():
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP_LEVEL_MODULES


def test_no_import_points_up():
    # The whole package's own names are imported on first use, so only what stands below it in `LAYERS` is looked at.
    up = [(a, b) for a, b in edges() if a and a != "__main__" and b and layer(a) < layer(b)]
    assert not up


@pytest.mark.parametrize("package", INSIDE)
def test_no_import_points_up_inside(package):
    order = INSIDE[package]
    place = {name: i for name in FILES for i, part in enumerate(order) if within(name, f"{package}.{part}")}
    assert not [(a, b) for a, b in edges() if a in place and b in place and place[a] < place[b]]


def test_the_parts_of_one_layer_do_not_import_one_another():
    """`pipeline`, `capture` and `avatar` are joined by the pipeline alone, by name."""
    parts = ("pipeline", "capture", "avatar")
    crossing = [
        (a, b)
        for a, b in edges()
        for here in parts
        for there in parts
        if here != there and within(a, here) and within(b, there) and b != "pipeline.errors"
    ]
    assert [edge for edge in crossing if edge[0] != "pipeline.studio_texture_pipeline"] == []


def test_no_module_imports_itself_through_others():
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for target, top in IMPORTS[name].items():
                if top:
                    walk(target, (*path, name))
            done.add(name)

    for name in FILES:
        walk(name, ())


def test_published_code_imports_only_files_beside_it():
    from studio_avatar.hub.repository import REMOTE_CODE

    for source in set(REMOTE_CODE.values()):
        name = source.removesuffix(".py").replace("/", ".")
        siblings = {other for other in FILES if other.rpartition(".")[0] == name.rpartition(".")[0]}
        assert {target for target, top in IMPORTS[name].items() if top} <= siblings


def test_known_exceptions_are_still_there():
    assert {(a, b) for a, targets in IMPORTS.items() for b in targets} >= set(KNOWN_EXCEPTIONS)
