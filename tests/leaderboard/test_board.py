"""The leaderboard's figures on made-up answers: the pick, the hardest images, the CSV, the thumbnails."""

import base64
import csv
import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from topfive.data.imageset import Broken, ClassLabel, ImageSet, Split
from topfive.evaluation import Scores
from topfive.evaluation.report import judge
from topfive.evaluation.scores import GUESSES, marked
from topfive.leaderboard.board import (
    Result,
    build_board,
    hardest,
    learned_elsewhere,
    machine,
    milliseconds_an_image,
    pick,
    to_csv,
)
from topfive.leaderboard.confidence import answers_by_confidence, pooled
from topfive.leaderboard.page import render
from topfive.leaderboard.thumbnail import thumbnail
from topfive.models import build
from topfive.models.modelfile import Geometry, Model, load, save

BEGAN = "2026-11-21T10:00:00Z"

CLASSES = tuple(ClassLabel(key, key.upper()) for key in "abcdef")
TRUTH = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def data() -> ImageSet:
    """Twelve grey pictures to judge; the i-th is as bright as 20 i."""
    pixels = torch.stack([torch.full((1, 8, 8), 20 * i, dtype=torch.uint8) for i in range(12)])
    splits = {
        "train": Split(tuple(f"t{i}" for i in range(6)), torch.arange(6), pixels=pixels[:6]),
        "test": Split(tuple(f"i{i}" for i in range(12)), torch.tensor(TRUTH), pixels=pixels),
    }
    return ImageSet("greys", "made up", CLASSES, splits)


def answers(given: list[int | None]) -> Scores:
    """Scores whose best class is the given one; None for an image that could not be decoded."""
    scores = torch.full((12, 1, 6), float("nan"))
    for row, answer in enumerate(given):
        if answer is not None:
            scores[row, 0] = torch.eye(6)[answer]
    broken = tuple(Broken(f"i{row}", "made up") for row, answer in enumerate(given) if answer is None)
    ids = tuple(f"i{i}" for i in range(12))
    return Scores("mlp", "test", scores, torch.tensor(TRUTH), ids, CLASSES, "logits", broken)


def row(entry: str, error: float | None, mb: float | None, ms: float | None) -> dict[str, Any]:
    return {"entry": entry, "top1_error": error, "file_mb": mb, "ms_per_image": ms, "model_file": f"entries/{entry}/m"}


ROWS = [row("fine", 0.10, 40, 9), row("small", 0.20, 1, 5), row("quick", 0.20, 3, 1), row("failed", None, None, None)]


@pytest.mark.parametrize(
    ("max_mb", "max_ms", "best", "why"),
    [
        (None, None, "fine", "lowest top-1 error of the 3 entries"),
        (39.9, None, "quick", "lowest top-1 error of the 2 entries within at most 39.9 MB"),  # a tie: the faster one
        (40, None, "fine", "lowest top-1 error of the 3 entries within at most 40 MB"),
        (2, None, "small", "the only entry within at most 2 MB"),
        (None, 4, "quick", "the only entry within at most 4 ms an image"),
        (50, 5, "quick", "lowest top-1 error of the 2 entries within at most 50 MB and at most 5 ms an image"),
    ],
)
def test_the_pick_has_the_lowest_error_within_the_limits(
    max_mb: float | None, max_ms: float | None, best: str, why: str
) -> None:
    found = pick(ROWS, Path("runs/x"), max_mb, max_ms)
    assert found is not None
    assert (found["entry"], found["why"]) == (best, why)
    assert ("the only entry" in why) == (found["of"] == 1) and (found["of"] == 1 or f"the {found['of']} entries" in why)
    assert found["command"] == f"topfive predict runs/x/entries/{best}/m photo.jpg"
    assert found["limits"] == {"max_mb": max_mb, "max_ms": max_ms}


def test_nothing_is_picked_where_nothing_fits() -> None:
    assert pick(ROWS, Path("x"), 0.5, None) is None
    assert pick(ROWS, Path("x"), None, 0.5) is None
    assert pick(ROWS[3:], Path("x"), None, None) is None


GIVEN = st.lists(st.one_of(st.integers(0, 5), st.none()), min_size=12, max_size=12)


@given(st.lists(GIVEN, min_size=1, max_size=4), st.lists(st.booleans(), min_size=12, max_size=12))
def test_the_hardest_are_those_that_a_plain_loop_counts(given_: list[list[int | None]], broken: list[bool]) -> None:
    pixels = torch.zeros(12, 1, 8, 8, dtype=torch.uint8)
    split = Split(tuple(f"i{i}" for i in range(12)), torch.tensor(TRUTH), pixels=pixels)
    images = ImageSet("greys", "made up", CLASSES, {"test": split})
    # An image that cannot be decoded can be decoded by no entry.
    told = [[None if lost else (answer or 0) for answer, lost in zip(one, broken, strict=True)] for one in given_]
    found = hardest(images, {f"e{i}": answers(one) for i, one in enumerate(told)})
    missed = {
        f"i{i}": sum(one[i] != TRUTH[i] for one in told) for i in range(12) if not broken[i]
    }  # fmt: skip
    assert {image["id"]: image["missed_by"] for image in found} == {id_: n for id_, n in missed.items() if n}
    counts = [image["missed_by"] for image in found]
    assert counts == sorted(counts, reverse=True)
    for image in found:
        place = int(image["id"][1:])
        assert image["label"] == "abcdef"[TRUTH[place]]
        assert image["of"] == len(told)
        assert image["answers"] == {f"e{i}": "abcdef"[one[place] or 0] for i, one in enumerate(told)}


def test_without_answers_nothing_is_hard(data: ImageSet) -> None:
    assert hardest(data, {}) == []


@pytest.mark.parametrize(
    ("shape", "expected"), [((300, 200, 3), (64, 96)), ((8, 8, 1), (8, 8)), ((50, 960, 3), (96, 5))]
)
def test_a_thumbnail_is_a_small_png_of_the_same_shape(shape: tuple[int, int, int], expected: tuple[int, int]) -> None:
    head, _, content = thumbnail(np.full(shape, 77, np.uint8)).partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert image.size == expected
    assert np.asarray(image).min() == np.asarray(image).max() == 77


def made(folder: Path, name: str, given_: list[int | None], inside: bool = True) -> Result:
    net = build("mlp", 6, image=8, hidden=4)
    file = folder / (f"out/entries/{name}" if inside else name) / "model.safetensors"
    save(Model("mlp", {"image": 8, "hidden": 4}, CLASSES, Geometry(8, 8), net, data={"manifest": "other"}), file)
    return Result(name, "mlp", file, load(file), answers(given_), ms_per_image=1.5, train_seconds=90.0)


@pytest.fixture
def results(tmp_path: Path) -> list[Result]:
    right: list[int | None] = list(TRUTH)
    wrong: list[int | None] = [(label + 1) % 6 for label in TRUTH]
    return [
        made(tmp_path, "bad", wrong),
        Result("gone", "lenet5", reason="gone: no luck, at all"),
        made(tmp_path, "good", right),
        made(tmp_path, "fair", [*right[:9], None, *wrong[10:]], inside=False),
    ]


def test_a_model_is_external_by_the_images_it_learned_from(data: ImageSet, results: list[Result]) -> None:
    """An image more to judge makes no model external; a file of before says only which images there were in all."""
    model = results[0].model
    assert model is not None
    test = data.split("test")
    grown = Split((*test.ids, "i12"), torch.cat([test.labels, torch.tensor([0])]), torch.zeros(13, 1, 8, 8).byte())
    longer = dataclasses.replace(data, splits=data.splits | {"test": grown})
    other = dataclasses.replace(data, splits=data.splits | {"train": test})
    only = dataclasses.replace(data, splits={"test": test})
    of_before: dict[str, Any] = {"manifest": data.manifest}
    for document, expected in (
        (of_before | {"learned": data.manifest_of("train")}, [False, False, True, True]),
        (of_before, [False, True, True, True]),
        ({"manifest": only.manifest, "learned": data.manifest_of("train")}, [False, False, True, False]),
        ({}, [True] * 4),
    ):
        model.data = document
        assert [learned_elsewhere(model, one) for one in (data, longer, other, only)] == expected


@pytest.fixture
def board(data: ImageSet, results: list[Result], tmp_path: Path) -> dict[str, Any]:
    return build_board(data, results, [], 2.0, 90.0, BEGAN, tmp_path / "out", None, None)


def test_entries_are_ordered_and_ranked_by_what_is_significant(board: dict[str, Any]) -> None:
    """12 to 0 and 9 to 0 disagreements: p = 2/2^12 and 2/2^9, times Holm's 3 and 2; 3 to 0: p = 0.25."""
    assert [(entry["entry"], entry["rank"]) for entry in board["entries"]] == [
        ("good", 1), ("fair", 1), ("bad", 3), ("gone", None),
    ]  # fmt: skip
    p = {
        frozenset((pair["a"], pair["b"])): (pair["p"], pair["p_holm"], pair["significant"])
        for pair in board["comparisons"]
    }
    assert p[frozenset(("good", "bad"))] == (pytest.approx(2 / 2**12), pytest.approx(6 / 2**12), True)
    assert p[frozenset(("fair", "bad"))] == (pytest.approx(2 / 2**9), pytest.approx(4 / 2**9), True)
    assert p[frozenset(("good", "fair"))] == (0.25, 0.25, False)


def test_a_row_holds_the_figures_by_hand(board: dict[str, Any], results: list[Result], tmp_path: Path) -> None:
    good, fair, bad, gone = board["entries"]
    assert [entry["top1_error"] for entry in (good, fair, bad)] == [0, 0.25, 1]
    # The label of a wrong answer ties with four other classes at 0, which count against it: it is sixth of six.
    assert (fair["top5_error"], fair["broken"], fair["evaluated"], fair["of"]) == (0.25, 1, 12, 12)
    # Its misses are of d, e and f, of which it also answered one each: half of two images.
    assert fair["per_class_error"] == fair["per_class_top5_error"] == [0, 0, 0, 0.5, 0.5, 0.5]
    assert board["data"]["per_class_images"] == [2] * 6
    assert good["params"] == 3 * 64 * 4 + 4 + 4 * 6 + 6
    assert good["macs"] == 3 * 64 * 4 + 4 * 6
    assert (good["train_minutes"], good["ms_per_image"], good["year"], good["depth"]) == (1.5, 1.5, 1986, 2)
    assert good["model_file"] == "entries/good/model.safetensors"
    assert fair["model_file"] == str(tmp_path / "fair/model.safetensors")
    file = results[2].file
    assert file is not None and good["file_mb"] == file.stat().st_size / 1e6
    assert (gone["status"], gone["reason"], gone["params"]) == ("failed", "gone: no luck, at all", None)
    assert board["budget"] == {"minutes": 2.0, "spent_minutes": 1.5}
    assert board["pick"]["entry"] == "good"


def test_the_csv_reads_back(board: dict[str, Any]) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert [line["entry"] for line in lines] == ["good", "fair", "bad", "gone"]
    assert float(lines[1]["top1_error"]) == 0.25
    low, high = board["entries"][1]["top1_interval"]
    assert (float(lines[1]["top1_low"]), float(lines[1]["top1_high"])) == (low, high)
    assert (lines[3]["top1_error"], lines[3]["reason"]) == ("", "gone: no luck, at all")


def test_probabilities_are_judged_as_by_a_single_report(board: dict[str, Any], results: list[Result]) -> None:
    good, fair, bad, gone = board["entries"]
    assert fair["calibration"] == judge(answers([*TRUTH[:9], None, 5, 0])).document["calibration"]
    p, q = math.e / (math.e + 5), 1 / (math.e + 5)  # softmax of a one among six
    found = fair["calibration"]  # nine right, two wrong, one that could not be decoded
    assert found["ece"] == pytest.approx(9 / 11 - p)
    assert found["brier"] == pytest.approx(6 * q**2 + p**2 - q**2 + 1 - 2 * (9 * p + 2 * q) / 11)
    assert found["nll"] == pytest.approx(-(9 * math.log(p) + 2 * math.log(q)) / 11)
    assert (found["images"], good["calibration"]["images"], found["temperature"]) == (11, 12, 1)
    assert fair["risk_coverage"]["images"] == 12
    ends = {name: list(zip(row["risk_coverage"]["answered"], row["risk_coverage"]["wrong"], strict=True))[-2:]
            for name, row in (("good", good), ("fair", fair), ("bad", bad))}  # fmt: skip
    assert ends["fair"] == [(11, 2), (12, 3)]
    assert (ends["good"][-1], ends["bad"][-1]) == ((12, 0), (12, 12))
    assert (gone["calibration"], gone["risk_coverage"]) == (None, None)
    line = list(csv.DictReader(io.StringIO(to_csv(board))))[1]
    assert [float(line[key]) for key in ("ece", "brier", "nll")] == [found[key] for key in ("ece", "brier", "nll")]
    assert (line["evaluated"], line["calibration_images"]) == ("12", "11")


def test_images_that_fitted_the_temperature_judge_no_probability(
    data: ImageSet, results: list[Result], tmp_path: Path
) -> None:
    """All six wrong answers are among the images that fitted it; errors are still of all twelve."""
    half: list[int | None] = [*((label + 1) % 6 for label in TRUTH[:6]), *TRUTH[6:]]
    scores, ids = answers(half), [f"i{i}" for i in range(12)]
    for result, fitted in ((results[0], {"fitted": marked(ids[:6])}), (results[2], {"fitted": marked(ids)})):
        result.scores = dataclasses.replace(scores, calibration={"temperature": 0.5} | fitted)
    results[3].scores = dataclasses.replace(scores, calibration={"temperature": 0.5})  # by unknown images
    board = build_board(data, results, [], 2.0, 90.0, BEGAN, tmp_path / "out", None, None)
    rows = {entry["entry"]: entry for entry in board["entries"]}
    assert [rows[name]["top1_error"] for name in ("bad", "good", "fair")] == [0.5] * 3
    curve = rows["bad"]["risk_coverage"]
    assert (curve["images"], curve["answered"][-1], {*curve["wrong"]}) == (6, 6, {0})
    found = rows["bad"]["calibration"]
    assert (found["images"], found["temperature"]) == (6, 0.5)
    assert found["ece"] == pytest.approx(1 - math.e**2 / (math.e**2 + 5))
    for name in ("good", "fair"):
        assert (rows[name]["calibration"], rows[name]["risk_coverage"]) == (None, None)


def test_guesses_have_no_figures_of_probabilities(data: ImageSet, results: list[Result], tmp_path: Path) -> None:
    results[2].scores = dataclasses.replace(answers([*TRUTH]), kind=GUESSES)
    board = build_board(data, results, [], 2.0, 90.0, BEGAN, tmp_path / "out", None, None)
    (good,) = [entry for entry in board["entries"] if entry["entry"] == "good"]
    assert (good["top1_error"], good["calibration"], good["risk_coverage"]) == (0, None, None)
    line = next(line for line in csv.DictReader(io.StringIO(to_csv(board))) if line["entry"] == "good")
    assert [line[key] for key in ("ece", "brier", "nll", "calibration_images")] == [""] * 4


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=300))
def test_risk_against_coverage_agrees_with_a_plain_count(rows: list[tuple[int, int]]) -> None:
    """Of three classes; the score of the first lies `gap` above the others, which tie, and the label is any."""
    scores = torch.tensor([[[gap, 0.0, 0.0]] for gap, _ in rows])
    labels, ids = torch.tensor([label for _, label in rows]), tuple(f"i{i}" for i in range(len(rows)))
    found = answers_by_confidence(Scores("mlp", "test", scores, labels, ids, CLASSES[:3], "logits"))
    assert found is not None
    given_by = {least: [one for one in rows if one[0] >= least] for least in range(5)}
    every = {len(given_): sum(not (gap and label == 0) for gap, label in given_) for given_ in given_by.values()}
    reached = {min(n for n in every if n * 100 >= step * len(rows)) for step in range(1, 101)}
    assert found == {"images": len(rows), "answered": sorted(reached), "wrong": [every[n] for n in sorted(reached)]}


def test_a_curve_is_as_short_for_many_images() -> None:
    scores = torch.randn(5000, 1, 6, generator=torch.Generator().manual_seed(0))
    labels, ids = torch.zeros(5000, dtype=torch.long), tuple(f"i{i}" for i in range(5000))
    found = answers_by_confidence(Scores("mlp", "test", scores, labels, ids, CLASSES, "logits"))
    assert found is not None
    assert found["answered"] == list(range(50, 5001, 50))
    assert found["wrong"][-1] == int((scores[:, 0].argmax(1) != 0).sum())


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), min_size=1, max_size=15), st.integers(1, 40))
def test_pooled_bins_are_full_and_lose_no_image(counts: list[tuple[int, int]], least: int) -> None:
    bins = [{"images": n, "confidence": (i + 1) / 15, "accuracy": hits / 8} for i, (n, hits) in enumerate(counts)]
    found = pooled(bins, least)
    total = sum(n for n, _ in counts)
    assert sum(images for images, _, _ in found) == total
    for key, place in (("confidence", 1), ("accuracy", 2)):
        mean = sum(one["images"] * one[key] for one in bins) / total
        assert sum(one[0] * one[place] for one in found) / total == pytest.approx(mean)
    assert len(found) == 1 or all(images >= least for images, _, _ in found)
    assert [one[1] for one in found] == sorted(one[1] for one in found)


def test_a_model_takes_the_time_it_takes(monkeypatch: pytest.MonkeyPatch, results: list[Result]) -> None:
    import time

    model = results[0].model
    assert model is not None
    monkeypatch.setattr(Model, "scores", lambda self, images: time.sleep(0.02))
    assert 20 <= milliseconds_an_image(model) <= 40


def test_the_machine_is_named() -> None:
    found = machine()
    assert found["torch"] == torch.__version__
    assert found["cores"] >= 1
    assert found["memory_gib"] > 0


def test_figures_by_class_are_in_the_order_of_the_images_classes(
    data: ImageSet, results: list[Result], board: dict[str, Any], tmp_path: Path
) -> None:
    """A model file may hold the same classes in another order than the folders have them."""
    turned = build_board(
        dataclasses.replace(data, classes=data.classes[::-1]), results, [], 2.0, 90.0, BEGAN, tmp_path / "out",
        None, None,
    )  # fmt: skip
    for ours, theirs in zip(turned["entries"][:3], board["entries"][:3], strict=True):
        assert ours["per_class_error"] == theirs["per_class_error"][::-1]
        assert ours["confusion"] == [row[::-1] for row in theirs["confusion"][::-1]]
    assert turned["entries"][1]["confusion"] != board["entries"][1]["confusion"]


def test_of_many_classes_the_pairs_are_kept_and_no_confusion(
    board: dict[str, Any], data: ImageSet, results: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topfive.leaderboard.board.CONFUSED", 5)
    few = build_board(data, results, [], 2.0, 90.0, BEGAN, tmp_path / "out", None, None)
    assert [entry["confusion"] for entry in few["entries"]] == [[]] * 4
    assert few["mistakes"] == board["mistakes"]
    assert "Confusion: truth by row" in render(board)
    assert "Confusion: truth by row" not in render(few)
