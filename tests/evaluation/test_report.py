"""Reports: the Challenge's figures against a loop over images, laws 1, 2, 6 and 7, and the text for a person."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from slow_judge import BROKEN, KEYS, error, linear, photos, slow

from topfive.data import ClassLabel
from topfive.data.imageset import Broken
from topfive.errors import BadData, BadFile
from topfive.evaluation import Report, Scores, evaluate, judge, load_scores
from topfive.evaluation.calibration import calibration
from topfive.evaluation.hierarchy import Hierarchy
from topfive.files import write_json
from topfive.models.modelfile import save


def wilson(errors: float, images: int) -> tuple[float, float]:
    interval = binomtest(round(errors * images), images).proportion_ci(method="wilson")
    return pytest.approx((interval.low, interval.high))


def made_up(classes: int, images: int = 30, broken: int = 0) -> Scores:
    """Drawn scores; the first `broken` images could not be decoded."""
    scores = torch.randn(images, 1, classes, generator=torch.Generator().manual_seed(classes))
    scores[:broken] = torch.nan
    ids = tuple(f"val/{index}.jpg" for index in range(images))
    labels = tuple(ClassLabel(f"k{index}", f"name {index}") for index in range(classes))
    faults = tuple(Broken(id_, f"{id_}: is cut short") for id_ in ids[:broken])
    return Scores("mlp", "val", scores, torch.arange(images) % classes, ids, labels, "logits", faults)


def test_every_figure_is_that_of_the_loop_over_images(tmp_path: Path) -> None:
    data = photos(tmp_path)
    answers = slow(linear(), data.split("val").paths[0].parents[3])
    document = evaluate(linear(), data).document
    assert (document["evaluated"], document["of"], document["crops"]) == (40, 40, 1)
    for k, name in ((1, "top1"), (5, "top5")):
        assert document[f"{name}_error"] == pytest.approx(error(answers, k))
        assert document[f"{name}_interval"] == wilson(error(answers, k), 40)
    assert 0 < document["top5_error"] < document["top1_error"] < 1
    assert document["smaller_k"] is None
    for index, key in enumerate(KEYS):
        own = [answer for answer in answers if answer.key == key]
        assert document["classes"][index] == {"key": key, "name": key.split("/")[-1]}
        assert document["per_class_error"][index] == pytest.approx(error(own, 1))
        assert document["per_class_top5_error"][index] == pytest.approx(error(own, 5))
        assert document["confusion"][index] == [sum(answer.best == other for answer in own) for other in KEYS]
    assert [image["id"] for image in document["broken"]] == list(BROKEN)


def test_a_dog_in_a_and_a_dog_in_b_are_two_classes(tmp_path: Path) -> None:
    """T5, and law 1: a class is its key; its name is for people."""
    classes = evaluate(linear(), photos(tmp_path)).document["classes"]
    assert [label["key"] for label in classes if label["name"] == "dog"] == ["a/dog", "b/dog"]


@pytest.mark.parametrize("seed", range(3))
def test_a_model_whose_classes_stand_in_another_order_errs_alike(tmp_path: Path, seed: int) -> None:
    """T3: a model's scores are matched to the data by key, never by position."""
    data = photos(tmp_path)
    order = np.random.default_rng(seed).permutation(len(KEYS)).tolist()
    a, b = evaluate(linear(), data).document, evaluate(linear(order=order), data).document
    assert [label["key"] for label in b["classes"]] == [KEYS[index] for index in order] != list(KEYS)
    for figure in ("top1_error", "top5_error", "top1_interval", "top5_interval", "broken", "evaluated"):
        assert b[figure] == a[figure]
    assert b["per_class_error"] == [a["per_class_error"][index] for index in order]
    assert b["confusion"] == np.array(a["confusion"])[np.ix_(order, order)].tolist()


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_top5_is_not_defined_for_five_classes_or_fewer(classes: int) -> None:
    """Law 6 and T9: the error would be 0 without a word."""
    scores = made_up(classes, broken=2)
    report = judge(scores)
    assert (report.document["top5_error"], report.document["top5_interval"]) == (None, None)
    assert f"top-5 error not defined for {classes} classes" in report.to_text()
    smaller = report.document["smaller_k"]
    if classes == 2:
        assert smaller is None
        return
    k, rows = classes - 1, zip(scores.scores[:, 0].tolist(), scores.labels.tolist(), strict=True)
    missed = sum(any(s != s for s in row) or sum(s > row[label] for s in row) >= k for row, label in rows)
    assert missed > 2
    assert (smaller["k"], smaller["error"]) == (k, pytest.approx(missed / 30))
    assert smaller["interval"] == wilson(missed / 30, 30)
    assert f"top-{k} error {100 * missed / 30:.2f} % (95 % interval " in report.to_text()


@pytest.mark.parametrize("classes", [6, 10, 50])
def test_top5_is_defined_for_more(classes: int) -> None:
    scores = made_up(classes, images=300)
    report = judge(scores)
    rows = zip(scores.scores[:, 0].tolist(), scores.labels.tolist(), strict=True)
    missed = sum(label not in sorted(range(classes), key=row.__getitem__)[-5:] for row, label in rows)
    assert report.document["top5_error"] == pytest.approx(missed / 300) != 0
    assert report.document["smaller_k"] is None
    assert "not defined" not in report.to_text()


@pytest.mark.parametrize("classes", [2, 5, 6, 20])
@pytest.mark.parametrize("broken", [0, 1, 7, 30])
def test_a_broken_image_is_an_error_and_is_listed(classes: int, broken: int) -> None:
    """Law 2, T2 and T10: never replaced, never scored as a black picture, never dropped."""
    scores = made_up(classes, broken=broken)
    report, rest = judge(scores).document, (scores.averaged[broken:], scores.labels[broken:])
    wrong = int((rest[0].argmax(1) != rest[1]).sum()) if broken < 30 else 0
    assert report["top1_error"] == pytest.approx((broken + wrong) / 30)
    assert (report["evaluated"], report["of"], len(report["broken"])) == (30, 30, broken)
    assert sum(map(sum, report["confusion"])) == 30 - broken
    text = judge(scores).to_text()
    assert text.count("counted as an error: ") == broken
    assert all(f"counted as an error: val/{index}.jpg: is cut short" in text for index in range(broken))


def test_an_image_that_was_lost_shows() -> None:
    """Law 2: N of N is two counts, that of the answers and that of the split."""
    report = judge(replace(made_up(10), split_images=31))
    assert (report.document["evaluated"], report.document["of"]) == (30, 31)
    assert report.to_text().startswith("mlp on val: evaluated 30 of 31 images, 1 crop\n")
    part = judge(replace(made_up(10), split_images=31).of([3, 1]))
    assert (part.document["evaluated"], part.document["of"]) == (2, 2)


def test_a_constant_classifier_errs_always() -> None:
    scores = made_up(7)
    scores.scores[:] = 0.5
    report = judge(scores).document
    assert (report["top1_error"], report["top5_error"], report["top1_interval"][1]) == (1.0, 1.0, 1.0)


def test_a_class_without_images_has_no_error_and_is_not_among_the_worst() -> None:
    scores = made_up(8)
    scores.labels[:] = torch.arange(30) % 7
    report = judge(scores)
    assert report.document["per_class_error"][7] is None
    assert None not in report.document["per_class_error"][:7]
    assert "name 7" not in report.to_text()


def test_the_text_says_what_was_counted() -> None:
    """Of class 9 nine images in ten are wrong, of class 8 eight, ...; a wrong one puts its class last."""
    scores = made_up(10, images=100)
    for index, label in enumerate(scores.labels.tolist()):
        scores.scores[index, 0] = -torch.arange(10.0)
        scores.scores[index, 0, label] = 99 if index // 10 >= label else -99
    low, high = (100 * end for end in binomtest(45, 100).proportion_ci(method="wilson"))
    known = calibration(scores.probabilities, scores.labels)
    assert judge(scores).to_text().splitlines() == [
        "mlp on val: evaluated 100 of 100 images, 1 crop",
        f"  top-1 error 45.00 % (95 % interval {low:.2f} to {high:.2f})",
        f"  top-5 error 45.00 % (95 % interval {low:.2f} to {high:.2f})",
        f"  probabilities: calibration error {100 * known.ece:.1f} %, Brier {known.brier:.3f}, "
        f"log-loss {known.nll:.3f}",
        "  worst classes: name 9 9 of 10, name 8 8 of 10, name 7 7 of 10, name 6 6 of 10, name 5 5 of 10",
    ]
    ten = replace(scores, scores=scores.scores.repeat(1, 10, 1))
    first = judge(ten).to_text().splitlines()[0]
    assert first == "mlp on val: evaluated 100 of 100 images, 10 crops averaged after the softmax"
    assert judge(ten).to_text().splitlines()[1:] == judge(scores).to_text().splitlines()[1:]


def test_the_text_says_of_how_many_images_the_probabilities_are() -> None:
    scores = made_up(10, images=100)
    scores.scores[3] = float("nan")
    scores = replace(scores, broken=(Broken(scores.ids[3], f"{scores.ids[3]}: is half a file"),))
    [line] = [line for line in judge(scores).to_text().splitlines() if "probabilities" in line]
    assert line.endswith(", on 99 images that can be read")


def test_where_nothing_is_wrong_no_class_is_the_worst() -> None:
    scores = made_up(10, images=100)
    scores.scores[:] = torch.nn.functional.one_hot(scores.labels, 10).float()[:, None]
    assert "worst" not in judge(scores).to_text()


@pytest.mark.parametrize("classes", [2, 5, 9])
def test_the_document_is_json_and_gives_the_report_back(tmp_path: Path, classes: int) -> None:
    report = judge(made_up(classes, broken=3))
    document = json.loads(write_json(tmp_path / "report.json", report.document).read_text(encoding="utf-8"))
    assert Report(document).to_text() == report.to_text()
    assert Report(document).top1_error == report.top1_error


def test_a_model_file_is_judged_like_the_model_and_its_scores_are_kept(tmp_path: Path) -> None:
    data, model = photos(tmp_path), linear()
    path = save(model, tmp_path / "run" / "model.safetensors")
    kept = tmp_path / "run" / "scores.safetensors"
    report = evaluate(path.parent, data, out=kept)
    assert judge(load_scores(kept)) == report
    assert report.document["model"] != evaluate(model, data).document["model"] == ""
    assert {**report.document, "model": ""} == evaluate(model, data).document
    assert evaluate(str(path), data, split="train").document["of"] == len(KEYS)


@pytest.mark.parametrize("option", ["out", "submission"])
def test_a_place_that_cannot_be_written_is_refused_before_an_image_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    data, file = photos(tmp_path), tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr("topfive.evaluation.report.in_order", lambda *_: [])
    monkeypatch.setattr("topfive.evaluation.report.score", lambda *_: pytest.fail("an image is judged"))
    with pytest.raises(BadFile, match=r"file/of\.it: could not be written .*; free some space or choose another place"):
        evaluate(linear(), data, **{option: file / "of.it"})
    monkeypatch.setattr("topfive.evaluation.report.score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(linear(), data, **{option: tmp_path / "new" / "of.it"})
    assert not (tmp_path / "new").exists()


def test_mistakes_cost_what_the_tree_says(tmp_path: Path) -> None:
    """A dog of a/ has no sibling: every wrong answer to it costs the whole height, 2; of b/dog and b/cat 1."""
    tree = Hierarchy.of_keys(KEYS)
    report = evaluate(linear(), photos(tmp_path), tree=tree)
    answers = slow(linear(), tmp_path / "photos")
    costs = dict(zip(KEYS, tree.costs(KEYS).tolist(), strict=True))
    paid = [2 if one.best is None else costs[one.key][KEYS.index(one.best)] for one in answers]
    mean = sum(paid) / len(paid)
    assert report.document["hierarchy"]["distance_1"]["mean"] == pytest.approx(mean)
    wrong = sum(cost > 0 for cost in paid)
    text = report.to_text()
    assert f"first answer {mean:.2f} (" in text
    assert f"severity of mistakes: {sum(paid) / wrong:.2f} (" in text and f"over {wrong} wrong answers" in text
    assert judge(made_up(7)).document["hierarchy"] is None
    with pytest.raises(BadData, match="expected all 8 classes in it, found no a/dog, b/cat and b/dog and 5 more"):
        evaluate(linear(), photos(tmp_path / "again"), tree=Hierarchy.of([("x", "y")]))
