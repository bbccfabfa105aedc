"""From a name or a path to an image set: the layout on disk is detected, and said aloud in `ImageSet.layout`."""

from pathlib import Path

from topfive.data import cifar, digits, idx, ilsvrc
from topfive.data.decode import has_image_ending
from topfive.data.folders import SPLIT_FOLDERS, read_one_folder, read_split_folders, visible
from topfive.data.imagenet_v2 import is_v2, read_v2
from topfive.data.imageset import ImageSet
from topfive.errors import BadData, UnknownName, nearest

NAMED = {"digits": digits.read_digits}  # sets that need no path

FILE_LAYOUTS = [  # what recognises a folder by its file names, and what reads it
    (cifar.is_binary, cifar.read_binary),
    (cifar.is_python, cifar.read_python),
    (idx.is_idx, idx.read_idx),
]

LAYOUTS = "class folders, the Challenge's images, CIFAR's files or MNIST's files"


def open_data(data: str | Path) -> ImageSet:
    """The image set of that name or in that folder.

    data: `digits`, or a folder that holds class folders, train/ and val/ or test/ with class folders, the Challenge's
    images with their development kit, unpacked or in tars, ImageNet-V2, the binary or Python files of CIFAR-10 or
    CIFAR-100, or the four IDX files of MNIST. A folder around one such folder will do.
    Raises UnknownName when there is no such name or path, BadData or BadFile when what is there cannot be used.

    >>> open_data("digits").layout
    'scans of handwritten digits in scikit-learn: 10 classes, 1,000 train + 797 test images of 8 x 8 px'
    """
    if isinstance(data, str) and data in NAMED:
        return NAMED[data]()
    root = Path(data).expanduser()
    if not root.exists():
        raise UnknownName(_missing(str(data), root))
    if not root.is_dir():
        raise BadData(
            f"{root}: expected a folder, got a file; give the folder that holds the images, and unpack an archive first"
        )
    return _read(root.resolve())


def _read(root: Path) -> ImageSet:
    folders, files = visible(root)
    names = {file.name for file in files}
    for recognise, read in FILE_LAYOUTS:
        if recognise(names):
            return read(root)
    if parts := ilsvrc.parts_of(root, folders, files):
        return ilsvrc.read_ilsvrc(parts)
    images = [file for file in files if has_image_ending(file.name)]
    if not folders:
        raise BadData(_no_class_folders(root, len(images), len(files)))
    if splits := _split_folders(root, folders):
        return read_split_folders(root, splits)
    if is_v2(folders):
        return read_v2(root)
    if len(folders) == 1 and not images and visible(folders[0])[0] + _recognised(folders[0]):
        return _read(folders[0])  # an archive unpacked into a folder of its own
    return read_one_folder(root)


def _recognised(folder: Path) -> list[Path]:
    """The files of a folder that is known by them (CIFAR's, MNIST's, the Challenge's), or none."""
    folders, files = visible(folder)
    names = {file.name for file in files}
    known = any(recognise(names) for recognise, _ in FILE_LAYOUTS) or ilsvrc.parts_of(folder, folders, files)
    return files if known else []


def _split_folders(root: Path, folders: list[Path]) -> dict[str, Path]:
    """Split -> its folder, or nothing where these are class folders (a class may well be named "train").

    Raises BadData for what could be read in two ways: a wrong guess would be silent.
    """
    candidates = [folder for folder in folders if folder.name.lower() in SPLIT_FOLDERS]
    nested = [folder for folder in candidates if visible(folder)[0]]
    flat = [folder for folder in candidates if folder not in nested]
    others = [folder for folder in folders if folder not in candidates]
    if not nested:
        if flat and not others:
            raise BadData(
                f"{flat[0]}: expected class folders, got images without a class; sort them into one folder a class"
            )
        return {}
    if flat:
        raise BadData(
            f"{flat[0]}: expected class folders as in {nested[0].name}/, got none; sort its images into one folder a "
            "class, or move it elsewhere"
        )
    splits: dict[str, Path] = {}
    for folder in nested:
        twin = splits.setdefault(SPLIT_FOLDERS[folder.name.lower()], folder)
        if twin != folder:
            raise BadData(f"{root}: expected one {twin.name}/, got {folder.name}/ too; merge them or remove one")
    if others and len(splits) == 1:
        raise BadData(
            f"{root}: expected val/ or test/ beside {nested[0].name}/, or class folders alone, got {others[0].name}/; "
            f"rename {nested[0].name}/ if it is a class, else move {others[0].name}/ elsewhere"
        )
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _no_class_folders(root: Path, images: int, files: int) -> str:
    if images:
        return (
            f"{root}: expected a folder for each class, got {images} image(s) directly inside; sort them into one "
            "folder a class"
        )
    if files:
        return f"{root}: expected {LAYOUTS}, got {files} file(s) of other kinds; give the folder that holds the images"
    return f"{root}: expected {LAYOUTS}, got an empty folder; put one folder of images for each class into it"


def _missing(given: str, path: Path) -> str:
    """The sentence for a name or path that does not exist; it suggests a known set or what lies beside, in any case."""
    beside = [sibling.name for sibling in visible(path.parent)[0]] if path.parent.is_dir() else []
    known = [*NAMED, *beside] if path.name == given else beside
    same = [name for name in known if name.lower() == path.name.lower()]
    suggestion = nearest(same[0] if same else path.name, known)
    return f"{given}: expected {' or '.join(NAMED)} or an existing folder, found neither{suggestion}; check it"
