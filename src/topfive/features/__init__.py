"""Descriptors and codes of images, as tensor modules."""

from topfive.features.colour import ColourStatistics
from topfive.features.fisher import FisherVector
from topfive.features.hog import Hog
from topfive.features.keypoints import KeypointSift
from topfive.features.landmarks import Landmarks
from topfive.features.lbp import Lbp
from topfive.features.llc import Llc
from topfive.features.patches import KmeansTriangle, WhitenedPatches, whitening_of
from topfive.features.pyramid import Code, Regions, regions_of
from topfive.features.quantiser import ProductQuantiser
from topfive.features.scales import Scales
from topfive.features.sift import DenseSift
from topfive.features.sparse import SparseCode
from topfive.features.words import BagOfWords, SuperVector, Vlad

__all__ = [
    "BagOfWords",
    "Code",
    "ColourStatistics",
    "DenseSift",
    "FisherVector",
    "Hog",
    "KeypointSift",
    "KmeansTriangle",
    "Landmarks",
    "Lbp",
    "Llc",
    "ProductQuantiser",
    "Regions",
    "Scales",
    "SparseCode",
    "SuperVector",
    "Vlad",
    "WhitenedPatches",
    "regions_of",
    "whitening_of",
]
