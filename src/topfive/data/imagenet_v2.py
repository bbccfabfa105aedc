"""ImageNet-V2: three test sets of 10,000 images, 10 a class. Recht et al. 2019, arXiv:1902.10811.

Its folders are named 0 to 999, the places of the classes in the order of their wnids. As text "10" comes before "2": a
reader that sorts the names gives nearly every image another label.
"""

from pathlib import Path

from topfive.data.challenge import challenge_classes
from topfive.data.decode import has_image_ending
from topfive.data.folders import grow, to_split, visible
from topfive.data.imageset import ImageSet

A_CLASS = 10  # images
NAMES = {str(place) for place in range(1000)}


def is_v2(folders: list[Path]) -> bool:
    """Whether class folders are those of ImageNet-V2: 0 to 999, with 10 images each."""
    return {folder.name for folder in folders} == NAMES and all(
        sum(has_image_ending(file.name) for file in visible(folder)[1]) == A_CLASS for folder in folders
    )


def read_v2(root: Path) -> ImageSet:
    """One of the three sets, as a split `test`."""
    classes = challenge_classes()
    tree = grow(root)
    return ImageSet(
        name=root.name,
        layout=f"ImageNet-V2, its folders 0/ to 999/ as places in the order of the wnids: {len(classes):,} classes, "
        f"{tree.count:,} images",
        classes=classes,
        splits={"test": to_split(root, classes, {classes[int(key)].key: own for key, own in tree.images.items()})},
    )
