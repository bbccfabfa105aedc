"""Sparse codes of SIFT, max-pooled: Yang, Yu, Gong, Huang 2009, CVPR 2009 (ScSPM), as the winners of 2010 began.

Dense SIFT, a dictionary of 1,024 words of length 1, codes with few numbers that are not 0, their greatest sizes over
the 21 regions of a pyramid, each region's scaled to length 1 (the paper scales them together), a linear SVM. encoder
"lasso" is the paper's; "omp" and "threshold" cost a fraction.
"""

from topfive.features import DenseSift, SparseCode
from topfive.features.pyramid import PYRAMID
from topfive.features.sparse import Encoder
from topfive.models.card import Card, photo_card, small_card
from topfive.models.coded import Channel, CodedSvm, coded


def sparse_coding(
    name: str, classes: int, image: int, *, words: int = 1024, patch: int = 16, step: int = 8,
    encoder: Encoder = "threshold", penalty: float = 0.15, atoms: int = 10,
) -> CodedSvm:  # fmt: skip
    """words: of the dictionary. patch, step: of the grid, px. encoder, penalty, atoms: see `SparseCode`."""
    code = SparseCode(words, 128, encoder, penalty=penalty, atoms=atoms)
    return coded(name, classes, image, {"sift": Channel(DenseSift(patch, step), code, PYRAMID, image)})


def small(
    name: str, classes: int, image: int, *, words: int = 1024, patch: int = 8, step: int = 2,
    encoder: Encoder = "threshold", penalty: float = 0.15, atoms: int = 10,
) -> CodedSvm:  # fmt: skip
    """For images of 32 to 96 px: smaller patches."""
    return sparse_coding(
        name, classes, image, words=words, patch=patch, step=step, encoder=encoder, penalty=penalty, atoms=atoms
    )


SOURCE = "Yang, Yu, Gong, Huang 2009, CVPR 2009; Coates, Ng 2011, ICML 2011"

CARDS: dict[str, Card] = {
    "sparse_coding_2010": photo_card(
        sparse_coding, family="hand_made", year=2010, source=SOURCE, image=256, sides=(256, 256), depth=1,
        small="sparse_coding_2010_small", scores="margins", fitted_by="svm", counted_here=True,
        params=43_009_000, macs=43_008_000,
        note="dense SIFT, 1,024 words, sparse codes, a pyramid of 21 regions, a linear SVM",
    ),
    "sparse_coding_2010_small": small_card(
        small, family="hand_made", year=2010, source=SOURCE, depth=1,
        scores="margins", fitted_by="svm", params=430_090, macs=430_080,
        note="sparse_coding_2010 for images of 32 to 96 px: patches of 8 px by 2 px",
    ),
}  # fmt: skip
