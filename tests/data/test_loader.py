"""Batches: the same for any number of workers, from files and from memory, from the middle of an epoch, and N of N."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from topfive.data import loader as loader_module
from topfive.data.augment import BOX, DRAWS, MIRROR, ORDER, Augmentation, colour_shift
from topfive.data.decode import decode
from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry
from topfive.data.imageset import Split, subset
from topfive.data.loader import Batch, TrainingLoader, central_crops
from topfive.errors import BadData, BadRecipe

GEOMETRY = Geometry(20, 16)
KINDS = {
    "none": Augmentation("none", mirror=True),
    "pad_crop": Augmentation("pad_crop", padding=3, mirror=True),
    "random_crop": Augmentation("random_crop", mirror=True),
    "resized_crop": Augmentation("resized_crop", mirror=True),
    "scale_jitter": Augmentation("scale_jitter", short=(18, 26), mirror=True),
}
BROKEN = (3, 11, 18)


def noise(height: int, width: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def folder(root: Path, count: int = 23, ending: str = "jpg", broken: tuple[int, ...] = (), flat: bool = False) -> Split:
    """`count` images of many shapes (of one, if flat), those in `broken` cut short or no images at all."""
    paths = []
    for index in range(count):
        shape = (24, 28) if flat else (17 + 5 * index % 19, 16 + 7 * index % 23)
        path = root / f"{index:02d}.{ending}"
        noise(*shape, seed=index).save(path)
        if index in broken:
            path.write_bytes(path.read_bytes()[:-150] if index % 2 else b"no image")
        paths.append(path)
    return Split(tuple(path.name for path in paths), torch.arange(count) % 5, paths=tuple(paths))


def in_memory(split: Split) -> Split:
    assert split.paths is not None
    return Split(split.ids, split.labels, pixels=torch.stack([decode(path) for path in split.paths]))


def trainer(split: Split, kind: str = "resized_crop", **options: object) -> TrainingLoader:
    return TrainingLoader(split, **{"geometry": GEOMETRY, "augmentation": KINDS[kind], "batch_size": 5} | options)


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        x.rows == y.rows and torch.equal(x.labels, y.labels) and torch.equal(x.images, y.images)
        for x, y in zip(a, b, strict=True)
    )


def by_id(split: Split, batches: list[Batch]) -> dict[str, list]:
    return {
        split.ids[row]: image.tolist() for batch in batches for row, image in zip(batch.rows, batch.images, strict=True)
    }


# Training


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_the_same_to_the_bit_for_any_number_of_workers(tmp_path: Path, kind: str) -> None:
    split = folder(tmp_path, broken=BROKEN)
    one = list(trainer(split, kind, workers=1).epoch(4))
    assert same(one, list(trainer(split, kind, workers=4).epoch(4)))
    assert len(one) == 4
    assert one[0].images.shape[1:] == (3, 16, 16)
    assert 0 <= min(batch.images.min() for batch in one) < max(batch.images.max() for batch in one) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_begun_in_the_middle_is_the_tail_of_the_whole(tmp_path: Path, kind: str) -> None:
    split = folder(tmp_path, broken=BROKEN)
    whole = list(trainer(split, kind).epoch(2))
    for first in (0, 1, 3, 4):
        assert same(list(trainer(split, kind).epoch(2, first)), whole[first:])
    used = trainer(split, kind)
    list(used.epoch(7))  # with images kept and broken ones known
    assert same(list(used.epoch(2, 1)), whole[1:])


def test_images_that_do_not_fit_into_memory_are_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = folder(tmp_path, broken=BROKEN)
    kept = trainer(split)
    whole = [list(kept.epoch(epoch)) for epoch in (0, 1)]
    monkeypatch.setattr(loader_module, "MEMORY", 5_000)
    small = trainer(split)
    assert [same(list(small.epoch(epoch)), whole[epoch]) for epoch in (0, 1)] == [True, True]
    assert 0 < small.prepared.bytes_kept <= 5_000
    assert sum(image.nbytes for image in small.prepared.kept.values()) == small.prepared.bytes_kept
    assert len(kept.prepared.kept) == 20 > len(small.prepared.kept)


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_memory_give_the_same_batches(tmp_path: Path, kind: str) -> None:
    files = folder(tmp_path, ending="png", flat=True)
    memory = in_memory(files)
    loaders = trainer(files, kind), trainer(memory, kind)
    for epoch in (0, 1):
        assert same(*(list(loader.epoch(epoch)) for loader in loaders))


def test_an_epoch_shows_every_image_at_most_once_and_each_has_its_label(tmp_path: Path) -> None:
    split = folder(tmp_path)
    loader = trainer(split)
    seen = set()
    for epoch in range(8):
        batches = list(loader.epoch(epoch))
        rows = [row for batch in batches for row in batch.rows]
        assert len(rows) == len(set(rows)) == 20 == 5 * len(loader)
        assert all(batch.labels.tolist() == split.labels[batch.rows].tolist() for batch in batches)
        seen |= set(rows)
    assert seen == set(range(23))  # those left over in one epoch had their turn in another


def test_epochs_and_seeds_differ_in_order_and_in_crops(tmp_path: Path) -> None:
    split = folder(tmp_path, flat=True)
    first, again = list(trainer(split).epoch(0)), list(trainer(split).epoch(0))
    assert same(first, again)
    for other in (list(trainer(split).epoch(1)), list(trainer(split, seed=1).epoch(0))):
        assert [batch.rows for batch in other] != [batch.rows for batch in first]
        a, b = by_id(split, first), by_id(split, other)
        assert len(a.keys() & b.keys()) >= 17
        assert all(a[id_] != b[id_] for id_ in a.keys() & b.keys())


def test_what_is_seen_follows_from_ids_and_not_from_where_they_stand(tmp_path: Path) -> None:
    split = folder(tmp_path)
    shuffled = subset(split, np.random.default_rng(1).permutation(23).tolist())
    assert by_id(split, list(trainer(split).epoch(3))) == by_id(shuffled, list(trainer(shuffled).epoch(3)))


def test_boxes_mirrors_and_order_are_those_of_the_keyed_draws(tmp_path: Path) -> None:
    split = in_memory(folder(tmp_path, ending="png", flat=True))
    square = split.pixels[:, :, 2:22, 4:24]  # of 24 x 28 px; resizing is left out by asking for 20 of 24 px below
    split = replace(split, pixels=square)
    draws = uniform(9, 6, id_keys(split.ids), DRAWS)
    (batch,) = trainer(split, "random_crop", batch_size=23, seed=9).epoch(6)
    assert batch.rows == sorted(range(23), key=lambda row: draws[row, ORDER])
    for row, image in zip(batch.rows, batch.images, strict=True):
        across, down = (int(draw * 5) for draw in draws[row, BOX][:2])
        crop = square[row, :, down : down + 16, across : across + 16]
        assert torch.equal(image, (crop.flip(2) if draws[row, MIRROR] < 0.5 else crop) / 255)


def test_mirroring_happens_to_half_of_the_images_and_only_where_asked(tmp_path: Path) -> None:
    split = in_memory(folder(tmp_path, ending="png", flat=True))
    plain = by_id(split, list(trainer(split, augmentation=Augmentation("none"), batch_size=23).epoch(0)))
    mirrored, shown = trainer(split, "none", batch_size=23), []
    for epoch in range(100):
        for id_, image in by_id(split, list(mirrored.epoch(epoch))).items():
            flipped = torch.tensor(plain[id_]).flip(2).tolist()
            assert image in (plain[id_], flipped)
            shown.append(image == flipped)
    assert abs(np.mean(shown) - 0.5) < 3 * 0.5 / np.sqrt(len(shown))


def test_broken_images_are_skipped_and_listed_never_replaced(tmp_path: Path) -> None:
    split = folder(tmp_path, broken=BROKEN)
    loader = trainer(split, batch_size=23)
    assert loader.broken == []  # nothing has been asked for
    (batch,) = loader.epoch(0)
    assert sorted(batch.rows) == [row for row in range(23) if row not in BROKEN]
    assert len(batch.images) == len(batch.labels) == 20
    assert [image.id for image in loader.broken] == ["03.jpg", "11.jpg", "18.jpg"]
    assert ["truncated" in image.reason for image in loader.broken] == [True, True, False]
    assert "no known image format" in loader.broken[2].reason
    sound = [row for row in range(23) if row not in BROKEN]
    without = subset(split, sound)  # a broken image leaves every other as it would be without it
    assert by_id(split, [batch]) == by_id(without, list(trainer(without, batch_size=20).epoch(0)))


def test_in_place_of_a_batch_without_a_sound_image_comes_the_next(tmp_path: Path) -> None:
    split = folder(tmp_path, count=8, broken=(1, 4, 5))
    loader = trainer(split, batch_size=1)
    batches = list(loader.epoch(0))
    assert len(batches) == 8
    assert {row for batch in batches for row in batch.rows} == {0, 2, 3, 6, 7}
    (tmp_path / "sound").mkdir()
    order = [row for batch in trainer(folder(tmp_path / "sound", count=8), batch_size=1).epoch(0) for row in batch.rows]
    for step, batch in enumerate(batches):
        [row] = batch.rows
        following = [order[(step + shift) % 8] for shift in range(8)]
        assert row == next(one for one in following if one not in (1, 4, 5))
    later = list(trainer(split, batch_size=1).epoch(0, first_step=5))
    assert [batch.rows for batch in later] == [batch.rows for batch in batches[5:]]


def test_without_any_sound_image_training_stops(tmp_path: Path) -> None:
    split = folder(tmp_path, count=4, broken=(0, 1, 2, 3))
    with pytest.raises(BadData, match=r"no image of any batch could be decoded; first: .*00\.jpg: is not a read"):
        list(trainer(split, batch_size=4).epoch(0))


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(BadData, match="expected at least one image, got an empty split; add images"):
        trainer(Split((), torch.zeros(0, dtype=torch.long), paths=()))
    with pytest.raises(BadData, match="expected at least one image, got an empty split; add images"):
        trainer(Split((), torch.zeros(0, dtype=torch.long), pixels=torch.zeros(0, 3, 8, 8, dtype=torch.uint8)))


def test_a_batch_larger_than_the_split_is_the_split(tmp_path: Path) -> None:
    loader = trainer(folder(tmp_path, count=3), batch_size=64)
    assert len(loader) == 1
    assert [sorted(batch.rows) for batch in loader.epoch(0)] == [[0, 1, 2]]


def test_jitter_below_the_crop_is_refused_before_the_first_image(tmp_path: Path) -> None:
    short = Augmentation("scale_jitter", short=(15, 20))
    with pytest.raises(BadRecipe, match=r"augment\.short.*at least the crop of 16 px, got 15"):
        trainer(folder(tmp_path, count=1), augmentation=short)


@pytest.mark.parametrize("where", ["files", "memory"])
def test_colour_noise_is_added_to_each_image_by_its_own_draws(tmp_path: Path, where: str) -> None:
    split = folder(tmp_path, ending="png", flat=True, broken=BROKEN if where == "files" else ())
    split = split if where == "files" else in_memory(split)
    basis = torch.rand(3, 3, generator=torch.Generator().manual_seed(0))
    plain, noisy = trainer(split), trainer(split, colour_basis=basis)
    draws = uniform(0, 5, id_keys(split.ids), DRAWS)
    for a, b in zip(plain.epoch(5), noisy.epoch(5), strict=True):
        assert torch.equal(b.images, a.images + colour_shift(draws[a.rows], basis))
        assert (b.images - a.images).abs().amax((1, 2, 3)).min() > 0


def test_grey_images_in_memory_become_rgb() -> None:
    pixels = torch.arange(2 * 16 * 16).reshape(2, 1, 16, 16).to(torch.uint8)
    split = Split(("g#0", "g#1"), torch.tensor([0, 1]), pixels=pixels)
    (batch,) = trainer(split, augmentation=Augmentation(), geometry=Geometry(16, 16)).epoch(0)
    assert torch.equal(batch.images, pixels[batch.rows].expand(2, 3, 16, 16) / 255)


# Judging


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("workers", [1, 4])
def test_every_image_is_visited_once_in_order_and_broken_ones_are_named(
    tmp_path: Path, batch_size: int, workers: int
) -> None:
    split = folder(tmp_path, broken=BROKEN)
    rows, broken = [], []
    for batch, bad in central_crops(split, GEOMETRY, batch_size, workers):
        assert batch.images.shape == (len(batch.rows), 3, 16, 16)
        assert batch.labels.tolist() == split.labels[batch.rows].tolist()
        assert len(batch.rows) + len(bad) <= batch_size
        for row, image in zip(batch.rows, batch.images, strict=True):
            path = split.paths[row]
            crop = GEOMETRY.apply(np.asarray(Image.open(path)))
            assert (image.permute(1, 2, 0).numpy() == crop.astype(np.float32) / 255).all()
        rows += batch.rows
        broken += bad
    assert rows == [row for row in range(23) if row not in BROKEN]
    assert [image.id for image in broken] == ["03.jpg", "11.jpg", "18.jpg"]


@pytest.mark.parametrize("geometry", [Geometry(24, 24), Geometry(20, 16), Geometry(40, 24)])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_files_and_memory_are_judged_alike(tmp_path: Path, geometry: Geometry, batch_size: int) -> None:
    files = folder(tmp_path, ending="png", flat=True)
    memory = in_memory(files)
    squares = Split(files.ids, files.labels, pixels=memory.pixels[..., 2:26])  # 24 x 24: the central crop itself
    whole = [batch for batch, _ in central_crops(files, geometry, 64)]
    for split in (files, memory, *([squares] if geometry == Geometry(24, 24) else [])):
        batches, broken = zip(*central_crops(split, geometry, batch_size), strict=True)
        assert [row for batch in batches for row in batch.rows] == list(range(23))
        assert [len(batch.rows) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
        assert torch.equal(torch.cat([batch.images for batch in batches]), whole[0].images)
        assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in batches)
        assert not any(broken)


def test_a_split_whose_images_are_all_broken_is_still_counted(tmp_path: Path) -> None:
    split = folder(tmp_path, count=3, broken=(0, 1, 2))
    ((batch, broken),) = central_crops(split, GEOMETRY)
    assert (batch.rows, batch.images.shape, batch.labels.shape) == ([], (0, 3, 16, 16), (0,))
    assert [image.id for image in broken] == ["00.jpg", "01.jpg", "02.jpg"]


def test_an_empty_split_has_no_batches() -> None:
    assert list(central_crops(Split((), torch.zeros(0, dtype=torch.long), paths=()), GEOMETRY)) == []


def test_large_crops_come_in_smaller_batches() -> None:
    split = Split(tuple("abcdefghij"), torch.zeros(10).long(), pixels=torch.zeros(10, 3, 700, 700, dtype=torch.uint8))
    sizes = [len(batch.rows) for batch, _ in central_crops(split, Geometry(700, 700))]
    assert sizes == [4, 4, 2]


def test_a_failing_disk_ends_it_and_makes_no_image_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, loader = folder(tmp_path), trainer(folder(tmp_path))
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    plain = Path.read_bytes

    def fail_at_seven(path: Path) -> bytes:
        if path.name == "07.jpg":
            raise error
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", fail_at_seven)
    said = r"07\.jpg: could not be read \(Input/output error\), which lies with the machine"
    with pytest.raises(BadData, match=said):
        list(central_crops(split, GEOMETRY))
    with pytest.raises(BadData, match=said):
        [list(loader.epoch(epoch)) for epoch in range(8)]  # in one of which it has its turn
    assert loader.broken == []
