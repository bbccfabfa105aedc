"""HOG descriptors and a linear SVM: Dalal, Triggs 2005, CVPR 2005.

Departs from the paper, which finds one class, pedestrians, in 64x128 windows of 8-px cells: here the crop is square and
divided into 8x8 cells, and there is one SVM for each class against the rest. `features/hog.py` says where the
descriptor departs.
"""

from topfive.features import Hog
from topfive.models.card import Card
from topfive.models.coded import CodedSvm

GRID = 8  # cells along a side of the crop
BLOCK = 2  # cells along a side of a block


def hog_svm(name: str, classes: int, image: int) -> CodedSvm:
    """Crops of `image` px to margins.

    The cells are image // 8 px, so that 8x8 of them cover a crop whose side is a multiple of 8; of other crops a
    remainder at the right and bottom is left out, or one cell more fits. HOG takes square roots of the pixels as they
    are.
    """
    hog = Hog(image // GRID, BLOCK, orientations=9, square_root=True)
    return CodedSvm(name, classes, image, {"hog": hog}, hog.length(image, image))


CARDS: dict[str, Card] = {
    "hog_svm": Card(
        hog_svm,
        family="hog",
        year=2005,
        source="Dalal, Triggs 2005, CVPR 2005",
        image=32,
        sides=(16, 256),
        classes=10,
        params=17_650,
        macs=17_640,
        depth=1,
        scores="margins",
        fitted_by="svm",
        note="oriented gradients in 8x8 cells and one linear SVM for each class; MACs are the SVM's alone",
    ),
}
