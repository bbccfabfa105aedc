"""A person's guesses: what they are worth as scores, and the place beside machines on the same images."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import binomtest

from topfive.data.imageset import Broken, ClassLabel
from topfive.errors import BadData, Misused
from topfive.evaluation.ensemble import average
from topfive.evaluation.person import guessed, guesses_of, place, seen, to_text
from topfive.evaluation.report import judge
from topfive.evaluation.scores import GUESSES, Scores
from topfive.metrics import label_ranks, top_k_error

TEN = tuple(ClassLabel(f"c{i}", f"name {i}") for i in range(10))


def of_person(guesses: list[list[int]], labels: list[int], classes: tuple[ClassLabel, ...] = TEN) -> Scores:
    rows = torch.stack([guessed(one, len(classes)) for one in guesses])[:, None]
    ids = tuple(f"i{row}" for row in range(len(labels)))
    return Scores("a person", "test", rows, torch.tensor(labels), ids, classes, GUESSES, data="d")


def of_machine(answers: list[int], labels: list[int]) -> Scores:
    scores = torch.eye(10)[answers][:, None]
    ids = tuple(f"i{row}" for row in range(len(labels)))
    return Scores("net", "test", scores, torch.tensor(labels), ids, TEN, "logits", data="d")


@pytest.mark.parametrize("guesses", [[3, 1, 4, 0, 5], [3], [5, 2, 0]])
@pytest.mark.parametrize("classes", [6, 7, 1000])
def test_a_label_has_the_rank_of_its_guess_and_none_where_it_was_not_named(guesses: list[int], classes: int) -> None:
    for label in range(7 if classes > 6 else 6):
        [rank] = label_ranks(guessed(guesses, classes)[None], torch.tensor([label])).tolist()
        assert rank == guesses.index(label) if label in guesses else rank >= 5


def test_errors_are_those_counted_by_hand() -> None:
    person = of_person([[1, 2, 3, 4, 5], [1, 2], [7], [9, 8, 7, 6, 0]], [1, 2, 0, 0])
    found = judge(person)
    assert (found.document["top1_error"], found.document["top5_error"]) == (0.75, 0.25)
    assert (found.document["evaluated"], found.document["of"]) == (4, 4)
    assert "evaluated 4 of 4 images, guessed" in found.to_text()


@pytest.mark.parametrize("bad", [[], [1, 1], [0, 1, 2, 3, 4, 5], [10], [-1]])
def test_what_is_no_list_of_guesses_is_refused(bad: list[int]) -> None:
    with pytest.raises(Misused, match=r"guesses: expected 1 to 5 different classes by numbers below 10, got \["):
        guessed(bad, 10)
    with pytest.raises(Misused, match="expected one class by numbers below 5"):
        guessed([0, 1], 5)


def test_guesses_have_no_probabilities_and_nothing_says_they_had() -> None:
    person = of_person([[1], [2]], [1, 2])
    assert judge(person).document["calibration"] is None
    assert judge(replace(person, kind="logits")).document["calibration"] is not None
    for call in (lambda: person.probabilities, lambda: average([person, of_machine([1, 2], [1, 2])])):
        with pytest.raises(Misused, match="guesses have an order and no probabilities"):
            call()


def test_with_five_classes_there_is_one_guess_and_top_1_alone() -> None:
    assert [guesses_of(classes) for classes in (2, 5, 6)] == [1, 1, 5]
    found = judge(of_person([[1], [2], [0]], [1, 3, 0], TEN[:5])).document
    assert found["top1_error"] == pytest.approx(1 / 3)
    assert (found["top5_error"], found["smaller_k"]) == (None, None)


def test_a_broken_image_is_an_error_of_the_person_too() -> None:
    person = of_person([[1], [2]], [1, 2])
    scores = person.scores.clone()
    scores[1] = torch.nan
    placed = place(replace(person, scores=scores, broken=(Broken("i1", "i1: is half a file"),)), {}, 2)
    assert [(row["top1_error"], row["top5_error"]) for row in placed["entries"]] == [(0.5, 0.5)]
    assert "counted as an error: i1: is half a file" in to_text(placed)


def test_machines_are_judged_on_the_images_that_the_person_saw() -> None:
    labels = [i % 10 for i in range(40)]
    wrong = [(label + 1) % 10 for label in labels]
    machine = of_machine(wrong[:20] + labels[20:], labels)  # right on the last twenty alone
    order = [25, 3, 30, *range(4, 19)]  # of which two are among them
    person = of_person([[labels[row]] for row in order[:-1]] + [[wrong[order[-1]]]], [labels[row] for row in order])
    person = replace(person, ids=tuple(f"i{row}" for row in order))
    placed = place(person, {"net": machine, "luck": of_machine(labels, labels)}, 40)
    rows = {row["entry"]: row for row in placed["entries"]}
    assert rows["net"]["top1_error"] == pytest.approx(16 / 18)
    assert rows["a person"]["top1_error"] == pytest.approx(1 / 18)
    assert top_k_error(machine.averaged, machine.labels, 1) == 0.5  # on all images, which is not what is asked
    assert rows["net"]["beside"]["only_person_right"] == 15
    assert rows["net"]["beside"]["only_it_right"] == 0
    assert rows["net"]["beside"]["p"] == pytest.approx(binomtest(0, 15, 0.5).pvalue)
    broken = replace(machine, broken=(Broken("i3", "i3: is half a file"), Broken("i0", "i0: is half a file")))
    assert seen(broken, person, "net").broken == broken.broken[:1]  # i0 was not shown
    verdicts = {name: row["beside"] and row["beside"]["verdict"] for name, row in rows.items()}
    assert verdicts == {"a person": None, "net": "worse", "luck": "not told apart"}
    assert {name: row["rank"] for name, row in rows.items()} == {"a person": 1, "luck": 1, "net": 3}
    text = to_text(placed)
    assert "18 of 40 test images, up to 5 guesses each" in text
    assert "5.1 % on 1,500 images" in text
    assert "arXiv:1409.0575, sec. 6.4" in text


def test_scores_of_other_images_are_refused() -> None:
    person = of_person([[1]], [1])
    for other in (replace(of_machine([1], [1]), data="e"), replace(of_machine([1], [1]), ids=("j",))):
        with pytest.raises(BadData, match="net: expected scores of the images that the person saw"):
            place(person, {"net": other}, 1)
