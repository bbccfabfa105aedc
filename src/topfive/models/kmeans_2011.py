"""One layer of features by k-means: Coates, Lee, Ng 2011, AISTATS 2011.

Patches of 6x6 px at every place, contrast-normalized and whitened; how much nearer than the average each is to each of
1,600 words; sums over the four quarters of the image; a linear SVM. On CIFAR-10 it came level with deeper nets of its
year. Its figures are those of images of 32 px, and it is its own small form.
"""

from topfive.features import KmeansTriangle, WhitenedPatches
from topfive.models.card import Card
from topfive.models.coded import Channel, CodedSvm, coded

QUARTERS = ((2, 2),)


def kmeans(name: str, classes: int, image: int, *, words: int = 1600, patch: int = 6, step: int = 1) -> CodedSvm:
    """words: of the codebook (4,000 in the paper's best). patch, step: of the grid, px."""
    describe = WhitenedPatches(3, patch, step)
    code = KmeansTriangle(words, 3 * patch**2)
    return coded(name, classes, image, {"patches": Channel(describe, code, QUARTERS, image, colour=True)})


CARDS: dict[str, Card] = {
    "kmeans_2011": Card(
        kmeans, family="hand_made", year=2011, source="Coates, Lee, Ng 2011, AISTATS 2011", image=32, sides=(32, 96),
        classes=10, scores="margins", fitted_by="svm", params=64_010, macs=64_000, depth=1,
        published="22.1 % top-1 error (20.4 % with 4,000 words), CIFAR-10 test",
        note="whitened patches of 6 px, 1,600 words, sums over quarters, a linear SVM; MACs are the SVM's alone",
    ),
}  # fmt: skip
