"""Costs in a tree beside a slow walk, hand-worked trees, and the costs of real mistakes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from topfive.errors import BadData, BadShape, Misused
from topfive.evaluation.hierarchy import (
    Hierarchy,
    guesses,
    hierarchical_cost,
    hierarchical_distance,
    judge_mistakes,
    least_costly,
    mistake_severity,
    open_hierarchy,
    read_hierarchy,
)  # fmt: skip
from topfive.metrics import top_k_error

ANIMALS = Hierarchy.of([
    ("thing", "animal"), ("thing", "car"), ("animal", "dog"), ("animal", "cat"), ("dog", "poodle"), ("dog", "beagle"),
    ("cat", "tabby"), ("pet", "poodle"), ("thing", "pet"), ("pet", "tabby"),
])  # fmt: skip
KEYS = ["poodle", "beagle", "tabby", "car"]


def test_costs_by_hand() -> None:
    """A poodle and a tabby meet in `pet`, of height 1, lower than `animal`, of height 2."""
    assert ANIMALS.heights() == {
        "thing": 3, "animal": 2, "dog": 1, "cat": 1, "pet": 1, "poodle": 0, "beagle": 0, "tabby": 0, "car": 0,
    }  # fmt: skip
    expected = [[0, 1, 1, 3], [1, 0, 2, 3], [1, 2, 0, 3], [3, 3, 3, 0]]
    assert ANIMALS.costs(KEYS).tolist() == expected


def slow_cost(tree: Hierarchy, a: str, b: str) -> int:
    """Literally: the least height over all common ancestors, 0 for the same class."""
    heights = tree.heights()
    return 0 if a == b else min(heights[node] for node in tree.ancestors(a) & tree.ancestors(b))


def test_costs_of_random_trees_are_those_of_a_slow_walk() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        edges = [(str(int(torch.randint(node, (), generator=generator))), str(node)) for node in range(1, 40)]
        edges += [(str(node // 3), str(node)) for node in range(3, 40, 5)]  # second parents
        tree = Hierarchy.of(edges)
        keys = [node for node, height in tree.heights().items() if height == 0]
        costs = tree.costs(keys)
        assert torch.equal(costs, costs.T)
        for row, a in enumerate(keys):
            assert costs[row].tolist() == [slow_cost(tree, a, b) for b in keys]


def test_keys_of_nested_folders_are_a_tree() -> None:
    tree = Hierarchy.of_keys(["animal/dog", "animal/cat", "car"])
    assert tree.costs(["animal/dog", "animal/cat", "car"]).tolist() == [[0, 1, 2], [1, 0, 2], [2, 2, 0]]


def test_the_lowest_of_all_common_ancestors_is_found() -> None:
    tree = Hierarchy.of([("root", "pet"), ("root", "wild"), ("pet", "dog"), ("wild", "dog"), ("wild", "wolf"),
                         ("root", "deep"), ("deep", "deeper"), ("deeper", "dog"), ("deeper", "wolf")])  # fmt: skip
    assert tree.lowest_common_ancestor("dog", "wolf") == "deeper"  # of height 1 as wild is, and before it by name
    assert tree.lowest_common_ancestor("pet", "dog") == "pet"
    assert tree.lowest_common_ancestor("pet", "wolf") == "root"
    with pytest.raises(BadData, match="none above both wolf and moon; add one"):
        tree.lowest_common_ancestor("wolf", "moon")


def test_files_by_tabs_commas_and_spaces(tmp_path: Path) -> None:
    for text in ("a b\na c\n", "a\tb\na\tc\n\n", "a, b\na,c"):
        (tmp_path / "tree.txt").write_text(text)
        assert read_hierarchy(tmp_path / "tree.txt").costs(["b", "c"]).tolist() == [[0, 1], [1, 0]]
    (tmp_path / "tree.txt").write_text("great dane\tdog\nx\n")
    with pytest.raises(BadData, match=r"tree\.txt, line 2: expected a parent and a child, found 'x'; mend it"):
        read_hierarchy(tmp_path / "tree.txt")
    with pytest.raises(BadData, match=r"none\.txt: could not be read"):
        read_hierarchy(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ([("a", "b"), ("b", "a")], "expected a tree, found (a above b, and b above a|b above a, and a above b); take"),
        ([("a", "a")], "expected a tree, found a above a, and a above a; take one of these pairs out"),
        (
            [(str(node), str((node + 1) % 50)) for node in range(50)],
            r"^hierarchy: expected a tree, found \d+ above \d+, and \d+ above \d+ by way of 48 more; take one of these",
        ),
        ([], "expected pairs of a parent and a child, found none"),
    ],
)
def test_what_is_no_tree_is_refused(edges: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(BadData, match=said):
        Hierarchy.of(edges)


def test_classes_that_are_not_in_it_or_have_no_root_are_named() -> None:
    with pytest.raises(BadData, match="expected all 5 classes in it, found no w, x and y and 1 more"):
        ANIMALS.costs(["w", "x", "y", "z", "car"])
    with pytest.raises(BadData, match="found none above both b and d; add one"):
        Hierarchy.of([("a", "b"), ("c", "d")]).costs(["b", "d"])


def test_columns_that_are_swapped_are_told_from_a_missing_root(tmp_path: Path) -> None:
    file = tmp_path / "tree.txt"
    file.write_text("dog,animal\ncat,animal\nanimal,thing\n")
    said = "expected a parent and then its child, found nothing above dog or any other class, as if the columns were "
    with pytest.raises(BadData, match=rf"^{file}: {said}swapped; swap them$"):
        read_hierarchy(file).costs(["dog", "cat"])
    file.write_text("animal,dog\nthing,cat\n")
    with pytest.raises(BadData, match=rf"^{file}: expected one root, found none above both dog and cat; add one"):
        read_hierarchy(file).costs(["dog", "cat"])
    with pytest.raises(BadData, match=rf"^{file}: expected one root, found none above both dog and cat; add one"):
        read_hierarchy(file).lowest_common_ancestor("dog", "cat")
    with pytest.raises(BadData, match=rf"^{file}: expected all 2 classes in it, found no emu; give the tree of these"):
        read_hierarchy(file).costs(["dog", "emu"])


def test_comments_and_the_names_of_columns_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tree.csv"
    file.write_text("# mine, made by hand\nParent,Child\nanimal,dog\n  # more\nanimal,cat\nparent,animal\n")
    with caplog.at_level("INFO", logger="topfive"):
        tree = read_hierarchy(file)
    assert tree.parents == {"dog": ("animal",), "cat": ("animal",), "animal": ("parent",)}
    assert caplog.messages == [f"{file}: line 2 names the columns and is passed over"]
    file.write_text("child,parent\ndog,animal\n")
    with pytest.raises(
        BadData, match=r"tree\.csv, line 1: expected a parent and then its child, found 'child,parent'; sw"
    ):
        read_hierarchy(file)


def test_a_tree_that_is_not_there_is_misuse() -> None:
    with pytest.raises(
        Misused, match=r"^nowhere\.txt: expected a text file .* development kit or the word folders, found"
    ):
        open_hierarchy("nowhere.txt", ["dog", "cat"])


def test_figures_by_hand() -> None:
    costs = ANIMALS.costs(KEYS)
    scores = torch.tensor([[0.7, 0.2, 0.1, 0.0], [0.1, 0.2, 0.6, 0.1], [0.0, 0.1, 0.2, 0.7]])
    labels = torch.tensor([0, 1, 2])
    # best two answers: poodle, beagle for a poodle; tabby, beagle for a beagle; car, tabby for a tabby
    assert guesses(scores, labels, costs, 2).tolist() == [[0, 1], [2, 0], [3, 0]]
    assert hierarchical_cost(scores, labels, costs, 2) == 0
    assert hierarchical_cost(scores, labels, costs, 1) == pytest.approx(5 / 3)
    assert hierarchical_distance(scores, labels, costs, 2) == pytest.approx(1)
    assert mistake_severity(scores, labels, costs) == pytest.approx(2.5)
    assert mistake_severity(scores[:1], labels[:1], costs) is None
    with pytest.raises(BadShape, match="expected k from 1 to the 4 classes, got 5"):
        hierarchical_distance(scores, labels, costs, 5)
    with pytest.raises(BadShape, match="not defined for 4 answers of 4 classes; give a smaller k"):
        hierarchical_cost(scores, labels, costs, 4)


def test_ties_and_broken_images_count_against_the_label() -> None:
    costs = ANIMALS.costs(KEYS)
    labels = torch.tensor([0, 0])
    scores = torch.stack([torch.zeros(4), torch.full((4,), float("nan"))])
    assert guesses(scores, labels, costs, 4).tolist() == [[3, 1, 1, 0]] * 2


def test_with_costs_of_one_the_cost_is_the_error() -> None:
    generator = torch.Generator().manual_seed(1)
    scores, labels = torch.rand(200, 9, generator=generator), torch.arange(200) % 9
    flat = 1 - torch.eye(9)
    for k in (1, 5):
        assert hierarchical_cost(scores, labels, flat, k) == pytest.approx(top_k_error(scores, labels, k))


def test_the_least_costly_answer_may_be_a_safe_one() -> None:
    """Two dogs at 0.3 each beat a car at 0.4."""
    probabilities = torch.tensor([[0.3, 0.3, 0.0, 0.4]])
    costs = ANIMALS.costs(KEYS)
    assert probabilities.argmax(1).item() == 3
    expected = [sum(p * cost for p, cost in zip(probabilities[0], row, strict=True)) for row in costs]
    found = least_costly(probabilities, costs)
    torch.testing.assert_close(found[0], -torch.tensor(expected))
    assert found.argmax(1).item() in (0, 1)
    assert least_costly(probabilities.double(), costs).dtype == torch.float64  # as saved scores give them


def test_the_figures_of_a_report_are_those_of_the_functions_with_intervals() -> None:
    keys = [f"{group}/{number}" for group in "abc" for number in range(3)]
    generator = torch.Generator().manual_seed(2)
    scores, labels = torch.randn(90, 9, generator=generator).double(), torch.arange(90) % 9
    scores += torch.arange(9)[None] // 3 == labels[:, None] // 3  # the group is easier than the class
    scores[4] = torch.nan
    costs = open_hierarchy("folders", keys).costs(keys)
    found = judge_mistakes(scores, scores.softmax(1), labels, costs, torch.ones(len(labels), dtype=torch.bool))
    assert found["hierarchical_cost"]["mean"] == pytest.approx(hierarchical_cost(scores, labels, costs))
    for k in (1, 5):
        assert found[f"distance_{k}"]["mean"] == pytest.approx(hierarchical_distance(scores, labels, costs, k))
    wrong = round(90 * top_k_error(scores, labels, 1))
    assert found["mistake_severity"]["mean"] == pytest.approx(mistake_severity(scores, labels, costs))
    assert (found["mistake_severity"]["images"], found["distance_1"]["images"]) == (wrong, 90)
    for one in (found["hierarchical_cost"], found["mistake_severity"], found["distance_1"], found["distance_5"]):
        assert one["interval"][0] < one["mean"] < one["interval"][1]
    careful = least_costly(scores.softmax(1), costs)
    assert found["least_cost"]["top1_error"] == pytest.approx(top_k_error(careful, labels, 1))
    assert found["least_cost"]["distance_1"]["mean"] == pytest.approx(hierarchical_distance(careful, labels, costs, 1))
    assert found["least_cost"]["distance_1"]["mean"] < found["distance_1"]["mean"]
    half = torch.arange(90) % 2 == 0
    unfitted = judge_mistakes(scores, scores.softmax(1), labels, costs, half)
    assert unfitted["least_cost"]["images"] == 45
    assert unfitted["least_cost"]["top1_error"] == pytest.approx(top_k_error(careful[half], labels[half], 1))
    assert judge_mistakes(scores, scores.softmax(1), labels, costs, half & ~half)["least_cost"] is None


def test_five_answers_of_five_classes_or_fewer_have_no_cost() -> None:
    """Law 6: one of them is always right."""
    keys = [f"{group}/{number}" for group in "ab" for number in range(2)]
    scores = 9 * torch.eye(4)
    found = judge_mistakes(
        scores,
        scores.softmax(1),
        torch.arange(4),
        open_hierarchy("folders", keys).costs(keys),
        torch.tensor([True] * 4),
    )
    assert (found["hierarchical_cost"], found["distance_5"], found["mistake_severity"]) == (None, None, None)
    assert found["distance_1"]["mean"] == 0


def test_folders_side_by_side_are_no_tree() -> None:
    with pytest.raises(Misused, match="--tree folders: expected nested class folders such as animal/dog, found dog"):
        open_hierarchy("folders", ["dog", "cat"])


def test_real_mistakes_in_the_real_tree(real_data: Callable[[str], Path]) -> None:
    """50,000 answers of a real network: 72.73 % right, and wrong ones much nearer than any other class is."""
    folder = real_data("imagenet-meta")
    keys = [line.split()[0] for line in (folder / "synsets.txt").read_text().splitlines()]
    costs = read_hierarchy(folder / "imagenet_isa.txt").costs(keys)
    truth, answers = (
        torch.tensor([int(line) for line in (folder / f"ilsvrc2012_val_{name}.txt").read_text().split()])
        for name in ("ground_truth", "model_predictions")
    )
    cost = costs[truth, answers]
    assert round(100 * float((cost == 0).double().mean()), 2) == 72.73
    any_other = float(costs.sum() / (1000 * 999))
    assert float(cost[cost > 0].mean()) < 0.7 * any_other


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    file = tmp_path / "tree.txt"
    file.write_text("animal dog\nanimal cat\n", encoding="utf-8-sig")
    assert read_hierarchy(file).costs(["dog", "cat"]).tolist() == [[0, 1], [1, 0]]
