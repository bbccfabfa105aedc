"""How bad a wrong answer is: a tree above the classes, and the Challenge's hierarchical cost of 2010.

The cost of an answer is the height of the lowest node that stands above both it and the label: 0 for the label itself,
1 for its sibling among leaves (Deng, Berg, Li, Fei-Fei 2010, ECCV 2010, sec. 6). A node's height is its longest way
down to a leaf: in the tree that is given, or, where the Challenge's development kit says them, in all WordNet. Where a
node has several parents, the lowest of all common ancestors counts.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from topfive.data.devkit import read_devkit
from topfive.errors import BadData, BadShape, Misused, listed
from topfive.evaluation.intervals import bootstrap, wilson
from topfive.metrics import label_ranks

log = logging.getLogger("topfive")

FOLDERS = "folders"  # the word for the tree that nested class folders are

AT_ONCE = 4096  # images whose answers are ordered together
NAMED = 3  # missing classes named in an error
TARS = (".tar", ".tgz", ".gz")  # of development kits; a tree is text
HEADERS = {("parent", "child"), ("child", "parent")}


@dataclass(frozen=True)
class Hierarchy:
    """parents: of every node that has any. The nodes that are no parent are the leaves. known: heights that were given
    with the tree, of every node, or none. where: what its messages begin with."""

    parents: Mapping[str, tuple[str, ...]]
    known: Mapping[str, int] = field(default_factory=dict)
    where: str = "hierarchy"

    @classmethod
    def of(
        cls, edges: Iterable[tuple[str, str]], where: str = "hierarchy", heights: Mapping[str, int] | None = None
    ) -> Self:
        """From pairs of a parent and a child. heights: of every node, where they are not those of this tree.

        Raises BadData where a node stands above itself, there is no edge, or heights lack a node or are below 1 for a
        parent, whose children could not be told apart.
        """
        parents: dict[str, tuple[str, ...]] = {}
        for parent, child in edges:
            if parent not in parents.get(child, ()):
                parents[child] = (*parents.get(child, ()), parent)
        if not parents:
            raise BadData(f"{where}: expected pairs of a parent and a child, found none; give at least one")
        try:
            tuple(TopologicalSorter(parents).static_order())
        except CycleError as error:
            above, below, *back = error.args[1]  # a ring: the last is the first again
            by_way = f" by way of {len(back) - 1} more" if len(back) > 1 else ""
            raise BadData(
                f"{where}: expected a tree, found {above} above {below}, and {below} above {above}{by_way}; take one "
                "of these pairs out"
            ) from None
        known = heights or {}
        for child, some in parents.items() if known else ():
            least = {child: 0, **dict.fromkeys(some, 1)}
            if odd := next((node for node, low in least.items() if known.get(node, -1) < low), None):
                raise BadData(
                    f"{where}: expected heights from 0, above children from 1, found {known.get(odd)} for {odd}; get "
                    "it again"
                )
        return cls(parents, known, where)

    @classmethod
    def of_keys(cls, keys: Sequence[str]) -> Self:
        """From class keys such as `animal/dog`, as nested class folders have them; all stand below one root."""
        edges: list[tuple[str, str]] = []
        for key in keys:
            parts = ["", *key.split("/")]
            nodes = ["/".join(parts[1 : end + 1]) for end in range(len(parts))]
            edges += pairwise(nodes)
        return cls.of(edges)

    def heights(self) -> dict[str, int]:
        """The longest way from each node down to a leaf: what was given with the tree, else what it is in the tree."""
        if self.known:
            return dict(self.known)
        heights: dict[str, int] = {}
        for node in reversed(tuple(TopologicalSorter(self.parents).static_order())):  # children before parents
            heights.setdefault(node, 0)
            for parent in self.parents.get(node, ()):
                heights[parent] = max(heights.get(parent, 0), heights[node] + 1)
        return heights

    def ancestors(self, node: str) -> set[str]:
        """The nodes above a node, and itself."""
        found, left = {node}, [node]
        while left:
            for parent in self.parents.get(left.pop(), ()):
                if parent not in found:
                    found.add(parent)
                    left.append(parent)
        return found

    def lowest_common_ancestor(self, a: str, b: str) -> str:
        """The lowest node that stands above both, or is one of them; of several the first by name.

        Raises BadData where there is none.
        """
        common = self.ancestors(a) & self.ancestors(b)
        if not common:
            raise BadData(f"{self.where}: expected one root, found none above both {a} and {b}; add one")
        heights = self.heights()
        return min(common, key=lambda node: (heights.get(node, 0), node))

    def costs(self, keys: Sequence[str]) -> Tensor:
        """The cost of each answer for each label: (classes, classes) float32, symmetric, zeros on the diagonal.

        Raises BadData where a class is not in the tree or two have no common ancestor.
        """
        heights = self.heights()
        if missing := [key for key in keys if key not in heights]:
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            raise BadData(
                f"{self.where}: expected all {len(keys)} classes in it, found no {listed(missing[:NAMED])}{more}; "
                "give the tree of these images"
            )
        below: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            for node in self.ancestors(key):
                below.setdefault(node, []).append(place)
        costs = torch.full((len(keys), len(keys)), float("inf"))
        for node in sorted(below, key=heights.__getitem__, reverse=True):  # the lowest is written last
            rows = torch.tensor(below[node])
            costs[rows[:, None], rows] = float(heights[node])
        costs.fill_diagonal_(0)
        if costs.isinf().any():
            if not any(key in self.parents for key in keys):
                raise BadData(
                    f"{self.where}: expected a parent and then its child, found nothing above {keys[0]} or any other "
                    "class, as if the columns were swapped; swap them"
                )
            one, other = (keys[place] for place in costs.isinf().nonzero()[0].tolist())
            raise BadData(f"{self.where}: expected one root, found none above both {one} and {other}; add one")
        return costs


def read_hierarchy(path: Path) -> Hierarchy:
    """The tree in a text file: a parent and a child a line, apart by a tab, a comma or spaces (WordNet's is-a files).

    Empty lines and those that begin with # are passed over, and so is a first line `parent,child`, which is said.
    Raises BadData where the file cannot be read or a line holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(
            f"{path}: could not be read ({error}); give a text file with a parent and a child a line"
        ) from error
    edges: list[tuple[str, str]] = []
    named = False
    for number, line in enumerate(lines, 1):
        mark = next((one for one in "\t," if one in line), None)
        parts = [part.strip() for part in line.split(mark)]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(parts) != 2 or not all(parts):
            raise BadData(f"{path}, line {number}: expected a parent and a child, found {line.strip()!r}; mend it")
        pair = (parts[0], parts[1])
        if not edges and not named and (columns := (pair[0].lower(), pair[1].lower())) in HEADERS:
            if columns[0] != "parent":
                raise BadData(
                    f"{path}, line {number}: expected a parent and then its child, found {line.strip()!r}; swap "
                    "the columns"
                )
            named = True
            log.info("%s: line %d names the columns and is passed over", path, number)
            continue
        edges.append(pair)
    return Hierarchy.of(edges, where=str(path))


def open_hierarchy(tree: str, keys: Sequence[str]) -> Hierarchy:
    """The tree that `--tree` names: a text file, a development kit or its tar, or FOLDERS for nested class folders.

    A kit's heights are those of all WordNet. keys: of the classes. Raises Misused where there is no such file, and
    where the folders are not nested: all mistakes would be alike.
    """
    path = Path(tree)
    if tree != FOLDERS and not path.exists():
        raise Misused(
            f"{tree}: expected a text file with a parent and a child a line, a development kit or the word {FOLDERS}, "
            "found nothing there; check it"
        )
    if tree != FOLDERS and (path.is_dir() or path.suffix.lower() in TARS):
        kit = read_devkit(path)
        if not kit.edges:
            raise BadData(
                f"{tree}: expected a tree above the classes, found none, as in the kit of 2015; give an earlier"
            )
        return Hierarchy.of(kit.edges, where=tree, heights=kit.heights)
    if tree != FOLDERS:
        return read_hierarchy(path)
    if not any("/" in key for key in keys):
        raise Misused(
            f"--tree {FOLDERS}: expected nested class folders such as animal/dog, found {keys[0]} and others side by "
            "side; give a text file with a parent and a child a line"
        )
    return Hierarchy.of_keys(keys)


def guesses(scores: Tensor, labels: Tensor, costs: Tensor, k: int) -> Tensor:
    """The costs of the k best answers of each image, best first: (N, classes), (N,), (classes, classes) -> (N, k).

    Ties and NaN count against the label: of answers with one score the dearest comes first, and an image without
    scores answers with the dearest classes.
    """
    if not 1 <= k <= scores.shape[1]:
        raise BadShape(f"hierarchy: expected k from 1 to the {scores.shape[1]} classes, got {k}")
    order = costs.argsort(dim=1, descending=True, stable=True)  # once for each class
    found = []
    for part, own in zip(torch.split(scores, AT_ONCE), torch.split(labels, AT_ONCE), strict=True):
        dearest = order[own]
        ranked = part.nan_to_num(nan=float("-inf")).gather(1, dearest)
        best = dearest.gather(1, ranked.argsort(dim=1, descending=True, stable=True)[:, :k])
        found.append(costs[own].gather(1, best))
    return torch.cat(found)


def hierarchical_cost(scores: Tensor, labels: Tensor, costs: Tensor, k: int = 5) -> float:
    """The Challenge's of 2010: the mean over images of the least cost of k answers.

    The Challenge's heights are those of all WordNet; a smaller tree gives other figures. Not defined for as many
    answers as classes, of which one is always right (law 6): raises BadShape.
    """
    if k >= scores.shape[1] > 1:
        raise BadShape(f"hierarchical_cost: not defined for {k} answers of {scores.shape[1]} classes; give a smaller k")
    return float(guesses(scores, labels, costs, k).amin(1).double().mean())


def hierarchical_distance(scores: Tensor, labels: Tensor, costs: Tensor, k: int = 5) -> float:
    """The mean cost of the k best answers, right ones included. Bertinetto et al. 2020, arXiv:1912.09393, sec. 4.1."""
    return float(guesses(scores, labels, costs, k).double().mean())


def mistake_severity(scores: Tensor, labels: Tensor, costs: Tensor) -> float | None:
    """The mean cost of the wrong top-1 answers, or None where none is wrong.

    To be read beside the error: many slight mistakes more make it smaller. Bertinetto et al. 2020, sec. 4.1.
    """
    cost = guesses(scores, labels, costs, 1)[:, 0].double()
    return float(cost[cost > 0].mean()) if (cost > 0).any() else None


def least_costly(probabilities: Tensor, costs: Tensor) -> Tensor:
    """Scores by which the answer of least expected cost is best: (N, classes) -> (N, classes), at most 0.

    Karthik, Prabhu, Dokania, Gandhi 2021, ICLR 2021 (arXiv:2104.00795), eq. 1.
    """
    return -(probabilities @ costs.to(probabilities))


def judge_mistakes(
    scores: Tensor, probabilities: Tensor, labels: Tensor, costs: Tensor, unfitted: Tensor
) -> dict[str, Any]:  # fmt: skip
    """The figures of a report by a tree, as JSON: each a mean over images with its interval and their number.

    Those of five answers are None where five or fewer classes make them undefined (law 6), severity where no answer is
    wrong. least_cost: those of the answers by `least_costly`, which the temperature changes, on the images that did not
    fit it (law 10); None where there are none. scores, probabilities: (N, classes), NaN for an image that could not be
    decoded. unfitted: (N,) bool.
    """
    five = guesses(scores, labels, costs, min(5, scores.shape[1])).double()
    defined = scores.shape[1] > 5
    return {
        "hierarchical_cost": _mean(five.amin(1)) if defined else None,
        "distance_5": _mean(five.mean(1)) if defined else None,
        **_first_answers(five[:, 0]),
        "least_cost": _careful(probabilities[unfitted], labels[unfitted], costs) if unfitted.any() else None,
    }


def _careful(probabilities: Tensor, labels: Tensor, costs: Tensor) -> dict[str, Any]:
    answers = least_costly(probabilities, costs)
    wrong = int((label_ranks(answers, labels) > 0).sum())
    return {
        "images": len(labels),
        "top1_error": wrong / len(labels),
        "top1_interval": wilson(wrong, len(labels)),
        **_first_answers(guesses(answers, labels, costs, 1)[:, 0].double()),
    }


def _first_answers(cost: Tensor) -> dict[str, Any]:
    return {"distance_1": _mean(cost), "mistake_severity": _mean(cost[cost > 0]) if (cost > 0).any() else None}


def _mean(values: Tensor) -> dict[str, Any]:
    return {"mean": float(values.mean()), "interval": bootstrap(values), "images": len(values)}
