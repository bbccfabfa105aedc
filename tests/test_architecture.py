"""The house keeps to its plan: who may import whom, and importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import topfive

ROOT = Path(topfive.__file__).parent
MAY_IMPORT = {
    "errors": "",
    "files": "errors",
    "metrics": "errors",
    "progress": "",
    "layers": "errors",
    "features": "errors",
    "data": "errors files",
    "recipes": "errors",
    "models": "errors files data layers features",
    "evaluation": "errors files metrics progress data models",
    "training": "errors files metrics progress layers data features models recipes evaluation",
    "explanation": "errors files metrics data features models evaluation",
    "transfer_learning": "errors files metrics data features models recipes training evaluation explanation",
    "leaderboard": "errors files metrics progress data models recipes training evaluation transfer_learning",
    "serving": "errors files data models evaluation explanation",
}
MAY_IMPORT["cli"] = " ".join(MAY_IMPORT)
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def rooms_imported_by(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = (
                [node.module or ""] if node.module != "topfive" else [f"topfive.{alias.name}" for alias in node.names]
            )
        rooms |= {name.split(".")[1] for name in names if name.startswith("topfive.")}
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_follow_the_table(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):  # the front door: names only, and the command line
        assert rooms_imported_by(path) <= {"cli"}
    else:
        assert rooms_imported_by(path) <= {room, *MAY_IMPORT[room].split()}


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms <= set(MAY_IMPORT)


def test_docs_carry_the_same_table() -> None:
    text = (ROOT.parents[1] / "docs" / "architecture.md").read_text()
    for room, others in MAY_IMPORT.items():
        if room != "cli":
            assert f'"{room}": "{others}"' in text


def test_importing_topfive_stays_light() -> None:
    heavy = {"torch", "numpy", "PIL", "matplotlib"}
    code = f"import sys, topfive, topfive.cli.app; print(sorted({heavy} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_importing_every_module_says_nothing() -> None:
    modules = [".".join(["topfive", *path.with_suffix("").parts]).removesuffix(".__init__") for path in MODULES]
    names = [name for name in modules if not name.endswith("__main__")]
    code = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
