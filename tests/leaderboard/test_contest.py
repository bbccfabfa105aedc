"""The contest end to end on real scans: what it writes, what it survives, how it goes on and repeats."""

import csv
import dataclasses
import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from topfive.data import open_data
from topfive.data.imageset import ImageSet, subset
from topfive.errors import Diverged, Interrupted, Misused, UnknownName, listed
from topfive.evaluation import evaluate
from topfive.evaluation.scores import load_scores
from topfive.files import alone_in, read_json, write_json
from topfive.leaderboard import contest as holding
from topfive.leaderboard import plan as planning
from topfive.leaderboard.board import machine
from topfive.leaderboard.contest import contest
from topfive.leaderboard.terminal import elsewhere, percent, ranked, shortened
from topfive.training import checkpoint, loop, train

ENTRIES = ["pixels_linear", "mlp", "hog_svm"]


@pytest.fixture(scope="module")
def few() -> ImageSet:
    """120 digits to train on and 60 to judge."""
    whole = open_data("digits")
    splits = {
        "train": subset(whole.split("train"), list(range(120))),
        "test": subset(whole.split("test"), list(range(60))),
    }
    return ImageSet(whole.name, whole.layout, whole.classes, splits, mirror=False)


@pytest.fixture(scope="module", autouse=True)
def quick_to_measure() -> Any:
    """Speeds are looked at once and not compiled for: what is chosen does not matter here."""
    patch = pytest.MonkeyPatch()
    patch.setattr("topfive.training.tuning.PROBE", 1)
    patch.setattr("shutil.which", lambda name: None)
    patch.setattr(holding, "milliseconds_an_image", lambda model: 0.1 if model.entry == "mlp" else 2.0)
    yield patch
    patch.undo()


@pytest.fixture(scope="module")
def held(few: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest in which no entry gets the time for its recipe."""
    folder = tmp_path_factory.mktemp("held") / "digits"
    patch = pytest.MonkeyPatch()
    patch.setattr(holding, "PAGE_SECONDS", 1e6)
    patch.setattr(planning, "LEAST_IMAGES", 50)
    try:
        contest(few, ENTRIES, minutes=0.5, out=folder)
    finally:
        patch.undo()
    return folder


@pytest.fixture(scope="module")
def board(held: Path) -> dict[str, Any]:
    document: dict[str, Any] = read_json(held / "leaderboard.json")
    return document


def rows(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["entry"]: row for row in board["entries"]}


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.parent.name: load_file(path) for path in sorted(folder.glob("entries/*/model.safetensors"))}


def test_every_entry_is_judged_as_evaluate_judges_it(held: Path, few: ImageSet, board: dict[str, Any]) -> None:
    assert set(rows(board)) == set(ENTRIES)
    for name, row in rows(board).items():
        figures = evaluate(held / row["model_file"], few).document
        assert row["status"] == "done"
        assert (row["evaluated"], row["of"]) == (60, 60)
        for key in ("top1_error", "top5_error", "per_class_error", "confusion"):
            assert row[key] == figures[key], name
        assert row["top1_interval"] == pytest.approx(list(figures["top1_interval"]))
        assert row["file_mb"] == (held / row["model_file"]).stat().st_size / 1e6
    assert board["budget"]["minutes"] == 0.5
    assert board["data"]["counts"] == {"train": 120, "test": 60}


def test_the_csv_says_what_the_json_says(held: Path, board: dict[str, Any]) -> None:
    with open(held / "leaderboard.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["entry"] for line in lines] == [row["entry"] for row in board["entries"]]
    for line, entry in zip(lines, board["entries"], strict=True):
        known = entry["calibration"]
        row = entry | known | {"calibration_images": known["images"]}
        for column, cell in line.items():
            name, _, end = column.rpartition("_")
            value = row[f"{name}_interval"][end == "high"] if end in ("low", "high") else row[column]
            assert cell == ("" if value is None else str(value)), column


def test_the_report_stands_alone(held: Path) -> None:
    page = (held / "report.html").read_text()
    assert all(name in page for name in ENTRIES)
    assert 'src="http' not in page and 'href="http' not in page.replace('href="https://arxiv.org', "")


def test_what_was_cut_is_said(board: dict[str, Any], held: Path) -> None:
    found = rows(board)
    assert "fitted on 50 of 120 images, to keep to the minutes" in found["hog_svm"]["changes"]
    assert shortened(found["hog_svm"])
    for name in ("pixels_linear", "mlp"):
        assert found[name]["epochs"] < found[name]["recipe_epochs"]
        assert any(
            change.startswith(f"epochs {found[name]['recipe_epochs']:g} -> ") for change in found[name]["changes"]
        )
        assert found[name]["curve"][-1]["epoch"] == pytest.approx(found[name]["epochs"])
    assert found["mlp"]["changes"][0] == "mirroring turned off: a mirrored character is another character"


def test_called_again_it_trains_nothing_and_says_the_same(
    held: Path, few: ImageSet, board: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {path: path.stat().st_mtime_ns for path in held.glob("entries/*/*.safetensors")}
    assert len(kept) == 6  # models and scores
    monkeypatch.setattr(holding, "train", lambda *given, **more: pytest.fail("trained again"))
    monkeypatch.setattr(holding, "score", lambda *given, **more: pytest.fail("scored again"))
    for name, row in rows(contest(few, ENTRIES[::-1], minutes=0.5, out=held)).items():
        same = ("top1_error", "rank", "epochs", "changes", "curve", "train_minutes", "choice", "file_mb")
        assert [row[key] for key in same] == [rows(board)[name][key] for key in same]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("other", ["topfive.__version__", "torch.__version__", "PIL.__version__"])
def test_other_versions_judge_again_and_what_is_kept_of_before_is_named(
    held: Path, few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    shutil.copytree(held, tmp_path / "copy")
    before, judged, plain = machine(), list[str](), holding.score
    monkeypatch.setattr(other, "2.6.0")
    monkeypatch.setattr(holding, "score", lambda model, data: judged.append(model.entry) or plain(model, data))
    monkeypatch.setattr(holding, "milliseconds_an_image", lambda model: pytest.fail("timed again"))
    board = contest(few, out=tmp_path / "copy")
    assert sorted(judged) == sorted(ENTRIES)
    assert [row["machine"] for row in board["entries"]] == [before] * 3
    said = elsewhere(board)
    if other.startswith("PIL"):  # which changes no time, and neither training nor board name it
        assert said == []
        return
    name = other.split(".")[0]
    names = listed([row["entry"] for row in ranked(board)])
    assert said == [f"{names}: {how} with {name} {before[name]}" for how in ("made", "timed")]
    page = (tmp_path / "copy/report.html").read_text()
    assert all(f"<li>{one}</li>" in page for one in said)
    assert "Other versions or machines" not in (held / "report.html").read_text()
    contest(few, out=tmp_path / "copy")
    assert len(judged) == 3


def test_a_plan_repeats_the_contest_to_the_bit(
    held: Path, few: ImageSet, board: dict[str, Any], tmp_path: Path
) -> None:
    repeated = contest(few, plan=held / "plan.json", out=tmp_path / "again")
    assert {row["entry"]: row["changes"] for row in repeated["entries"]} == {
        row["entry"]: row["changes"] for row in board["entries"]
    }
    ours, theirs = weights(tmp_path / "again"), weights(held)
    assert ours.keys() == theirs.keys() == set(ENTRIES)
    for entry in ENTRIES:
        assert all(torch.equal(ours[entry][name], theirs[entry][name]) for name in theirs[entry])
    legs = [
        {slot["entry"]: slot["legs"] for slot in read_json(folder / "plan.json")["slots"]}
        for folder in (held, tmp_path / "again")
    ]
    assert legs[0] == legs[1]
    assert legs[0]["mlp"][-1][1] == 1


@pytest.mark.parametrize("changed", [{"entries": ["mlp"]}, {"minutes": 3.0}, {"entries": ["mlp", "pixels_linear"]}])
def test_another_contest_in_the_same_folder_is_refused(held: Path, few: ImageSet, changed: dict[str, Any]) -> None:
    before = (held / "leaderboard.json").read_bytes()
    with pytest.raises(Misused, match="holds a contest with other images, entries or minutes; choose another --out"):
        contest(few, out=held, **changed)
    assert (held / "leaderboard.json").read_bytes() == before


def test_whose_contest_goes_on_is_said(held: Path, few: ImageSet, caplog: pytest.LogCaptureFixture) -> None:
    """A call that names neither entries nor minutes would otherwise pass for a new contest of all entries."""
    caplog.set_level("INFO", "topfive")
    contest(few, out=held)
    names = [slot["entry"] for slot in read_json(held / "plan.json")["slots"]]
    said = f"{held}: going on with its contest of {names[0]}, {names[1]} and {names[2]}, 0.5 minutes; another --out"
    assert said in caplog.text


def test_a_second_process_is_refused_as_a_whole(held: Path, few: ImageSet) -> None:
    before = (held / "leaderboard.json").read_bytes()
    with alone_in(held), pytest.raises(Misused, match="another process is at work here"):
        contest(few, out=held)
    assert (held / "leaderboard.json").read_bytes() == before


def test_other_images_in_the_same_folder_are_refused(held: Path, few: ImageSet) -> None:
    other = ImageSet(
        few.name, few.layout, few.classes, {**few.splits, "test": subset(few.split("test"), list(range(59)))}
    )
    with pytest.raises(Misused, match="holds a contest with other images"):
        contest(other, out=held)
    with pytest.raises(Misused, match=r"is the plan of a contest on other images \(digits\); give the same data"):
        contest(other, plan=held / "plan.json", out=held.parent / "nowhere")
    assert not (held.parent / "nowhere").exists()


def test_a_plan_brings_its_own_entries(held: Path, few: ImageSet, tmp_path: Path) -> None:
    for given in ({"entries": ["mlp"]}, {"minutes": 1.0}):
        for folder in (tmp_path / "new", held):
            with pytest.raises(Misused, match="--plan: brings its own entries and minutes"):
                contest(few, plan=held / "plan.json", out=folder, **given)


def test_another_plan_does_not_go_on_with_the_contest_that_is_there(held: Path, few: ImageSet, tmp_path: Path) -> None:
    document = json.loads((held / "plan.json").read_text())
    document["slots"] = document["slots"][:1]
    (tmp_path / "plan.json").write_text(json.dumps(document))
    with pytest.raises(Misused, match="holds a contest with other images, entries or minutes"):
        contest(few, plan=tmp_path / "plan.json", out=held)


def test_a_plan_repeats_nothing_in_the_folder_of_its_own_contest(
    held: Path, few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `out` it would go there, to runs/NAME, and print the old board."""
    shutil.copytree(held, tmp_path / "runs/digits")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        Misused, match=r"runs/digits: holds the finished contest of .*plan\.json, so nothing would be repeated; choose"
    ):
        contest(few, plan="runs/digits/plan.json")
    assert (tmp_path / "runs/digits/leaderboard.json").read_bytes() == (held / "leaderboard.json").read_bytes()


@pytest.mark.parametrize("edited", ["seed", "stage", "legs"])
def test_an_edited_plan_is_not_taken_for_the_one_that_is_there(
    held: Path, few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    shutil.copytree(held, tmp_path / "runs/digits")
    (tmp_path / "runs/digits/report.html").unlink()  # finished or not
    document = read_json(held / "plan.json")
    [slot] = [slot for slot in document["slots"] if slot["entry"] == "mlp"]
    if edited == "seed":
        slot["recipe"]["seed"] += 1
    elif edited == "stage":
        slot["recipe"]["stage"][0]["optimizer"]["lr"] *= 2
    else:
        slot["legs"][-1][1] += 1
    write_json(tmp_path / "plan.json", document)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misused, match=r"runs/digits: holds a contest by another plan than plan\.json \(recipes, seeds"):
        contest(few, plan="plan.json")


def test_a_repeat_that_is_stopped_goes_on_by_the_same_call(
    held: Path, few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a plan that had not run yet: by then the repeat has settled a slot, and its plan is no longer the same."""
    document = read_json(held / "plan.json")
    for slot in document["slots"]:
        slot |= {"settled": False, "legs": []}
    plan, out = write_json(tmp_path / "plan.json", document), tmp_path / "again"
    monkeypatch.setattr(holding, "PAGE_SECONDS", 1e6)
    with monkeypatch.context() as patch:
        failing(patch, document["slots"][1]["entry"], KeyboardInterrupt())
        with pytest.raises(Interrupted, match="call the same command again to go on"):
            contest(few, plan=plan, out=out)
    kept = [slot["settled"] for slot in read_json(out / "plan.json")["slots"]]
    assert kept == [True, True, False] and not (out / "leaderboard.json").exists()
    board = contest(few, plan=plan, out=out)
    assert {row["status"] for row in board["entries"]} == {"done"}
    with pytest.raises(Misused, match=r"again: holds the finished contest of .*, so nothing would be repeated"):
        contest(few, plan=plan, out=out)


def test_limits_restrict_the_pick_alone(held: Path, few: ImageSet) -> None:
    fast = contest(few, out=held, max_ms=1.0)  # only mlp answers within it
    assert fast["pick"]["entry"] == "mlp"
    assert fast["pick"]["command"] == f"topfive predict {held / 'entries/mlp/model.safetensors'} photo.jpg"
    assert fast["pick"]["limits"] == {"max_mb": None, "max_ms": 1.0}
    assert len(fast["entries"]) == 3


def failing(monkeypatch: pytest.MonkeyPatch, entry: str, error: BaseException) -> None:
    plain = holding.train

    def train(name: str, *given: Any, **more: Any) -> Any:
        if name == entry:
            raise error
        return plain(name, *given, **more)

    monkeypatch.setattr(holding, "train", train)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no more"), "mlp: failed inside topfive (RuntimeError: no more); please report it"),
        (Diverged("mlp: the loss was nan at step 7"), "mlp: the loss was nan at step 7"),
    ],
)
def test_an_entry_that_fails_is_reported_and_the_others_go_on(
    few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    failing(monkeypatch, "mlp", error)
    monkeypatch.setattr(holding, "PAGE_SECONDS", 1e6)
    board = contest(few, ["mlp", "pixels_linear"], minutes=0.5, out=tmp_path)
    found = rows(board)
    assert (found["mlp"]["status"], found["mlp"]["reason"], found["mlp"]["rank"]) == ("failed", reason, None)
    assert found["pixels_linear"]["status"] == "done"
    assert board["entries"][-1]["entry"] == "mlp"
    assert board["pick"]["entry"] == "pixels_linear"
    assert reason in caplog.text
    assert reason in (tmp_path / "leaderboard.csv").read_text()
    assert "please report it" not in reason or "failed inside topfive" in (tmp_path / "report.html").read_text()


def test_all_entries_may_fail(few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "pixels_linear", Diverged("pixels_linear: the loss was nan at step 7"))
    board = contest(few, ["pixels_linear"], minutes=0.5, out=tmp_path)
    assert (board["pick"], board["hardest"], board["comparisons"]) == (None, [], [])
    assert (tmp_path / "report.html").exists()


def test_an_entry_that_fails_after_its_scores_has_no_rank(
    few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Any) -> float:
        raise RuntimeError("no clock")

    monkeypatch.setattr(holding, "milliseconds_an_image", broken)
    monkeypatch.setattr(holding, "PAGE_SECONDS", 1e6)
    board = contest(few, ["pixels_linear", "mlp"], minutes=0.5, out=tmp_path)
    assert [(row["status"], row["rank"]) for row in board["entries"]] == [("failed", None)] * 2
    assert board["comparisons"] == []


@pytest.mark.parametrize("by", ["signal in a step", "between steps"])
def test_a_contest_that_is_stopped_goes_on_at_the_entry_it_was_in(
    few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    plain, seen = loop.SgdLoop._step, list[tuple[str, int]]()

    def step(self: loop.SgdLoop, *given: Any) -> tuple[float, int]:
        seen.append((self.folder.name, self.progress.step))
        if stop and seen[-1] == (second, 5):
            if by == "between steps":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)
        return plain(self, *given)

    monkeypatch.setattr(loop.SgdLoop, "_step", step)
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    stop, second = True, ""
    plain_plan = planning.make_plan

    def planned(*given: Any) -> Any:
        nonlocal second
        plan = plain_plan(*given)
        second = plan.slots[1].entry
        return plan

    monkeypatch.setattr(holding, "make_plan", planned)
    with pytest.raises(Interrupted, match="call the same command again to go on"):
        contest(few, ["pixels_linear", "mlp"], minutes=0.5, out=tmp_path)
    assert not (tmp_path / "leaderboard.json").exists()
    spent = read_json(tmp_path / "spent.json")["seconds"]
    trained = checkpoint.load(tmp_path / "entries" / second)
    assert trained is not None and spent > trained[0].seconds  # of both entries, and of what is not training
    [first] = {"pixels_linear", "mlp"} - {second}
    made = (tmp_path / "entries" / first / "model.safetensors").stat().st_mtime_ns
    stop = False
    seen.clear()
    going_on = time.perf_counter()
    board = contest(few, out=tmp_path)
    assert board["budget"]["spent_minutes"] * 60 <= spent + time.perf_counter() - going_on  # counted once
    assert {row["status"] for row in board["entries"]} == {"done"}
    assert {name for name, _ in seen} == {second}
    assert 1 <= seen[0][1] <= 6  # not from the start, and nothing of it left out
    assert [number for _, number in seen] == list(range(seen[0][1], seen[-1][1] + 1))
    assert (tmp_path / "entries" / first / "model.safetensors").stat().st_mtime_ns == made
    assert board["budget"]["spent_minutes"] * 60 > spent


def test_a_fitted_svm_without_its_record_is_fitted_again(held: Path, few: ImageSet, tmp_path: Path) -> None:
    """A kill between the model file and run.json must not fail the entry for ever."""
    shutil.copytree(held, tmp_path / "copy")
    (tmp_path / "copy/entries/hog_svm/run.json").unlink()
    board = contest(few, out=tmp_path / "copy")
    assert rows(board)["hog_svm"]["status"] == "done"
    assert rows(board)["hog_svm"]["changes"].count("fitted on 50 of 120 images, to keep to the minutes") == 1
    ours, theirs = weights(tmp_path / "copy")["hog_svm"], weights(held)["hog_svm"]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_model_files_are_judged_as_they_are(held: Path, few: ImageSet, board: dict[str, Any], tmp_path: Path) -> None:
    before = (held / "entries/mlp/model.safetensors").read_bytes()
    asked = [str(held / "entries/mlp"), str(held / "entries/hog_svm/model.safetensors")]
    judged = contest(few, asked, minutes=0.5, out=tmp_path)
    found = rows(judged)
    assert set(found) == {"mlp (mlp)", "hog_svm (hog_svm)"}
    for name, row in found.items():
        assert (row["status"], row["train_minutes"], row["external_data"]) == ("judged", None, False)
        assert row["top1_error"] == rows(board)[name.split()[0]]["top1_error"]
    assert (held / "entries/mlp/model.safetensors").read_bytes() == before


def test_a_model_of_other_images_is_said_to_be_so(held: Path, few: ImageSet, tmp_path: Path) -> None:
    other = ImageSet(
        few.name, few.layout, few.classes, {**few.splits, "train": subset(few.split("train"), list(range(50)))}
    )
    board = contest(other, [str(held / "entries/mlp")], minutes=0.5, out=tmp_path)
    assert rows(board)["mlp (mlp)"]["external_data"] is True


def test_a_model_of_the_same_training_images_is_not_external_where_fewer_are_judged(
    held: Path, few: ImageSet, tmp_path: Path
) -> None:
    fewer = ImageSet(
        few.name, few.layout, few.classes, {**few.splits, "test": subset(few.split("test"), list(range(59)))}
    )
    board = contest(fewer, [str(held / "entries/mlp")], minutes=0.5, out=tmp_path)
    assert rows(board)["mlp (mlp)"]["external_data"] is False


@pytest.fixture
def colours(tmp_path: Path) -> Callable[[], ImageSet]:
    """Three classes of 20-px squares, one of them broken in each split."""

    def make() -> ImageSet:
        for split in ("train", "val"):
            for number, name in enumerate(("blue", "green", "red")):
                (tmp_path / "colours" / split / name).mkdir(parents=True)
                for index in range(6):
                    shade = [20 * index + len(split)] * 3
                    shade[2 - number] = 250
                    Image.new("RGB", (20, 24), tuple(shade)).save(tmp_path / "colours" / split / name / f"{index}.png")
            (tmp_path / "colours" / split / "red" / "5.png").write_bytes(b"no image")
        return open_data(tmp_path / "colours")

    return make


def test_three_classes_have_no_top5_error_and_broken_images_are_counted(
    colours: Callable[[], ImageSet], tmp_path: Path
) -> None:
    board = contest(colours(), ["pixels_linear"], minutes=0.5, out=tmp_path / "out")
    [row] = board["entries"]
    assert (row["top5_error"], row["top5_interval"], row["smaller_k"]["k"]) == (None, None, 2)
    assert (row["evaluated"], row["of"], row["broken"]) == (18, 18, 1)
    assert row["top1_error"] >= 1 / 18  # the broken image is an error
    assert [(image["split"], image["id"]) for image in board["data"]["broken"]] == [
        ("train", "train/red/5.png"), ("val", "val/red/5.png"),
    ]  # fmt: skip
    page = (tmp_path / "out/report.html").read_text()
    assert "not defined" in page and f"top-2 {percent(row['smaller_k']['error'], 18)}" in page
    with open(tmp_path / "out/leaderboard.csv", newline="") as file:
        [line] = csv.DictReader(file)
    assert line["top5_error"] == line["top5_low"] == ""


def test_an_image_that_was_mended_is_judged_again(colours: Callable[[], ImageSet], tmp_path: Path) -> None:
    contest(colours(), ["pixels_linear"], minutes=0.5, out=tmp_path / "out")
    whole = (tmp_path / "colours/val/red/4.png").read_bytes()
    (tmp_path / "colours/val/red/5.png").write_bytes(whole)
    board = contest(open_data(tmp_path / "colours"), out=tmp_path / "out")
    [row] = board["entries"]
    assert (row["evaluated"], row["of"], row["broken"]) == (18, 18, 0)
    scores = load_scores(tmp_path / "out/entries/pixels_linear/scores.safetensors")
    assert torch.equal(
        scores.scores[scores.ids.index("val/red/5.png")], scores.scores[scores.ids.index("val/red/4.png")]
    )


def test_an_image_that_was_replaced_is_judged_again(colours: Callable[[], ImageSet], tmp_path: Path) -> None:
    contest(colours(), ["pixels_linear"], minutes=0.5, out=tmp_path / "out")
    file = tmp_path / "out/entries/pixels_linear/scores.safetensors"
    before = load_scores(file)
    Image.new("RGB", (40, 40), (0, 0, 255)).save(tmp_path / "colours/val/red/4.png")
    contest(open_data(tmp_path / "colours"), out=tmp_path / "out")
    after, place = load_scores(file), before.ids.index("val/red/4.png")
    differs = (before.scores != after.scores).any(2)[:, 0] & ~before.scores.isnan().any(2)[:, 0]
    assert differs.nonzero().flatten().tolist() == [place]


def test_an_image_that_vanishes_after_it_was_judged_costs_no_report(
    colours: Callable[[], ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, plain = colours(), holding.score

    def score_and_lose(*given: Any) -> Any:
        found = plain(*given)
        for path in data.split("val").paths or ():
            path.unlink(missing_ok=True)
        return dataclasses.replace(found, scores=-found.scores)  # so that images are missed

    monkeypatch.setattr(holding, "score", score_and_lose)
    board = contest(data, ["pixels_linear"], minutes=0.5, out=tmp_path / "out")
    assert board["entries"][0]["top1_error"] > 0.2
    assert board["hardest"] == []


def test_without_minutes_an_entry_is_trained_for_one_step_and_the_report_says_so(
    few: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    board = contest(few, ["mlp"], minutes=0.01, out=tmp_path)
    assert "mlp: no minutes are left, it is trained for as little as can be" in caplog.text
    assert "no minutes were left at its turn; give more --minutes" in board["entries"][0]["changes"]
    assert "give more --minutes" in (tmp_path / "report.html").read_text()


def test_the_time_that_is_spent_survives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "KEEP_EVERY", 0.01)
    write_json(tmp_path / "spent.json", {"seconds": 100.0})
    with holding._Clock(tmp_path, time.perf_counter()):
        time.sleep(0.2)
        killed_here = read_json(tmp_path / "spent.json")["seconds"]
    assert 100.0 < killed_here < read_json(tmp_path / "spent.json")["seconds"] < 110.0


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("inf"), float("nan")])
def test_minutes_that_are_none_are_refused_before_anything_is_measured(
    few: ImageSet, tmp_path: Path, minutes: float
) -> None:
    with pytest.raises(Misused, match="--minutes: expected a number above 0, got"):
        contest(few, ["mlp"], minutes=minutes, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_runs_and_contests_keep_to_their_own_folders(held: Path, few: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(Misused, match="holds a contest; choose another --out"):
        train("mlp", few, held)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(Misused, match="holds a run of topfive train; choose another --out"):
        contest(few, ["mlp"], minutes=0.5, out=tmp_path)


def test_a_mistyped_entry_is_named_before_any_image_is_opened() -> None:
    with pytest.raises(UnknownName, match=r"no entry named 'hog_svn' .did you mean hog_svm\?"):
        contest("/no/such/folder", ["hog_svn"])


def test_calling_a_finished_contest_again_costs_it_nothing(
    held: Path, few: ImageSet, board: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(held, tmp_path / "copy")
    time.sleep(1.1)  # began is said in seconds
    again = contest(few, out=tmp_path / "copy", max_ms=1.0)
    before = read_json(tmp_path / "copy/spent.json")
    assert again["budget"]["spent_minutes"] * 60 == pytest.approx(before["seconds"])
    assert again["started_at"] == board["started_at"] == before["began"]
    assert read_json(held / "spent.json") == before


def test_runs_without_their_plan_are_not_taken_for_this_contests(held: Path, few: ImageSet, tmp_path: Path) -> None:
    shutil.copytree(held, tmp_path / "copy")
    (tmp_path / "copy/plan.json").unlink()
    with pytest.raises(Misused, match=r"holds the runs of a contest whose plan\.json is gone; choose another --out"):
        contest(few, ENTRIES, minutes=0.5, out=tmp_path / "copy")


def test_a_run_that_was_begun_is_not_buried_under_a_contest(few: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(Misused, match="holds a run of topfive train; choose another --out"):
        contest(few, ["mlp"], minutes=0.1, out=tmp_path)
    assert not (tmp_path / "plan.json").exists()


def test_an_entry_that_cannot_be_measured_is_reported_and_the_others_go_on(
    few: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = planning.forecast

    def out_of_memory(name: str, data: ImageSet, recipe: Any) -> Any:
        if name == "mlp":
            raise RuntimeError("not enough memory")
        return plain(name, data, recipe)

    monkeypatch.setattr(planning, "forecast", out_of_memory)
    found = rows(contest(few, ["pixels_linear", "mlp"], minutes=0.2, out=tmp_path))
    assert found["pixels_linear"]["status"] == "done"
    assert found["mlp"]["status"] == "failed"
    assert found["mlp"]["reason"] == "mlp: failed while it was measured (RuntimeError: not enough memory)"


@pytest.mark.parametrize("option", ["max_mb", "max_ms"])
def test_a_limit_that_is_no_number_is_refused_before_anything_is_trained(tmp_path: Path, option: str) -> None:
    with pytest.raises(Misused, match=rf"--{option.replace('_', '-')}: expected a number from 0 on, got nan"):
        contest("digits", ["pixels_linear"], 1, out=tmp_path / "held", **{option: float("nan")})
    assert not (tmp_path / "held").exists()
