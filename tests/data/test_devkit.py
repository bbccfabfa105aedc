"""The tree of a development kit with its own heights, those of all WordNet: costs worked by hand on small kits."""

from pathlib import Path

import pytest
from challenge_files import ABOVE, KITS, kit, meta, tar, write

from topfive.data.devkit import read_devkit
from topfive.errors import BadData
from topfive.evaluation.hierarchy import Hierarchy, open_hierarchy

KEYS = ["n01000000", "n02000000", "n03000000"]
# 4 entity above 5 animal and class 1; 5 and 6 pet both above classes 2 and 3. In this tree both are of height 1.
TREE = {4: ("n00000004", "entity", [5, 6, 1]), 5: ABOVE[5], 6: ("n00000006", "pet", [2, 3])}
HEIGHTS = {4: 19, 5: 7, 6: 4, 1: 0, 2: 0, 3: 2}  # class 3 has leaves below it that are no classes
COSTS = [[0, 4, 19], [4, 0, 19], [19, 19, 0]]  # 2 is n01, 3 is n02, 1 is n03


@pytest.mark.parametrize("packed", [False, True])
def test_costs_are_the_least_height_in_wordnet_over_the_common_ancestors(tmp_path: Path, packed: bool) -> None:
    files = {"kit/data/meta.mat": meta(2012, heights=HEIGHTS, above=TREE)}
    path = write(tmp_path, {"kit.tgz": tar(files, "w:gz")} if packed else files) / ("kit.tgz" if packed else "kit")
    found = read_devkit(path)
    assert {one.number: one.height for one in found.synsets} == HEIGHTS
    assert found.heights["n00000006"] == 4
    tree = open_hierarchy(str(path), KEYS)
    assert tree.costs(KEYS).tolist() == COSTS
    assert tree.lowest_common_ancestor(*KEYS[:2]) == "n00000006"
    assert tree.costs(KEYS[::-1]).tolist() == [row[::-1] for row in COSTS[::-1]]  # any order of classes


def test_a_kit_without_heights_has_those_of_its_tree(tmp_path: Path) -> None:
    assert open_hierarchy(str(kit(tmp_path)), KEYS).costs(KEYS).tolist() == [[0, 1, 2], [1, 0, 2], [2, 2, 0]]


def test_a_kit_without_a_tree_and_folders_that_are_none_are_refused(tmp_path: Path) -> None:
    path = kit(tmp_path, 2015)
    with pytest.raises(
        BadData, match=rf"^{path}: expected a tree above the classes, found none, as in the kit of 2015"
    ):
        open_hierarchy(str(path), KEYS)
    with pytest.raises(BadData, match=rf"^{tmp_path}: expected a development kit with data/meta\.mat"):
        open_hierarchy(str(tmp_path), KEYS)
    with pytest.raises(BadData, match=rf"^{kit(tmp_path)}: expected all 2 classes in it, found no dog; give the tree"):
        open_hierarchy(str(kit(tmp_path)), ["dog", KEYS[0]]).costs(["dog", KEYS[0]])


def test_heights_that_would_make_mistakes_free_are_refused(tmp_path: Path) -> None:
    name, _ = KITS[2012]
    write(tmp_path, {f"{name}/data/meta.mat": meta(2012, heights=HEIGHTS | {5: 0}, above=TREE)})
    with pytest.raises(BadData, match=r"expected heights from 0, above children from 1, found 0 for n00000005; get it"):
        open_hierarchy(str(tmp_path / name), KEYS)
    with pytest.raises(BadData, match="found None for b; get it again"):
        Hierarchy.of([("a", "b")], heights={"a": 1})
