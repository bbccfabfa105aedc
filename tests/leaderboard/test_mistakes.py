"""Mistakes to look at, beside plain loops over the images: which are shown, in which order, with which answers."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from topfive.data import open_data
from topfive.data.imageset import Broken, ClassLabel, ImageSet, Split
from topfive.evaluation import Scores
from topfive.evaluation.intervals import wilson
from topfive.evaluation.report import judge
from topfive.leaderboard import mistakes
from topfive.leaderboard.mistakes import by_scale, confused_pairs, eras, find_mistakes, wrong_by_height

KEYS = ("animal/cat", "animal/dog", "thing/round/ball", "thing/round/plate", "thing/box", "thing/cup")
IMAGES = 30
TRUTH = [i % 6 for i in range(IMAGES)]
IDS = tuple(f"i{i}" for i in range(IMAGES))
BROKEN = 7  # the image that could not be decoded


def image_set(keys: tuple[str, ...] = KEYS) -> ImageSet:
    """Thirty grey pictures to judge."""
    pixels = torch.arange(IMAGES, dtype=torch.uint8)[:, None, None, None].expand(IMAGES, 1, 8, 8)
    split = Split(IDS, torch.tensor(TRUTH), pixels=pixels)
    return ImageSet("greys", "made up", tuple(ClassLabel(key, key.upper()) for key in keys), {"test": split})


def answers(rows: list[list[float]], order: list[int] | None = None) -> Scores:
    """Scores in the order of KEYS, or of a model file that has its classes in another `order`; BROKEN has none."""
    order = order or list(range(6))
    scores = torch.tensor(rows, dtype=torch.float32)[:, order]
    scores[BROKEN] = float("nan")
    labels = torch.tensor([order.index(label) for label in TRUTH])
    classes = tuple(ClassLabel(KEYS[place], KEYS[place].upper()) for place in order)
    return Scores("mlp", "test", scores[:, None], labels, IDS, classes, "logits", (Broken(IDS[BROKEN], "made up"),))


def drawn(seed: int, order: list[int] | None = None) -> Scores:
    """Whole numbers, so that many tie."""
    return answers(torch.randint(-2, 3, (IMAGES, 6), generator=torch.Generator().manual_seed(seed)).tolist(), order)


def row(name: str, year: int, scores: Scores) -> dict[str, Any]:
    """The row of an entry, as far as mistakes need it; figures in the order of KEYS."""
    document = judge(scores).document
    own = {label.key: place for place, label in enumerate(scores.classes)}
    confusion = [[document["confusion"][own[truth]][own[answer]] for answer in KEYS] for truth in KEYS]
    return {"entry": name, "year": year, "top1_error": document["top1_error"], "confusion": confusion}


def ranked(scored: dict[str, Scores], years: dict[str, int]) -> list[dict[str, Any]]:
    return sorted(
        (row(name, years[name], scores) for name, scores in scored.items()), key=lambda row: row["top1_error"]
    )


def slow(scores: Scores) -> list[tuple[bool, str | None, float]]:
    """Right, the answer or best rival, and its probability, image by image; the label loses ties."""
    found: list[tuple[bool, str | None, float]] = []
    for own, label in zip(scores.scores[:, 0].tolist(), scores.labels.tolist(), strict=True):
        if any(math.isnan(score) for score in own):
            found.append((False, None, 0.0))
            continue
        rival = max((place for place in range(6) if place != label), key=lambda place: own[place])
        whole = sum(math.exp(score) for score in own)
        found.append((own[label] > own[rival], scores.classes[rival].key, math.exp(own[rival]) / whole))
    return found


YEARS = {"old": 2005, "older": 1998, "new": 2015}


@pytest.mark.parametrize("seed", range(12))
def test_the_surest_are_those_of_a_plain_loop(seed: int) -> None:
    scores = drawn(seed)
    found = find_mistakes(image_set(), {"old": scores}, ranked({"old": scores}, YEARS))
    assert found is not None
    wrong = {IDS[place]: chance for place, (right, answer, chance) in enumerate(slow(scores)) if not right and answer}
    chances = [image["probability"] for image in found["surest"]]
    assert chances == pytest.approx(sorted(wrong.values(), reverse=True)[:12])
    assert len({image["id"] for image in found["surest"]} & set(wrong)) == len(chances)
    for image in found["surest"]:
        place = IDS.index(image["id"])
        assert image["label"] == KEYS[TRUTH[place]]
        assert image["probability"] == pytest.approx(slow(scores)[place][2])
        own = scores.scores[place, 0].tolist()
        assert own[KEYS.index(image["answer"])] == max(own)
        assert image["answer"] != image["label"]  # of a tie the other class was answered


@pytest.mark.parametrize("seed", range(12))
def test_eras_miss_what_a_plain_loop_says(seed: int) -> None:
    scored = {name: drawn(seed + place) for place, name in enumerate(YEARS)}
    board = ranked(scored, YEARS)
    found = find_mistakes(image_set(), scored, board)
    assert found is not None
    sides = found["eras"]
    errors = {one["entry"]: one["top1_error"] for one in board}
    assert (sides["old"]["era"], sides["new"]["era"]) == ("before 2012", "2012 and later")
    assert errors[sides["old"]["entry"]] == min(errors["old"], errors["older"])
    assert sides["new"] == {"era": "2012 and later", "entry": "new", "year": 2015}
    told = {name: slow(scores) for name, scores in scored.items()}
    old, new = told[sides["old"]["entry"]], told["new"]
    seen = [place for place in range(IMAGES) if place != BROKEN]
    expected = {
        "only_old_misses": [place for place in seen if not old[place][0] and new[place][0]],
        "only_new_misses": [place for place in seen if not new[place][0] and old[place][0]],
        "all_miss": [place for place in seen if not any(one[place][0] for one in told.values())],
    }
    for kind, places in expected.items():
        assert sides[kind]["count"] == len(places)
        assert sides[kind]["interval"] == wilson(len(places), IMAGES)
        assert len(sides[kind]["images"]) == min(len(places), 12)
        assert {image["id"] for image in sides[kind]["images"]} <= {IDS[place] for place in places}
    for kind, one in (("only_old_misses", old), ("only_new_misses", new)):
        chances = [image["probability"] for image in sides[kind]["images"]]
        assert chances == sorted(chances, reverse=True)
        assert chances == pytest.approx([one[IDS.index(image["id"])][2] for image in sides[kind]["images"]])


def sure_of(places: dict[int, tuple[int, float]]) -> Scores:
    """Right everywhere but at these images, each with its answer and the score of it."""
    rows = [[0.0] * 6 for _ in TRUTH]
    for place, label in enumerate(TRUTH):
        answer, score = places.get(place, (label, 9.0))
        rows[place][answer] = score
    return answers(rows)


def test_where_all_miss_those_of_most_votes_come_first() -> None:
    """Image 0 (cat): three say dog. 1 (dog): two say cat, surely. 2 (ball): two say box, hardly. 3: not missed by c."""
    scored = {
        "a": sure_of({0: (1, 1.0), 1: (0, 5.0), 2: (4, 1.0), 3: (0, 5.0)}),
        "b": sure_of({0: (1, 1.0), 1: (0, 5.0), 2: (4, 1.0), 3: (0, 5.0)}),
        "c": sure_of({0: (1, 1.0), 1: (2, 5.0), 2: (5, 9.0)}),
    }
    found = find_mistakes(image_set(), scored, ranked(scored, {"a": 1998, "b": 2005, "c": 2009}))
    assert found is not None
    told = [(one["id"], one["label"], one["answer"], one["votes"]) for one in found["eras"]["all_miss"]["images"]]
    assert told == [
        ("i0", "animal/cat", "animal/dog", 3),
        ("i1", "animal/dog", "animal/cat", 2),
        ("i2", "thing/round/ball", "thing/box", 2),
    ]
    assert found["eras"]["all_miss"]["count"] == 3  # not the broken image, which all miss too
    assert (found["eras"]["old"]["era"], found["eras"]["new"]["era"]) == ("1998", "2009")
    assert found["eras"]["only_old_misses"]["count"] == 1
    assert found["eras"]["entries"] == 3


@pytest.mark.parametrize(
    ("board", "old", "new"),
    [
        ([("hog", 2005, 0.4), ("lenet5", 1998, 0.3), ("vgg", 2014, 0.2), ("resnet", 2015, 0.1)], "lenet5", "resnet"),
        ([("cuda", 2012, 0.3), ("xrce", 2011, 0.3)], "xrce", "cuda"),
        ([("nin", 2013, 0.3), ("vgg", 2014, 0.1), ("b", 2015, 0.4), ("a", 2015, 0.2)], "nin", "a"),
        ([("first", 2005, 0.3), ("second", 2005, 0.3), ("later", 2009, 0.4)], "first", "later"),
    ],
)
def test_the_eras_part_at_2012_or_are_the_first_and_the_last_year(
    board: list[tuple[str, int, float]], old: str, new: str
) -> None:
    rows = [dict(zip(("entry", "year", "top1_error"), one, strict=True)) for one in board]
    found = eras(rows)
    assert found is not None
    assert (found[0]["entry"], found[1]["entry"]) == (old, new)


def test_of_one_year_there_are_no_eras_and_without_entries_no_mistakes() -> None:
    scored = {"a": drawn(0), "b": drawn(1)}
    found = find_mistakes(image_set(), scored, ranked(scored, {"a": 2015, "b": 2015}))
    assert found is not None
    assert found["eras"] is None
    assert find_mistakes(image_set(), {}, []) is None


def test_confused_pairs_have_their_place_in_the_tree_of_folders() -> None:
    """The root is of height 3: thing/round/ball lies that far below it."""
    confusion = [
        [1, 4, 0, 0, 0, 0],  # cats: 4 dogs
        [0, 5, 0, 0, 0, 0],
        [0, 0, 2, 1, 2, 0],  # balls: 1 plate, 2 boxes
        [3, 0, 0, 1, 0, 0],  # plates: 3 cats; of 4
        [0, 0, 0, 0, 5, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    pairs = confused_pairs(confusion, KEYS)
    assert [tuple(pair.values()) for pair in pairs] == [
        ("animal/cat", "animal/dog", 4, 5, "animal", 1),
        ("thing/round/plate", "animal/cat", 3, 4, "", 3),
        ("thing/round/ball", "thing/box", 2, 5, "thing", 2),
        ("thing/round/ball", "thing/round/plate", 1, 5, "thing/round", 1),
    ]
    assert wrong_by_height(confusion, KEYS) == [
        {"height": 1, "count": 5}, {"height": 2, "count": 2}, {"height": 3, "count": 3},
    ]  # fmt: skip


def test_classes_in_one_folder_have_no_tree() -> None:
    (pair,) = confused_pairs([[0, 1], [0, 1]], ["cat", "dog"])
    assert (pair["ancestor"], pair["height"]) == (None, None)
    assert wrong_by_height([[0, 1], [0, 1]], ["cat", "dog"]) is None


def test_a_model_with_its_classes_in_another_order_errs_alike() -> None:
    turned = [3, 0, 5, 1, 4, 2]
    rows = torch.randn(IMAGES, 6, generator=torch.Generator().manual_seed(3)).tolist()
    more = torch.randn(IMAGES, 6, generator=torch.Generator().manual_seed(4)).tolist()
    one = {"old": answers(rows), "new": answers(more)}
    other = {"old": answers(rows, turned), "new": answers(more)}
    ours = find_mistakes(image_set(), one, ranked(one, YEARS))
    theirs = find_mistakes(image_set(), other, ranked(other, YEARS))
    assert ours is not None and theirs is not None
    assert len(ours["surest"]) == 12
    assert _without_chances(ours) == _without_chances(theirs)


def _without_chances(found: Any) -> Any:
    """Sums of floating-point numbers in another order differ in their last digit."""
    if isinstance(found, dict):
        return {key: _without_chances(value) for key, value in found.items() if key != "probability"}
    return [_without_chances(one) for one in found] if isinstance(found, list) else found


def test_parts_of_the_images_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = {"old": drawn(5), "new": drawn(6)}
    whole = find_mistakes(image_set(), scored, ranked(scored, YEARS))
    monkeypatch.setattr(mistakes, "AT_ONCE", 4)
    assert find_mistakes(image_set(), scored, ranked(scored, YEARS)) == whole


def test_an_image_that_is_gone_by_now_is_left_out(tmp_path: Path) -> None:
    split = Split(IDS, torch.tensor(TRUTH), paths=tuple(tmp_path / f"{id_}.png" for id_ in IDS))
    data = ImageSet("gone", "made up", image_set().classes, {"test": split})
    scored = {"old": drawn(5), "new": drawn(6)}
    found = find_mistakes(data, scored, ranked(scored, YEARS))
    assert found is not None
    assert found["surest"] == found["eras"]["all_miss"]["images"] == []
    assert found["eras"]["all_miss"]["count"] > 0


def photos_with_boxes(folder: Path) -> tuple[ImageSet, list[float]]:
    """Twelve images of 20 x 10 px in two classes, each with one box of its first `width` columns; and the shares."""
    lines, shares = ["file,xmin,ymin,xmax,ymax"], []
    for place in range(12):
        id_ = f"val/{'ab'[place // 6]}/{place:02}.png"
        (folder / id_).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 10), place).save(folder / id_)
        lines.append(f"{id_},0,0,{place},9")
        shares.append((place + 1) / 20)
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return open_data(folder), shares


def test_errors_by_scale_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    data, shares = photos_with_boxes(tmp_path)
    split = data.split("val")
    right = [place % 3 != 0 for place in range(12)]
    scores = torch.zeros(12, 1, 2)
    scores[torch.arange(12), 0, split.labels ^ ~torch.tensor(right)] = 1.0
    found = by_scale(data, {"one": Scores("mlp", "val", scores, split.labels, split.ids, data.classes, "logits")})
    assert found is not None
    for one in found["one"]:
        inside = [ok for ok, share in zip(right, shares, strict=True) if one["from"] <= share < one["to"]]
        assert one["images"] == len(inside)
        if inside:
            assert one["top1_error"] == pytest.approx(1 - sum(inside) / len(inside))
            assert one["top1_interval"] == wilson(len(inside) - sum(inside), len(inside))
        else:
            assert (one["top1_error"], one["top1_interval"]) == (None, None)
    assert sum(one["images"] for one in found["one"]) == 12


def test_a_contest_without_boxes_or_with_broken_ones_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert by_scale(image_set(), {"one": drawn(0)}) is None
    data, _ = photos_with_boxes(tmp_path)
    (tmp_path / "boxes.csv").write_text("file,xmin\na,1\n")
    assert by_scale(data, {}) is None
    assert "no errors by the scale of objects" in caplog.text
