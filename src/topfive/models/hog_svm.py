"""HOG descriptors and an SVM, linear or with a Gaussian kernel: Dalal, Triggs 2005, CVPR 2005, secs. 6 and 6.6.

Departs from the paper, which finds one class, pedestrians, in 64x128 windows of 8-px cells: here the crop is square and
divided into 8x8 cells, and there is one SVM for each class against the rest. `features/hog.py` says where the
descriptor departs.
"""

from torch import Tensor, nn

from topfive.features import Hog, Landmarks
from topfive.layers import full_precision
from topfive.models.card import Card
from topfive.models.coded import CodedSvm

GRID = 8  # cells along a side of the crop
BLOCK = 2  # cells along a side of a block


def hog_svm(name: str, classes: int, image: int) -> CodedSvm:
    """Crops of `image` px to margins.

    The cells are image // 8 px, so that 8x8 of them cover a crop whose side is a multiple of 8; of other crops a
    remainder at the right and bottom is left out, or more cells fit. HOG takes square roots of the pixels as they
    are.
    """
    hog = Hog(image // GRID, BLOCK, orientations=9, square_root=True)
    return CodedSvm(name, classes, image, {"hog": hog}, hog.length(image, image))


class KernelHog(nn.Module):
    """HOG compared with landmarks by the Gaussian kernel: images (N, 3, image, image) -> (N, landmarks)."""

    def __init__(self, image: int, landmarks: int) -> None:
        super().__init__()
        self.describe = Hog(image // GRID, BLOCK, orientations=9, square_root=True)
        self.compare = Landmarks(landmarks, self.describe.length(image, image))

    def forward(self, images: Tensor) -> Tensor:
        """In float32."""
        with full_precision(images.device):
            near: Tensor = self.compare(self.describe(images.float()))
            return near


def hog_rbf(name: str, classes: int, image: int, *, landmarks: int = 2000) -> CodedSvm:
    """landmarks: training images that all others are compared with; of a smaller set all, an exact kernel machine."""
    return CodedSvm(name, classes, image, {"hog": KernelHog(image, landmarks)}, landmarks)


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
    "hog_rbf": Card(
        hog_rbf,
        family="hand_made",
        year=2005,
        source="Dalal, Triggs 2005, CVPR 2005, sec. 6.6; Williams, Seeger 2001, NIPS 13",
        image=32,
        sides=(16, 256),
        classes=10,
        params=20_010,
        macs=20_000,
        depth=1,
        scores="margins",
        fitted_by="svm",
        counted_here=True,
        note="hog_svm with a Gaussian kernel: 2,000 training images are what others are compared with",
    ),
}
