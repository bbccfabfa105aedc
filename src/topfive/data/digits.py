"""The handwritten digits that come with scikit-learn: a real set that is there without a download.

1,797 scans of 8 x 8 px with 17 grey levels: the test part of the set of Alpaydin and Kaynak 1998 (UCI, "Optical
recognition of handwritten digits"). They are kept in their order, in which neighbours come from one writer's form: a
shuffle would put the same hand on both sides and flatter every figure.
"""

import numpy as np
import torch

from topfive.data.imageset import ClassLabel, ImageSet, Split

TRAIN_IMAGES = 1000
INK = 16  # the blackest level: of 4 x 4 pixels of the original bitmap all are set


def read_digits() -> ImageSet:
    """The digits as grey uint8 (N, 1, 8, 8), levels 0..16 spread over 0..255; 1,000 to train and 797 to test on."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    pixels = torch.from_numpy(np.rint(scans.images * 255 / INK).astype(np.uint8))[:, None]
    labels = torch.from_numpy(scans.target.astype(np.int64))
    ids = tuple(f"digits#{index}" for index in range(len(labels)))
    parts = {"train": slice(None, TRAIN_IMAGES), "test": slice(TRAIN_IMAGES, None)}
    splits = {name: Split(ids[part], labels[part], pixels=pixels[part]) for name, part in parts.items()}
    return ImageSet(
        name="digits",
        layout=f"scans of handwritten digits in scikit-learn: 10 classes, {len(splits['train']):,} train + "
        f"{len(splits['test']):,} test images of 8 x 8 px",
        classes=tuple(ClassLabel(str(digit), str(digit)) for digit in range(10)),
        splits=splits,
        mirror=False,
    )
