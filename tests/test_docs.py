"""The pages under docs/ name what exists: files, recipe keys, figures of the leaderboard, options of the verbs."""

import inspect
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel
from torch import nn

from topfive import features
from topfive.cli.app import app
from topfive.leaderboard.board import COLUMNS
from topfive.models.zoo import ZOO
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Fit, Geometry, Sgd, Svm, Values

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []


def test_every_law_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    laws = re.findall(r"^\| (\d+)\. .* \| (.*) \|$", text, re.MULTILINE)
    assert [number for number, _ in laws] == [str(number) for number in range(1, 11)]
    for _, cell in laws:
        tests = re.findall(r"`([^`]+)`", cell)
        assert tests
        assert [test for test in tests if not (ROOT / "tests" / test).exists()] == []


def test_every_trap_of_the_protocol_page_has_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| (\d+) \|.*\| `([^`]+)::([^`]+)` \|$", page, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 16))
    assert [test for _, file, test in rows if f"def {test}(" not in (ROOT / "tests" / file).read_text()] == []


def test_nothing_can_be_connected_to() -> None:
    """What the whole suite runs under: see `offline` in conftest.py."""
    with pytest.raises(AssertionError, match="a test wanted to connect to"), socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def test_the_scripts_of_the_claims_are_those_of_the_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert set(re.findall(r"`(bench_\w+\.py)`", text)) == {path.name for path in ROOT.glob("benchmarks/bench_*.py")}


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a table, those of its own tables with a dot."""
    for name, key in model.model_fields.items():
        inner = key.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from (f"{name}.{deeper}" for deeper in keys_of(inner))
        else:
            yield name


def test_the_recipe_page_has_every_key_and_no_other() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    sections = dict(re.findall(r"^### ([^\n]*)\n(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL))
    own = {"[model]", "[geometry]", "[values]", "[[stage]]"}
    tables = {
        "The recipe": {key for key in Recipe.model_fields if key not in {one.strip("[]") for one in own}} | own,
        "`[geometry]`": set(keys_of(Geometry)),
        "`[values]`": set(keys_of(Values)),
        "A stage of kind `sgd`": set(keys_of(Sgd)) - {"kind"},
        "A stage of kind `svm`": set(keys_of(Svm)) - {"kind"},
        "A stage of kind `pca`, `whitening`, `kmeans`, `dictionary`, `gmm` or `landmarks`": set(keys_of(Fit))
        - {"kind"},
    }
    for title, keys in tables.items():
        rows = re.findall(r"^\| (`.*?`) \|", sections[title], re.MULTILINE)
        assert {key for row in rows for key in re.findall(r"`([^`]+)`", row)} == keys


def test_the_report_page_has_every_column_of_the_csv() -> None:
    page = (ROOT / "docs" / "report.md").read_text()
    assert [column for column in COLUMNS if f"`{column}`" not in page] == []


def test_the_command_line_of_the_page_is_the_real_one() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    [block] = re.findall(r"^## Command line\n+```\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    lines = re.sub(r"\n +", " ", block).splitlines()  # a long one goes on further in
    said = {line.split()[1]: set(re.findall(r"--[\w-]+", line)) for line in lines}
    verbs = typer.main.get_command(app).commands
    real = {
        name: {option for one in verb.params for option in one.opts if option.startswith("--")} - {"--json", "--help"}
        for name, verb in verbs.items()
    }
    assert said == real


def test_the_tables_of_descriptors_and_codes_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "hand_made.md").read_text().split("## Descriptors and codes by themselves")[1]
    said = dict(re.findall(r"^\| `(\w+)` \|.*\| `([^`]+)` \|[^|]*\|$", text, re.MULTILINE))
    real = {}
    for name in features.__all__:
        made = getattr(features, name)
        if inspect.isclass(made) and issubclass(made, nn.Module) and made not in (features.Code, features.Regions):
            given = list(inspect.signature(made).parameters.values())
            real[name] = ", ".join(
                one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in given
            )
    assert said == real


@pytest.mark.parametrize(
    ("formula", "code", "length"),
    [
        ("K (linear, hellinger), ", features.BagOfWords(7, 5, "hellinger"), 7),
        ("3 K (chi2), ", features.BagOfWords(7, 5, "chi2"), 3 * 7),
        ("7 K (intersection) |", features.BagOfWords(7, 5, "intersection"), 7 * 7),
        ("`Vlad` | K D |", features.Vlad(7, 5), 7 * 5),
        ("`SuperVector` | K (D + 1) |", features.SuperVector(7, 5), 7 * 6),
        ("`Llc` | K |", features.Llc(7, 5), 7),
        ("K (lasso, omp), ", features.SparseCode(7, 5, "omp"), 7),
        ("2 K (threshold) |", features.SparseCode(7, 5, "threshold"), 2 * 7),
        ("`KmeansTriangle` | K |", features.KmeansTriangle(7, 5), 7),
        ("`FisherVector` | 2 K D |", features.FisherVector(7, 5), 2 * 7 * 5),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_lengths_of_codes_on_the_page_are_their_own(formula: str, code: features.Code, length: int) -> None:
    assert formula in (ROOT / "docs" / "hand_made.md").read_text()
    assert code.length == length


def test_the_table_of_networks_is_that_of_the_cards() -> None:
    _, table = (ROOT / "docs" / "networks.md").read_text().split("| entry | year |")
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", table, re.MULTILINE)
    assert {name for name, _ in rows} == {
        name for name, card in ZOO.items() if card.family not in ("linear", "mlp", "hog", "hand_made")
    }
    for name, cells in rows:
        card = ZOO[name]
        found = [cell.strip() for cell in cells.split("|")]
        assert found[:4] == [str(card.year), str(card.image), f"{card.params:,}", f"{card.macs:,}"], name
        assert found[4] in (card.trained_as, "itself"), name
        assert found[5:] == [card.published or "", card.source], name
