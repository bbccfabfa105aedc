"""Which images a person sees, and that no answer is lost."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from topfive.data import open_data
from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.errors import BadFile, Misused
from topfive.evaluation.report import judge
from topfive.evaluation.scores import load_scores
from topfive.serving.sitting import Sitting, choose


def images(counts: list[int]) -> ImageSet:
    """A set with so many test images of each class; each is of one colour, its row's number."""
    labels = torch.cat([torch.full((count,), index) for index, count in enumerate(counts)])
    pixels = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    split = Split(tuple(f"secret_{label}#{row}" for row, label in enumerate(labels.tolist())), labels, pixels=pixels)
    classes = tuple(ClassLabel(f"k{index}", f"class {index}") for index in range(len(counts)))
    return ImageSet("toy", "made", classes, {"test": split})


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_is_stratified_in_proportion(seed: int) -> None:
    data = images([60, 30, 20, 7, 3])
    rows = choose(data.split("test"), data.classes, 24, seed)
    assert len(set(rows)) == 24
    counts = Counter(data.split("test").labels[rows].tolist())
    for label, share in enumerate([12, 6, 4, 1.4, 0.6]):
        assert abs(counts[label] - share) < 1 + 1e-9
    assert rows != sorted(rows)


def test_each_image_is_chosen_equally_often() -> None:
    data = images([20, 5, 5])
    often = Counter(row for seed in range(400) for row in choose(data.split("test"), data.classes, 6, seed))
    assert {row: abs(often[row] - 80) < 40 for row in range(30)} == dict.fromkeys(range(30), True)  # 5 sigma


def test_the_seed_alone_chooses_and_more_than_all_are_all() -> None:
    data = images([10, 10])
    first, again, other = (choose(data.split("test"), data.classes, 8, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert sorted(choose(data.split("test"), data.classes, 99, 0)) == list(range(20))


def test_every_answer_is_kept_at_once_and_a_new_call_goes_on(tmp_path: Path) -> None:
    data, file = images([5] * 6), tmp_path / "person.safetensors"
    for done in range(4):  # a new process each time
        sitting = Sitting(data, 4, 0, file)
        shown = sitting.now()
        assert shown is not None
        assert (sitting.place, shown.place) == (done, done)
        truth = int(data.split("test").labels[sitting.rows[done]])
        sitting.answer(done, [truth] if done else [(truth + 1) % 6, truth])
        kept = load_scores(file)
        assert kept.ids == tuple(data.split("test").ids[row] for row in sitting.rows[: done + 1])
    assert Sitting(data, 4, 0, file).now() is None
    found = judge(load_scores(file)).document
    assert (found["evaluated"], found["top1_error"], found["top5_error"]) == (4, 0.25, 0.0)


def test_an_answer_that_cannot_be_kept_is_said_and_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sitting = Sitting(images([5] * 6), 4, 0, tmp_path / "full" / "person.safetensors")
    sitting.answer(0, [1])
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(BadFile, match="No space left on device"):
            sitting.answer(1, [2])
    assert sitting.place == 1
    assert len(load_scores(sitting.file).ids) == 1
    sitting.answer(1, [2])
    assert len(load_scores(sitting.file).ids) == 2


def test_an_answer_to_another_image_is_refused(tmp_path: Path) -> None:
    sitting = Sitting(images([5] * 6), 4, 0, tmp_path / "p")
    sitting.answer(0, [1])
    for place in (0, 2, -1):
        with pytest.raises(Misused, match="expected those for image 2, got image"):
            sitting.answer(place, [1])
    assert sitting.place == 1


def test_a_broken_image_is_not_shown_and_counts(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                pixels = np.full((5, 5, 3), 40 * index, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    broken = tmp_path / "data" / "val" / "dog" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    sitting = Sitting(open_data(tmp_path / "data"), 6, 3, tmp_path / "p")
    seen = 0
    while (shown := sitting.now()) is not None:
        sitting.answer(shown.place, [int(sitting.split.labels[sitting.rows[shown.place]])])
        seen += 1
    assert seen == 5
    assert sitting.scores is not None
    assert sorted(sitting.scores.ids) == sorted(sitting.split.ids)
    assert [image.id for image in sitting.scores.broken] == ["val/dog/1.png"]
    assert judge(sitting.scores).document["top1_error"] == pytest.approx(1 / 6)


def test_files_that_are_not_of_this_sitting_are_left_alone(tmp_path: Path) -> None:
    data, file = images([5] * 6), tmp_path / "p"
    file.write_text("my diary")
    with pytest.raises(Misused, match="is there already and holds no scores"):
        Sitting(data, 4, 0, file)
    assert file.read_text() == "my diary"
    file.unlink()
    Sitting(data, 4, 0, file).answer(0, [1])
    with pytest.raises(Misused, match="on other images than toy's"):
        Sitting(images([5] * 7), 4, 0, file)
    with pytest.raises(Misused, match="holds 1 answers to another choice of images; give its --images and --seed"):
        Sitting(data, 1, 2, file)


def test_a_place_that_cannot_be_written_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    data, done = images([5] * 6), tmp_path / "done"
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match=r"file/p: could not be written .*; free some space or choose another place"):
        Sitting(data, 1, 0, tmp_path / "file" / "p")
    Sitting(data, 1, 0, tmp_path / "new" / "p")
    assert not (tmp_path / "new").exists()
    begun = tmp_path / "begun"
    Sitting(data, 1, 0, done).answer(0, [1])
    Sitting(data, 2, 0, begun).answer(0, [1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "touch", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
        assert Sitting(data, 1, 0, done).now() is None  # nothing is left to be written
        with pytest.raises(BadFile, match="Read-only file system"):
            Sitting(data, 2, 0, begun)


def test_two_sittings_on_one_file_lose_no_answer(tmp_path: Path) -> None:
    data, file = images([10, 10]), tmp_path / "person.safetensors"
    one, other = (Sitting(data, 5, 0, file) for _ in range(2))
    one.answer(0, [0])
    with pytest.raises(Misused, match="holds answers that another sitting gave meanwhile; stop it, and call again"):
        other.answer(0, [1])
    one.answer(1, [0])
    assert len(load_scores(file).ids) == 2
