"""What the README says runs."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from topfive.cli.app import app

ROOT = Path(__file__).parents[1]
README = ROOT.joinpath("README.md").read_text()
COMMANDS = [
    re.split(r"\s{3,}", line.strip().removeprefix(".venv/bin/"))[0]
    for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if "topfive " in line
]


def test_the_python_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert "10 classes" in printed[0]
    assert printed[1].endswith("% wrong")
    assert len(printed) == 5


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_exist_with_their_options(command: str) -> None:
    words = shlex.split(command)[1:]
    verbs = typer.main.get_command(app).commands
    assert words[0] in verbs
    known = {option for parameter in verbs[words[0]].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_verb_is_in_the_readme() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} == set(typer.main.get_command(app).commands)


def test_make_clean_leaves_trained_models() -> None:
    [recipe] = re.findall(r"^clean:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    removed = recipe.split()
    assert {"$(VENV)", "build"} < set(removed)
    assert not any(name.startswith("runs") for name in removed)
