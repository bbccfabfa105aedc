"""The Challenge's figures against plain loops, and what may never earn a point: ties, NaN, a constant answer."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, top_k_accuracy_score

from topfive.errors import BadShape
from topfive.metrics import confusion, label_ranks, per_class_error, top_k_error

CLASSES = 6
six = st.lists(st.integers(-3, 3), min_size=CLASSES, max_size=CLASSES)
rows_of_six = st.lists(six, min_size=1, max_size=12)
numbers = st.sampled_from([math.nan, -math.inf, math.inf]) | st.integers(-2, 2).map(float)


@given(rows=rows_of_six, k=st.integers(1, CLASSES))
@settings(deadline=None)
def test_top_k_error_agrees_with_a_plain_loop(rows: list[list[int]], k: int) -> None:
    labels = [i % CLASSES for i in range(len(rows))]
    misses = sum(sum(s >= row[y] for s in row) - 1 >= k for row, y in zip(rows, labels, strict=True))
    assert top_k_error(torch.tensor(rows), torch.tensor(labels), k) == pytest.approx(misses / len(rows))


@pytest.mark.parametrize("k", range(1, CLASSES + 1))
def test_without_ties_it_is_scikit_learns(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    scores = torch.randn(200, CLASSES, generator=generator)
    labels = torch.randint(CLASSES, (200,), generator=generator)
    accuracy = top_k_accuracy_score(labels, scores, k=k, labels=range(CLASSES)) if k < CLASSES else 1.0
    assert top_k_error(scores, labels, k) == pytest.approx(1 - accuracy)


@given(row=st.lists(numbers, min_size=1, max_size=8), data=st.data())
@settings(deadline=None)
def test_ties_and_nan_count_against_the_label(row: list[float], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(row) - 1))
    others = [score for index, score in enumerate(row) if index != label]
    beaten = sum(score < row[label] for score in others)  # false for a tie, and whenever either is NaN
    assert label_ranks(torch.tensor([row]), torch.tensor([label])).tolist() == [len(others) - beaten]


@pytest.mark.parametrize("constant", [0.0, 7.5, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("k", range(1, CLASSES))
def test_a_constant_classifier_is_always_wrong(constant: float, k: int) -> None:
    assert top_k_error(torch.full((30, CLASSES), constant), torch.arange(30) % CLASSES, k) == 1.0


@given(rows=rows_of_six, order=st.permutations(range(CLASSES)))
@settings(deadline=None)
def test_error_falls_with_k_and_does_not_see_the_order_of_classes(rows: list[list[int]], order: list[int]) -> None:
    scores, labels = torch.tensor(rows), torch.arange(len(rows)) % CLASSES
    errors = [top_k_error(scores, labels, k) for k in range(1, CLASSES + 1)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0
    permuted = torch.tensor([order.index(label) for label in labels.tolist()])
    assert [top_k_error(scores[:, order], permuted, k) for k in range(1, CLASSES + 1)] == errors
    assert [top_k_error(scores * 3 - 5, labels, k) for k in range(1, CLASSES + 1)] == errors  # any monotone ranking


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_any_type_of_score_is_ranked(dtype: torch.dtype) -> None:
    scores = torch.tensor([[1, 2, 3], [3, 2, 1]], dtype=dtype)
    assert label_ranks(scores, torch.tensor([0, 0])).tolist() == [2, 0]


def test_confusion_is_scikit_learns_and_its_rows_sum_to_the_images_of_a_class() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(300, CLASSES, generator=generator)
    labels = torch.randint(CLASSES - 1, (300,), generator=generator)  # the last class has no image
    cells = confusion(scores, labels)
    assert cells.tolist() == confusion_matrix(labels, scores.argmax(1), labels=range(CLASSES)).tolist()
    assert cells.sum(1).tolist() == [labels.tolist().count(index) for index in range(CLASSES)]
    assert 1 - cells.trace().item() / 300 == pytest.approx(top_k_error(scores, labels, 1))


def test_an_image_without_scores_is_in_no_cell() -> None:
    scores = torch.tensor([[0.0, 1.0], [math.nan, math.nan], [1.0, 0.0], [1.0, math.nan]])
    assert confusion(scores, torch.tensor([0, 0, 0, 0])).tolist() == [[1, 1], [0, 0]]
    assert confusion(torch.full((2, 3), math.nan), torch.tensor([0, 2])).tolist() == [[0] * 3] * 3


def test_an_impossible_class_does_not_take_an_image_out_of_the_confusion() -> None:
    """A log-probability of minus infinity is an answer like any other."""
    scores = torch.tensor([[0.5, -math.inf, 0.1], [-math.inf, math.inf, 0.0]])
    assert confusion(scores, torch.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_a_tie_is_no_right_answer_in_the_confusion_either() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.1], [0.2, 0.7, 0.7], [-math.inf] * 3, [math.inf, 0.0, math.inf]])
    labels = torch.tensor([0, 2, 0, 2])
    assert confusion(scores, labels).tolist() == [[0, 2, 0], [0, 0, 0], [1, 1, 0]]
    assert confusion(torch.zeros(2, 1), torch.tensor([0, 0])).tolist() == [[2]]


@given(rows=rows_of_six)
@settings(deadline=None)
def test_the_confusions_diagonal_is_what_is_right(rows: list[list[int]]) -> None:
    scores = torch.tensor(rows, dtype=torch.float32)
    labels = torch.arange(len(rows)) % CLASSES
    cells = confusion(scores, labels)
    assert cells.trace() == (label_ranks(scores, labels) == 0).sum()
    assert cells.sum() == len(rows)


@given(rows=rows_of_six, k=st.integers(1, CLASSES))
@settings(deadline=None)
def test_per_class_error_agrees_with_a_plain_loop(rows: list[list[int]], k: int) -> None:
    scores, labels = torch.tensor(rows), torch.tensor([3 * i % 5 for i in range(len(rows))])  # class 5 has none
    errors = per_class_error(label_ranks(scores, labels), labels, CLASSES, k).tolist()
    for label in range(CLASSES):
        own = labels == label
        if own.any():
            assert errors[label] == pytest.approx(top_k_error(scores[own], labels[own], k))
        else:
            assert math.isnan(errors[label])


@pytest.mark.parametrize("figure", [label_ranks, top_k_error, confusion])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(2).long(), r"with N > 0, got \(3, 4\) and \(2,\); give one label an image"),
        (torch.zeros(0, 4), torch.zeros(0).long(), r"with N > 0, got \(0, 4\) and \(0,\)"),
        (torch.zeros(3, 1, 4), torch.zeros(3).long(), r"scores \(N, classes\).*got \(3, 1, 4\)"),
        (torch.zeros(2, 4), torch.tensor([0, 4]), r"labels must be in \[0, 4\), got 0 to 4"),
        (torch.zeros(2, 4), torch.tensor([-1, 3]), r"labels must be in \[0, 4\), got -1 to 3"),
    ],
)
def test_what_is_no_pair_of_scores_and_labels_is_refused(figure, scores, labels, message) -> None:
    with pytest.raises(BadShape, match=message):
        figure(scores, labels)
