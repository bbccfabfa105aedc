"""HOG descriptors and a linear SVM: Dalal, Triggs 2005, CVPR 2005.

Departs from the paper, which finds one class, pedestrians, in 64x128 windows of 8-px cells: here the crop is square and
divided into 8x8 cells, and there is one SVM for each class against the rest. `features/hog.py` says where the
descriptor departs.
"""

import torch
from torch import Tensor, nn

from topfive.features import Hog
from topfive.layers import Classifier, FullPrecisionLinear
from topfive.models.card import Card

GRID = 8  # cells along a side of the crop
BLOCK = 2  # cells along a side of a block


class HogSvm(Classifier):
    """Crops of `image` px to one-vs-rest margins.

    The cells are image // 8 px, so that 8x8 of them cover a crop whose side is a multiple of 8; of other crops a
    remainder at the right and bottom is left out, or one cell more fits. `normalize` stays the identity: HOG takes
    square roots of the pixels as they are. The SVM starts at 0 and is fitted by solver, not by gradient descent;
    `sharpness` scales its margins so that softmax(scores) is a probability, and is chosen after the fit.
    """

    head = "svm"
    sharpness: Tensor

    def __init__(self, name: str, classes: int, image: int) -> None:
        super().__init__(name, image)
        self.hog = Hog(image // GRID, BLOCK, orientations=9, square_root=True)
        self.svm = FullPrecisionLinear(self.hog.length(image, image), classes)
        nn.init.zeros_(self.svm.weight)
        nn.init.zeros_(self.svm.bias)
        self.register_buffer("sharpness", torch.ones(()))

    def body(self, maps: Tensor) -> Tensor:
        """The descriptors: (N, 3, image, image) -> (N, 1764) in [0, 1] for 8x8 cells."""
        descriptors: Tensor = self.hog(maps)
        return descriptors

    def forward(self, images: Tensor) -> Tensor:
        """Margins times sharpness (N, classes), float32, of images (N, 3, image, image) in [0, 1]. Raises BadShape."""
        return super().forward(images) * self.sharpness


CARDS: dict[str, Card] = {
    "hog_svm": Card(
        HogSvm,
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
