"""Dense evaluation's images: whole, at one or several shorter sides, for a network that slides over them.

Sermanet et al. 2013, arXiv:1312.6229 (OverFeat); Simonyan, Zisserman 2014, arXiv:1409.1556, sec. 3.2, where the side is
Q. It is written `dense` or `dense@256+288+320`; sides are the papers' for a crop of 224 px and grow and shrink with it.
"""

from dataclasses import dataclass

from topfive.data.geometry import Geometry, Pixels, resize_short
from topfive.errors import Misused

SMALLEST, LARGEST = 224, 1024  # px: an image holds a crop, and memory the image's maps


@dataclass(frozen=True)
class Dense:
    """sides: shorter sides of an image, px for crops of 224. Raises Misused for sides that are no different ones."""

    sides: tuple[int, ...] = (256,)

    def __post_init__(self) -> None:
        ranged = all(SMALLEST <= side <= LARGEST for side in self.sides)
        if not self.sides or not ranged or len(set(self.sides)) < len(self.sides):
            raise _refusal(str(self))

    def __str__(self) -> str:
        """As it is written on the command line."""
        return "dense@" + "+".join(map(str, self.sides))

    @property
    def views(self) -> int:
        """How often an image is seen: at each side, and its mirror image."""
        return 2 * len(self.sides)

    def short_sides(self, crop: int) -> list[int]:
        """For crops of `crop` px.

        >>> Dense((256, 384)).short_sides(224), Dense((256, 384)).short_sides(32)
        ([256, 384], [37, 55])
        """
        return [round(crop * side / 224) for side in self.sides]

    def whole(self, image: Pixels, geometry: Geometry, step: int = 1) -> list[Pixels]:
        """An (H, W, C) image at each side, its middle where sides must be multiples of `step` px."""
        return [
            _middle(resize_short(image, short, geometry.interpolation), step)
            for short in self.short_sides(geometry.crop)
        ]


def dense_of(name: str) -> Dense | None:
    """What is written so; None for another protocol's name. Raises Misused for sides that are none.

    >>> str(dense_of("dense")), str(dense_of("dense@256+288")), dense_of("10")
    ('dense@256', 'dense@256+288', None)
    """
    word, sign, sides = name.partition("@")
    if word != "dense":
        return None
    if not sign:
        return Dense()
    if not all(side.isdecimal() for side in sides.split("+")):
        raise _refusal(name)
    return Dense(tuple(map(int, sides.split("+"))))


def _refusal(got: str) -> Misused:
    return Misused(
        f"--crops: expected dense@ with different sides of {SMALLEST} to {LARGEST} px, such as dense@256+288+320, "
        f"got {got}; sides are those for crops of 224 px"
    )


def _middle(image: Pixels, step: int) -> Pixels:
    height, width = (length // step * step for length in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
