"""Bags of SIFT words and a linear SVM: the baseline of the first years, after Deng, Berg, Li, Fei-Fei 2010, ECCV 2010.

SIFT on a dense grid, a thousand words by k-means, their shares over the regions of a spatial pyramid, one SVM a class
on their square roots (Hellinger's kernel) or on a map of the intersection kernel, which Deng's runs used. Regions of
all levels weigh alike, where Lazebnik, Schmid, Ponce 2006 give the finer levels more. The 80 %
top-1 error that lectures quote for 2009 is in no paper; the first published run on a thousand classes is Deng's.
`sift_keypoints_2009` describes key-points in place of a grid, as bags of words began (Csurka et al. 2004).
"""

import torch
from torch import Tensor

from topfive.features import BagOfWords, DenseSift, KeypointSift, regions_of
from topfive.features.kernel_map import Kernel
from topfive.features.pyramid import PYRAMID
from topfive.models.card import Card, photo_card, small_card
from topfive.models.coded import Channel, CodedSvm, coded


def sift_bow(
    name: str, classes: int, image: int, *, words: int = 1000, patch: int = 16, step: int = 8,
    kernel: Kernel = "hellinger",
) -> CodedSvm:  # fmt: skip
    """patch, step: of the grid, px. words: of the codebook. kernel: how shares of words are compared."""
    code = BagOfWords(words, 128, kernel)
    return coded(name, classes, image, {"sift": Channel(DenseSift(patch, step), code, PYRAMID, image)})


def small(
    name: str, classes: int, image: int, *, words: int = 1000, patch: int = 8, step: int = 2,
    kernel: Kernel = "hellinger",
) -> CodedSvm:  # fmt: skip
    """For images of 32 to 96 px: smaller patches."""
    return sift_bow(name, classes, image, words=words, patch=patch, step=step, kernel=kernel)


class KeypointChannel(Channel):
    """A channel whose descriptors lie at each image's own key-points."""

    describe: KeypointSift

    def coded(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, length), an image at a time: each has regions of its own."""
        if images.is_meta:  # an image without numbers has no key-points, and is here to be counted
            return images.new_zeros(len(images), self.length)
        codes = []
        for image in self.grey(images):
            places, descriptors = self.describe.found(image)
            regions = regions_of(places.cpu(), self.grids).to(image.device)
            codes.append(self.code(self.projected(descriptors)[None], regions))
        return torch.cat(codes)


def keypoints(
    name: str, classes: int, image: int, *, words: int = 1000, most: int = 500, contrast: float = 0.04,
    kernel: Kernel = "hellinger",
) -> CodedSvm:  # fmt: skip
    """most: key-points of an image. contrast: below which they are too faint. words, kernel: as of sift_bow."""
    code = BagOfWords(words, 128, kernel)
    channel = KeypointChannel(KeypointSift(most, contrast), code, PYRAMID, image)
    return coded(name, classes, image, {"sift": channel})


def keypoints_small(
    name: str, classes: int, image: int, *, words: int = 300, most: int = 100, contrast: float = 0.0,
    kernel: Kernel = "hellinger",
) -> CodedSvm:  # fmt: skip
    """For images of 32 to 96 px: fewer key-points, faint ones too, and fewer words."""
    return keypoints(name, classes, image, words=words, most=most, contrast=contrast, kernel=kernel)


SOURCE = "Deng, Berg, Li, Fei-Fei 2010, ECCV 2010: BoW and SPM with a linear SVM"
KEYPOINTS = "Csurka, Dance, Fan, Willamowski, Bray 2004, ECCV workshop; Lowe 2004, IJCV 60(2)"

CARDS: dict[str, Card] = {
    "sift_bow_2009": photo_card(
        sift_bow, family="hand_made", year=2009, source=SOURCE, image=256, sides=(256, 256), depth=1,
        small="sift_bow_2009_small", scores="margins", fitted_by="svm", counted_here=True,
        params=21_001_000, macs=21_000_000,
        note="dense SIFT, 1,000 words, a pyramid of 21 regions, a linear SVM; MACs are the SVM's alone",
    ),
    "sift_bow_2009_small": small_card(
        small, family="hand_made", year=2009, source=SOURCE, depth=1,
        scores="margins", fitted_by="svm", params=210_010, macs=210_000,
        note="sift_bow_2009 for images of 32 to 96 px: patches of 8 px by 2 px",
    ),
    "sift_keypoints_2009": photo_card(
        keypoints, family="hand_made", year=2009, source=KEYPOINTS, image=256, sides=(256, 256), depth=1,
        small="sift_keypoints_2009_small", scores="margins", fitted_by="svm", counted_here=True,
        params=21_001_000, macs=21_000_000,
        note="sift_bow_2009 at up to 500 key-points an image, through OpenCV; cannot be exported",
    ),
    "sift_keypoints_2009_small": small_card(
        keypoints_small, family="hand_made", year=2009, source=KEYPOINTS, depth=1,
        scores="margins", fitted_by="svm", params=63_010, macs=63_000,
        note="sift_keypoints_2009 for images of 32 to 96 px: up to 100 key-points, faint ones too, 300 words",
    ),
}  # fmt: skip
