"""Fisher vectors of SIFT and colour: Sánchez, Perronnin 2011, CVPR 2011; the winner of 2011 (XRCE).

SIFT and local colour statistics of patches, each brought to 64 numbers by principal components and coded by a
Gaussian mixture over the whole image, its quarters and its thirds (top, middle, bottom); a linear SVM for each of the
two and the mean of their margins (late fusion). The paper shrinks the image for five scales; here the patches grow, and
are of three sizes, 24, 32 and 48 px.
"""

from functools import partial

from topfive.features import ColourStatistics, DenseSift, FisherVector, Scales
from topfive.models.card import Card, photo_card, small_card
from topfive.models.coded import Channel, CodedSvm, Projection, coded

GRIDS = ((1, 1), (2, 2), (3, 1))
KEPT = 64
SIFT, COLOUR = 128, 96


def xrce(
    name: str, classes: int, image: int, *, sizes: tuple[int, ...], components: int = 256, step: int = 8,
    colour: bool = True,
) -> CodedSvm:  # fmt: skip
    """components: of the mixtures. sizes, step: of the patches, px. colour: have the colour statistics too."""

    def channel(kind: type[DenseSift] | type[ColourStatistics], width: int) -> Channel:
        code, project = FisherVector(components, KEPT), Projection(width, KEPT)
        describe = Scales(kind, sizes, step)
        return Channel(describe, code, GRIDS, image, colour=kind is ColourStatistics, project=project)

    channels = {"sift": channel(DenseSift, SIFT)}
    if colour:
        channels["colour"] = channel(ColourStatistics, COLOUR)
    return coded(name, classes, image, channels)


def small(name: str, classes: int, image: int, *, components: int = 32, colour: bool = True) -> CodedSvm:
    """For images of 32 to 96 px: smaller patches and fewer Gaussians."""
    return xrce(name, classes, image, components=components, sizes=(8, 12), step=2, colour=colour)


SOURCE = "Sánchez, Perronnin 2011, CVPR 2011; Sánchez et al. 2013, IJCV 105(3)"

CARDS: dict[str, Card] = {
    "xrce_2011": photo_card(
        partial(xrce, sizes=(24, 32, 48)), family="hand_made", year=2011, source=SOURCE, image=256, sides=(256, 256),
        small="xrce_2011_small", scores="margins", fitted_by="svm", counted_here=True, depth=1,
        params=524_289_000, macs=524_288_000,
        published="25.7 % top-5 error (45.7 % top-1), ILSVRC-2010 test, after the challenge",
        note="SIFT and colour statistics, Fisher vectors of 256 Gaussians, 8 regions, a linear SVM for each",
    ),
    "xrce_2011_small": small_card(
        small, family="hand_made", year=2011, source=SOURCE, depth=1,
        scores="margins", fitted_by="svm", params=655_370, macs=655_360,
        note="xrce_2011 for images of 32 to 96 px: patches of 8 and 12 px by 2 px, 32 Gaussians",
    ),
}  # fmt: skip
