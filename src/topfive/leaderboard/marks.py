"""The entries in a chart: each a mark with the bar of its interval, and a name where there is room for it.

Colours are Okabe and Ito's, told apart by colour-blind readers; shape says the same again. What the marks mean is the
same in every chart: a blue disc is ranked first, a grey ring is not, an orange diamond was trained with external data.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

BLUE, ORANGE, GREEN, GREY, INK, PALE = "#0072b2", "#d55e00", "#00795a", "#6b7280", "#1f2933", "#e4e7eb"
PURPLE = "#b8609a"  # theirs, darker
Pixels = NDArray[np.float64]


class Mark(NamedTuple):
    """One entry in a chart: top-1 error and its 95% interval, fractions in [0, 1]."""

    name: str
    error: float
    low: float
    high: float
    first: bool = False  # ranked first
    external: bool = False  # trained with external data


def draw_marks(ax: Axes, at: Sequence[float], marks: Sequence[Mark], upright: bool = True) -> None:
    """Each mark with the bar of its interval; one container a mark, labelled with its name, so that it can be read."""
    for place, mark in zip(at, marks, strict=True):
        color = ORANGE if mark.external else BLUE if mark.first else GREY
        error = 100 * mark.error
        bar = [[max(error - 100 * mark.low, 0.0)], [max(100 * mark.high - error, 0.0)]]
        style: dict[str, Any] = {
            "fmt": "D" if mark.external else "o", "markersize": 7, "color": color, "ecolor": color, "elinewidth": 1.4,
            "capsize": 3, "markeredgewidth": 1.6, "label": mark.name,
            "markerfacecolor": color if mark.first or mark.external else "white",
        }  # fmt: skip
        if upright:
            ax.errorbar([place], [error], yerr=bar, **style)
        else:
            ax.errorbar([error], [place], xerr=bar, **style)


def label_points(
    ax: Axes, at: Sequence[float], marks: Sequence[Mark], line: Sequence[tuple[float, float]] = ()
) -> None:
    """Write each mark's name beside it where it covers no other name, mark, bar or step of `line`.

    A name that finds room only further off is joined to its mark by a thin line.
    """
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # settles the layout, so that pixels can be measured
    dot = figure.dpi / 72
    spots = ax.transData.transform([(x, 100 * mark.error) for x, mark in zip(at, marks, strict=True)])
    lows = ax.transData.transform([(x, 100 * max(mark.low, 1e-9)) for x, mark in zip(at, marks, strict=True)])
    highs = ax.transData.transform([(x, 100 * mark.high) for x, mark in zip(at, marks, strict=True)])
    steps = ax.transData.transform(line) if line else np.empty((0, 2))
    flat = [(x0, y0 - dot, x1, y0 + dot) for (x0, y0), (x1, _) in pairwise(steps)]  # to the right,
    down = [(x1 - dot, y1, x1 + dot, y0) for (_, y0), (x1, y1) in pairwise(steps)]  # then down
    aside = np.array([4 * dot, 0])
    own = np.vstack([np.hstack([spots - 6 * dot, spots + 6 * dot]), np.hstack([lows - aside, highs + aside])])
    joined = np.array([*flat, *down]).reshape(-1, 4)  # boxes are rows: left, bottom, right, top in pixels
    frame = np.array([ax.get_window_extent().extents])
    along = np.linspace(0.15, 0.9, 12)[:, None]
    names: dict[int, Pixels] = {}  # the boxes of each name and of the thin line that joins it to its mark
    chosen: dict[int, tuple[tuple[float, float], bool]] = {}  # where each name goes, and whether that is far off
    order = sorted(range(len(marks)), key=lambda i: (-spots[i][1], spots[i][0]))
    for i in [*order, *order, *order]:  # once to place all, twice to make use of what others left free
        trial = ax.text(0, 0, marks[i].name, fontsize=11)
        width, height = trial.get_window_extent().padded(dot).size
        trial.remove()
        half = np.array([width, height]) / 2
        shifts = np.array(list(_shifts(width, height, dot)))  # (places, 2)
        here = np.hstack([spots[i] + shifts - half, spots[i] + shifts + half])
        others = np.vstack([np.empty((0, 4)), *(boxes for j, boxes in names.items() if j != i)])
        covered = _overlaps(here, np.vstack([own, joined, others])).sum(1)
        outside = width * height - _overlaps(here, frame)[:, 0]
        gaps = np.maximum(np.abs(shifts) - half, 0)
        far = np.hypot(gaps[:, 0], gaps[:, 1]) > 12 * dot
        threads = spots[i] + shifts[:, None] * along  # (places, 12, 2)
        crossed = far * _within(threads, np.vstack([np.delete(own, [i, len(marks) + i], axis=0), others]))
        effort = 40 * np.hypot(gaps[:, 0], shifts[:, 1]) + 300 * far
        best = int(np.argmin(1000 * (covered + outside) + 1500 * crossed + effort))
        thread = np.hstack([threads[best] - dot, threads[best] + dot])
        names[i] = np.vstack([here[best], thread]) if far[best] else here[best][None]
        chosen[i] = (float(shifts[best][0] / dot), float(shifts[best][1] / dot)), bool(far[best])
    for i, (shift, far_off) in chosen.items():
        note = ax.annotate(
            marks[i].name, (at[i], 100 * marks[i].error), shift, textcoords="offset points",
            ha="center", va="center", fontsize=11, color=INK, annotation_clip=False, zorder=4,
            arrowprops={"arrowstyle": "-", "color": "#7b8794", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 5}
            if far_off else None,
        )  # fmt: skip
        note.set_in_layout(False)


def _shifts(width: float, height: float, dot: float) -> Iterable[tuple[float, float]]:
    """Places for the middle of a label around its point: beside it first, then further and further off."""
    for step in range(8):
        gap = (8 + 9 * step) * dot
        aside, above = gap + width / 2, gap + height / 2
        yield from ((aside, 0.0), (-aside, 0.0), (0.0, above), (0.0, -above))
        for across in (0.35, 0.7, 1.0):
            yield from ((sx * aside * across, sy * above) for sy in (1, -1) for sx in (1, -1))
            yield from ((sx * aside, sy * above * across) for sy in (1, -1) for sx in (1, -1))


def _overlaps(a: Pixels, b: Pixels) -> Pixels:
    """Common area of every box of `a` (A, 4) with every box of `b` (B, 4): (A, B), in square pixels."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    area: Pixels = np.maximum(high - low, 0).prod(2)
    return area


def _within(points: Pixels, boxes: Pixels) -> Pixels:
    """How many points of each row (A, P, 2) lie in one of the boxes (B, 4): (A,)."""
    inside = np.all((points[:, :, None] > boxes[:, :2]) & (points[:, :, None] < boxes[:, 2:]), axis=3)
    count: Pixels = np.any(inside, axis=2).sum(1).astype(np.float64)
    return count
