"""The Challenge's images as they are handed out: numbered images in one folder, tars, and labels in other files.

Labels come from a development kit (`devkit`), from the folder or tar of its class that an image lies in, or from a file
with a line an image (`label_files`). A numbered image has the label of its number, never of its place. Images are named
as they would be unpacked, `val/ILSVRC2012_val_00000001.JPEG` and `train/n01440764/n01440764_36.JPEG`, so that tars and
folders of the same images are one image set, with one manifest.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from topfive.data.challenge import Numbered, challenge_classes, challenge_numbers, numbered
from topfive.data.challenge_boxes import find_boxes, is_annotation
from topfive.data.decode import has_image_ending
from topfive.data.devkit import LASTING, SPLITS, TRUTH, Devkit, is_devkit, read_devkit, read_truth
from topfive.data.folders import SPLIT_FOLDERS, visible
from topfive.data.imageset import ClassLabel, ImageSet, Split
from topfive.data.label_files import is_label_file, read_label_file
from topfive.data.tars import Packed, members
from topfive.errors import BadData, listed

WNID = re.compile(r"n\d{8}$")
CLASS_TAR = re.compile(r"n\d{8}\.tar$")
PLACE = re.compile(r"ILSVRC\d{4}_(?:img|images)_(train|val|test)(?:_v\d+)?(?:\.tar)?$", re.IGNORECASE)
ORDER = ("train", "val", "test")
WANTED = "the development kit (ILSVRC2012_devkit_t12/ or its .tar.gz)"


@dataclass(frozen=True)
class Parts:
    """What of the Challenge's lies in a folder.

    places: split -> its folder or tar. spare: what lies there twice. boxes: what says where objects lie.
    """

    root: Path
    places: Mapping[str, Path]
    kits: list[Path]
    label_files: list[Path]
    spare: list[Path]
    boxes: Path | None


@dataclass(frozen=True, slots=True)
class Image:
    """wnid: of the folder or tar of a class that it lies in. year, number: of its name, 0 where it has none."""

    source: Path | Packed
    wnid: str | None
    year: int = 0
    number: int = 0


@dataclass(frozen=True)
class Truth:
    """The labels of numbered images. wnids: by number. said: where they come from. year: of the images, if known."""

    wnids: Mapping[int, str]
    said: str
    year: int | None


def parts_of(root: Path, folders: list[Path], files: list[Path]) -> Parts | None:
    """What of the Challenge's lies in a folder with these sub-folders and files; None for any other image set.

    Raises BadData where a split or the kit is there in two ways.
    """
    kits = [one for one in (*folders, *files, root) if is_devkit(one)]
    kits = [one for one in kits if one.is_dir()] or kits
    places: dict[str, Path] = {}
    spare: list[Path] = []
    for one in (*folders, *files):  # an unpacked folder before its tar
        split = _split_named(one) if one.is_dir() or one.suffix == ".tar" else None
        if split in places and one.is_dir():
            raise BadData(f"{root}: expected one {places[split].name}/, got {one.name}/ too; merge them or remove one")
        if split in places:
            spare.append(one)
        elif split:
            places[split] = one
    if not places:
        places = _flat(root, files)
    if not places or not (kits or any(_is_ours(place) for place in places.values())):
        return None
    if len(kits) > 1:
        raise BadData(
            f"{root}: expected one development kit, got {listed([kit.name for kit in kits])}; move the others elsewhere"
        )
    labels = [file for file in files if is_label_file(file.name) or TRUTH.match(file.name)]
    objects = find_boxes(root, folders, files, places.get("val"))
    return Parts(root, {split: places[split] for split in ORDER if split in places}, kits, labels, spare, objects)


def read_ilsvrc(parts: Parts) -> ImageSet:
    """The image set. Raises BadData where an image has no label or two, BadFile for a tar or kit that is not whole."""
    kit = read_devkit(parts.kits[0]) if parts.kits else None
    notes: list[str] = []
    splits: dict[str, dict[str, Image]] = {}
    truths: dict[str, Truth] = {}
    for split, place in parts.places.items():
        images, others = _images(split, place)
        if others:
            notes.append(f"passed over {others:,} file(s) in {place.name} that are not images by their ending")
        unsorted = any(image.wnid is None for image in images.values())
        if truth := _truth(parts, kit, split) if any(image.number for image in images.values()) else None:
            truths[split] = truth
        elif unsorted and split == "test" and len(parts.places) > 1:
            notes.append(f"passed over {place.name}, whose images have no labels here")
            continue
        elif unsorted:
            raise BadData(
                f"{place}: expected {WANTED} or a file of labels beside it, found neither; put one of them there"
            )
        splits[split] = images
    classes = _classes(kit, splits, truths)
    made = {split: _split(parts.places[split], classes, images, truths.get(split)) for split, images in splits.items()}
    for split, truth in truths.items():
        if len(made[split]) < len(truth.wnids):
            notes.append(
                f"{split}: {len(made[split]):,} of the {len(truth.wnids):,} images that have a label are here; the "
                "others are not judged"
            )
    if kit and kit.blacklist:
        notes.append(f"{len(kit.blacklist):,} validation images are blacklisted, which counts in localisation alone")
    if parts.boxes:
        notes.append(f"{parts.boxes.name}{'/' * parts.boxes.is_dir()} says where objects lie")
    if parts.spare:
        notes.append(f"passed over {listed([one.name for one in parts.spare])}, which lie here unpacked as well")
    known = challenge_numbers()
    numbers = kit.numbers if kit else known if {label.key for label in classes} == set(known) else {}
    return ImageSet(
        name=parts.root.name,
        layout=_layout(parts, kit, classes, made, truths),
        classes=classes,
        splits=made,
        notes=tuple(notes),
        numbers=numbers,
        boxes=parts.boxes,
        blacklist=_blacklist(kit, made) if kit else frozenset(),
        last={split: max(truth.wnids) for split, truth in truths.items()},
    )


def _blacklist(kit: Devkit, splits: Mapping[str, Split]) -> frozenset[str]:
    """The ids of the validation images that the kit has on its blacklist."""
    ids = splits["val"].ids if "val" in splits else ()
    return frozenset(id_ for id_ in ids if (image := numbered(id_)) and image.number in kit.blacklist)


def _layout(
    parts: Parts, kit: Devkit | None, classes: tuple[ClassLabel, ...], made: Mapping[str, Split],
    truths: Mapping[str, Truth],
) -> str:  # fmt: skip
    places = [place.name + "/" * place.is_dir() for split, place in parts.places.items() if split in made]
    said = "".join(f", labels of {split} by {truth.said}" for split, truth in truths.items())
    counts = " + ".join(f"{len(split):,}" for split in made.values())
    year = f"ILSVRC-{kit.year}" if kit and kit.year else "ILSVRC"
    return f"{year} with {listed(places)}{said}: {len(classes):,} classes, {counts} images"


def _split_named(place: Path) -> str | None:
    """The split that a folder or a tar is named after: val/, ILSVRC2012_img_val/ or ILSVRC2012_img_val.tar."""
    if match := PLACE.match(place.name):
        return match[1].lower()
    return SPLIT_FOLDERS.get(place.name.lower()) if place.is_dir() else None


def _image(name: str) -> Numbered | None:
    """The number of a validation or test image; the files of their boxes are named alike."""
    return numbered(name) if has_image_ending(name) else None


def _flat(root: Path, files: list[Path]) -> dict[str, Path]:
    """The folder itself as a split, where numbered images or tars of classes lie right in it."""
    found = {image.split for file in files if (image := _image(file.name))}
    if not found and any(CLASS_TAR.match(file.name) for file in files):
        found = {"train"}
    if len(found) > 1:
        raise BadData(f"{root}: expected images of one split, got {listed(sorted(found))}; move them into val/, test/")
    return dict.fromkeys(found, root)


def _is_ours(place: Path) -> bool:
    """Whether a split lies as only the Challenge's does: as a tar, as numbered images, or as tars of classes."""
    if not place.is_dir():
        return True
    return any(_image(file.name) or CLASS_TAR.match(file.name) for file in visible(place)[1])


def _contents(place: Path | Packed, above: tuple[Path, ...] = ()) -> Iterator[tuple[PurePosixPath, Path | Packed]]:
    """Each file of a folder or a tar, tars of classes opened, under the name that it would have unpacked."""
    found: list[tuple[str, Path | Packed]] = []
    if isinstance(place, Path) and place.is_dir():
        folders, files = visible(place)
        found += [(file.name, file) for file in files]
        for folder in folders:
            if (real := folder.resolve()) not in above:  # a link may lead back
                for name, source in _contents(folder, (*above, real)):
                    yield folder.name / name, source
    else:
        found += [(member.name, member) for member in members(place)]
    for path, source in found:
        name = PurePosixPath(path)
        if CLASS_TAR.match(name.name):
            for member in members(source):
                yield name.with_suffix("") / PurePosixPath(member.name).name, member
        elif not name.name.startswith("."):
            yield name, source


def _images(split: str, place: Path) -> tuple[dict[str, Image], int]:
    """The images of a split by id, in the order of the ids, and how many other files lie among them."""
    found: dict[str, Image] = {}
    numbers: set[Numbered] = set()
    others = 0
    for name, source in _contents(place, (place.resolve(),)):
        if not has_image_ending(name.name):
            others += not is_annotation(name.name)
            continue
        wnid = name.parent.name if WNID.match(name.parent.name) else None
        image = _image(name.name) if split != "train" else None
        if wnid is None and image is None:
            raise BadData(
                f"{source}: expected an image named ILSVRC2012_{split}_00000001.JPEG or the folder or tar of a class "
                "such as n01440764, found neither; move it elsewhere"
            )
        if image and image.split != split:
            raise BadData(f"{source}: expected images of {split}, found this one; move it elsewhere")
        id_ = "/".join((split, *([wnid] if wnid else []), name.name))
        if id_ in found:
            raise BadData(f"{source}: expected one image named {id_}, found two; remove one")
        if image in numbers:
            raise BadData(
                f"{source}: expected one image of {split} with number {image.number:,}, found two; remove one"
            )
        if image:
            numbers.add(image)
        found[id_] = Image(source, wnid, *((image.year, image.number) if image else (0, 0)))
    if not found:
        raise BadData(f"{place}: expected images of {split}, found none; put them there or remove it")
    return dict(sorted(found.items())), others


def _truth(parts: Parts, kit: Devkit | None, split: str) -> Truth | None:
    """The labels of a split's numbered images: the kit's, else those of a file beside the images."""
    mine = {file: match for file in parts.label_files if (match := TRUTH.match(file.name))}
    if kit:
        wnids = {one.number: one.wnid for one in kit.leaves}
        truth, name, year = kit.truth.get(split), kit.name, kit.year
        for file, match in mine.items():
            if truth is None and SPLITS[match[2]] == split and min(int(match[1]), LASTING) == year:
                truth, name = read_truth(str(file), file.read_bytes(), set(wnids)), file.name
        if truth is not None:
            return Truth({image: wnids[number] for image, number in enumerate(truth, 1)}, name, year)
    files = [file for file in parts.label_files if file not in mine or SPLITS[mine[file][2]] == "val"]
    if (kit and kit.year not in (None, LASTING)) or split != "val" or not files:
        return None
    if len(files) > 1:
        raise BadData(
            f"{parts.root}: expected one file of labels, got {listed([file.name for file in files])}; move the others "
            "elsewhere"
        )
    labels = read_label_file(files[0])
    return Truth(labels.wnids, f"{files[0].name} ({labels.numbering})", LASTING)


def _classes(
    kit: Devkit | None, splits: Mapping[str, Mapping[str, Image]], truths: Mapping[str, Truth]
) -> tuple[ClassLabel, ...]:
    """The kit's classes; without one the 1,000 of 2012, or those of the folders and tars where nothing is numbered."""
    if kit or truths:
        return kit.classes if kit else challenge_classes()
    names = {label.key: label.name for label in challenge_classes()}
    keys = sorted({image.wnid for images in splits.values() for image in images.values() if image.wnid})
    return tuple(ClassLabel(key, names.get(key, key)) for key in keys)


def _split(place: Path, classes: tuple[ClassLabel, ...], images: Mapping[str, Image], truth: Truth | None) -> Split:
    """A split with the label of every image; numbered images may be fewer, of sorted ones no class may be missing."""
    index = {label.key: row for row, label in enumerate(classes)}
    labels = []
    for image in images.values():
        key = _label(image, truth)
        if key not in index:
            raise BadData(
                f"{image.source}: expected one of the {len(classes):,} classes, found {key}; move it elsewhere"
            )
        labels.append(index[key])
    if truth is None and (missing := sorted(set(range(len(classes))) - set(labels))):
        raise BadData(
            f"{place}: expected images of all {len(classes):,} classes, found none of {classes[missing[0]].key}"
            f"{f' and {len(missing) - 1:,} more' if len(missing) > 1 else ''}; add them, or move what names these "
            "classes elsewhere"
        )
    return Split(
        ids=tuple(images),
        labels=torch.tensor(labels, dtype=torch.int64),
        paths=tuple(image.source for image in images.values()),
    )


def _label(image: Image, truth: Truth | None) -> str:
    """The wnid of an image. Raises BadData where its year is another, its number too high, or its folder wrong."""
    if truth is None or not image.number:
        return str(image.wnid)
    if truth.year and image.year != truth.year:
        raise BadData(
            f"{image.source}: expected images of {truth.year}, as its labels are ({truth.said}), found one of "
            f"{image.year}; give the development kit of {image.year}"
        )
    if image.number not in truth.wnids:
        raise BadData(
            f"{image.source}: expected one of the {len(truth.wnids):,} images that {truth.said} has a label for, found "
            "another; give the labels of these images"
        )
    key = truth.wnids[image.number]
    if image.wnid not in (None, key):
        raise BadData(
            f"{image.source}: expected it in {key}, which is its label in {truth.said}, found it in {image.wnid}; sort "
            "the images again"
        )
    return key
