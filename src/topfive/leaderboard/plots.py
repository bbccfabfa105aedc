"""The charts of a contest. Each takes numbers and an `Axes` and returns it; none shows or saves.

Colours are Okabe and Ito's, told apart by colour-blind readers; shape says the same again. What the marks mean is the
same in every chart: a blue disc is ranked first, a grey ring is not, an orange diamond was trained with external data.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from topfive.evaluation.intervals import wilson

BLUE, ORANGE, GREEN, GREY, INK, PALE = "#0072b2", "#d55e00", "#00795a", "#6b7280", "#1f2933", "#e4e7eb"
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#cfe4f3", "#6aaed6", BLUE, "#08306b"])
Pixels = NDArray[np.float64]
ROUND = [1, 2, 2.5, 5, 10]  # ticks at round numbers

STYLE: dict[Any, Any] = {  # rcParams, applied by whoever makes the figure
    "svg.fonttype": "none", "svg.hashsalt": "topfive", "text.parse_math": False,
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 12, "axes.labelsize": 12, "axes.titlesize": 12, "xtick.labelsize": 11, "ytick.labelsize": 11,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": "#9aa5b1", "xtick.color": "#52606d",
    "ytick.color": "#52606d", "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": PALE, "grid.linewidth": 0.8, "xtick.major.size": 3, "ytick.major.size": 3,
}  # fmt: skip


class Mark(NamedTuple):
    """One entry in a chart: top-1 error and its 95% interval, fractions in [0, 1]."""

    name: str
    error: float
    low: float
    high: float
    first: bool = False  # ranked first
    external: bool = False  # trained with external data


def pareto_front(costs: Sequence[float], errors: Sequence[float]) -> list[int]:
    """Indices of the points that no other point beats in both (or ties in one and beats in the other), by cost.

    >>> pareto_front([1, 2, 3, 2], [0.3, 0.1, 0.2, 0.4])
    [0, 1]
    """
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], errors[i])):
        if not front or errors[i] < errors[front[-1]]:
            front.append(i)
    return front


def plot_error_by_year(years: Sequence[int], marks: Sequence[Mark], ax: Axes, upright: bool = True) -> Axes:
    """Each entry in a slot of its own, oldest first, with the best error so far among those without external data.

    Years are in order, not to scale, so that neither bars nor names overlap. upright: years run to the right and errors
    upwards; otherwise years run down the page and errors to the right, which leaves room for names on a narrow one.
    """
    order = sorted(range(len(marks)), key=lambda i: (years[i], -marks[i].error))
    years, marks = [years[i] for i in order], [marks[i] for i in order]
    slots = list(range(len(marks)))
    draw_marks(ax, slots, marks, upright)
    own = [(slot, mark.error) for slot, mark in zip(slots, marks, strict=True) if not mark.external]
    if own:
        at = [slot for slot, _ in own] + [len(slots) - 0.5]
        best = [100 * error for error in accumulate((error for _, error in own), min)]
        best.append(best[-1])
        line: dict[str, Any] = {"color": GREEN, "linewidth": 1.8, "zorder": 1.5, "gid": "best-so-far"}
        if upright:
            ax.step(at, best, where="post", **line)
        else:
            ax.step(best, at, where="pre", **line)
    for band, (year, group) in enumerate(groupby(slots, key=lambda slot: years[slot])):
        members = list(group)
        start, stop, middle = members[0] - 0.5, members[-1] + 0.5, (members[0] + members[-1]) / 2
        shade: dict[str, Any] = {"color": "#f4f6f8" if band % 2 == 0 else "#ffffff", "zorder": 0, "linewidth": 0}
        text: dict[str, Any] = {"color": "#52606d", "fontsize": 11}
        if upright:
            ax.axvspan(start, stop, **shade)
            ax.text(middle, 1.02, str(year), transform=ax.get_xaxis_transform(), ha="center", va="bottom", **text)
        else:
            ax.axhspan(start, stop, **shade)
            ax.text(1.02, middle, str(year), transform=ax.get_yaxis_transform(), ha="left", va="center", **text)
    names, edges = [mark.name for mark in marks], (-0.5, len(slots) - 0.5)
    if upright:
        room = 72 * ax.figure.get_figure(root=True).get_figwidth() * 0.88 / len(slots)  # points a slot is wide
        tilt = 0 if max(len(name) for name in names) * 6.8 < room else 35
        ax.set_xticks(slots, names, rotation=tilt, ha="right" if tilt else "center", rotation_mode="anchor")
        ax.set(xlim=edges)
        ax.set_xlabel("entry, oldest first", labelpad=8)
        ax.grid(False, axis="x")
        _error_axis(ax, marks, axis="y")
    else:
        ax.set_yticks(slots, names)
        ax.set(ylim=edges[::-1], ylabel="entry, oldest first")
        ax.grid(False, axis="y")
        _error_axis(ax, marks, axis="x")
    ax.tick_params(axis="x" if upright else "y", length=0)
    return ax


def plot_error_by_cost(
    costs: Sequence[float], marks: Sequence[Mark], ax: Axes, xlabel: str, front: bool = True, whole: bool = False
) -> Axes:
    """Error against what it costs; the Pareto front joins the entries that none betters at no greater cost.

    costs: in the unit that `xlabel` names, greater than or equal to 0; a logarithmic axis is used from a range of 1:20.
    whole: costs are whole numbers, such as layers.
    """
    draw_marks(ax, costs, marks)
    line: list[tuple[float, float]] = []
    if front:
        best = pareto_front(costs, [mark.error for mark in marks])
        line = [(costs[i], 100 * marks[i].error) for i in best]
        ax.step(*zip(*line, strict=True), where="post", color=GREEN, linewidth=1.6, zorder=1.5, gid="pareto-front")
    low, high = min(costs), max(costs)
    if low > 0 and high / low >= (8 if whole else 20):
        ax.set_xscale("log")
        reach = (high / low) ** 0.16
        ax.set_xlim(low / reach, high * reach)
        _plain_log_ticks(ax, "x", costs)
        xlabel += ", log scale"
    else:
        reach = 0.16 * (high - low) or 0.5 * high or 1.0
        ax.set_xlim(max(0.0, low - reach) if low > reach else -0.04 * (high + reach), high + reach)
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND, integer=whole))
        ax.xaxis.set_major_formatter(FuncFormatter(_short))
    ax.set_xlabel(xlabel)
    _error_axis(ax, marks, axis="y")
    label_points(ax, costs, marks, line)
    return ax


def plot_learning_curve(name: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], ax: Axes) -> Axes:
    """Training top-1 error of one entry by epoch, the others in grey behind it.

    curves: entry -> (epochs, errors in [0, 1]).
    """
    for other, (epochs, errors) in curves.items():
        if other != name:
            ax.plot(epochs, [100 * error for error in errors], color="#cbd2d9", linewidth=1, zorder=1)
    epochs, errors = curves[name]
    dots: dict[str, Any] = {"marker": "o", "markersize": 3} if len(epochs) < 3 else {}
    ax.plot(epochs, [100 * error for error in errors], color=BLUE, linewidth=2, zorder=2, label=name, **dots)
    top = max((max(errors) for _, errors in curves.values() if len(errors)), default=1.0)
    last = max((max(epochs) for epochs, _ in curves.values() if len(epochs)), default=1)
    ax.set(xlabel="epoch", ylabel="top-1 error (%)", ylim=(0, 105 * (top or 0.01)), xlim=(0, 1.04 * last))
    ax.set_title(name, loc="left", fontsize=11)
    ax.xaxis.set_major_locator(MaxNLocator(3, steps=ROUND, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(4, steps=ROUND))
    return ax


def plot_confusion(counts: Sequence[Sequence[int]], names: Sequence[str], ax: Axes) -> Axes:
    """Heat map of the wrong answers, darkest the largest share of its true class; right answers in grey.

    counts: rows the truth, columns the answer. The counts are printed where there is room for them.
    """
    table = np.asarray(counts, dtype=float)
    share = 100 * table / np.maximum(table.sum(1, keepdims=True), 1)
    right = np.eye(len(names), dtype=bool)
    wrong = np.ma.masked_array(share, mask=right)
    top = max(float(share[~right].max(initial=0.0)), 1.0)
    ax.pcolormesh(np.ma.masked_array(np.ones_like(share), mask=~right), cmap=LinearSegmentedColormap.from_list(
        "right", [PALE, PALE]), edgecolors="white", linewidth=0.5)  # fmt: skip
    mesh = ax.pcolormesh(wrong, cmap=BLUES, vmin=0, vmax=top, edgecolors="#eef1f4", linewidth=0.5)
    bar = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0, 0.04, 1)))
    bar.set_label("share of the true class (%)")
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4, steps=ROUND))
    if len(names) <= 12:
        size = 10 if table.max(initial=0) < 1000 else 8
        for (row, column), count in np.ndenumerate(table):
            if count:
                dark = row != column and share[row, column] > 0.55 * top
                ax.text(column + 0.5, row + 0.5, f"{count:.0f}", ha="center", va="center", fontsize=size,
                        color="white" if dark else GREY if row == column else INK)  # fmt: skip
    middles, short = [i + 0.5 for i in range(len(names))], [ellipsis(name, 18) for name in names]
    points = 11 if len(names) <= 12 else 8.5
    flat = max(len(name) for name in short) <= 2
    ax.set_xticks(middles, short, rotation=0 if flat else 90, fontsize=points)
    ax.set_yticks(middles, short, fontsize=points)
    ax.set(xlabel="answer", ylabel="truth", ylim=(len(names), 0))
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


def plot_class_errors(
    names: Sequence[str], errors: Sequence[float], ax: Axes, images: Sequence[int] | None = None
) -> Axes:
    """Horizontal bars of top-1 error by class, the worst on top. errors: fractions in [0, 1].

    images: judged images by class; with them each bar has its 95 % interval and its counts.
    """
    order = sorted(range(len(names)), key=lambda i: -errors[i])
    values = [100 * errors[i] for i in order]
    slots = list(range(len(order)))
    ax.barh(slots, values, color=BLUE, height=0.68)
    ax.set_yticks(slots, [ellipsis(names[i], 24) for i in order])
    ends, said = values, [f"{value:.1f}" for value in values]
    if images is not None:
        wrong = [round(errors[i] * images[i]) for i in order]
        bounds = [wilson(count, images[i]) for count, i in zip(wrong, order, strict=True)]
        ends = [100 * high for _, high in bounds]
        said = [f"{count} of {images[i]}" for count, i in zip(wrong, order, strict=True)]
        ax.hlines(slots, [100 * low for low, _ in bounds], ends, color=INK, linewidth=1.4, gid="intervals")
    reach = (1.18 if images is None else 1.3) * (max(ends, default=0) or 1)
    for slot, end, text in zip(slots, ends, said, strict=True):
        ax.text(end + 0.012 * reach, slot, text, va="center", fontsize=10, color="#52606d")
    ax.set(
        xlabel="top-1 error (%)" + (", 95% interval" if images is not None else ""),
        xlim=(0, reach),
        ylim=(len(order) - 0.4, -0.6),
    )
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    return ax


def tenths(hits: Sequence[int], images: Sequence[int]) -> list[int]:
    """How many classes have a hit rate in each tenth from 0 to 100 %, the last with its upper end.

    hits: images answered right, of `images` (N > 0), by class. In whole numbers, so that 3 of 10 is 30 %.

    >>> tenths([0, 3, 9, 10], [10, 10, 10, 10])
    [1, 0, 0, 1, 0, 0, 0, 0, 0, 2]
    """
    counts = [0] * 10
    for hit, of in zip(hits, images, strict=True):
        counts[min(10 * hit // of, 9)] += 1
    return counts


def plot_hit_rates(hits: Sequence[int], images: Sequence[int], ax: Axes, k: int) -> Axes:
    """Histogram of the classes' top-k hit rates in tenths. hits, images: see `tenths`."""
    counts = tenths(hits, images)
    starts = [10 * tenth for tenth in range(10)]
    ax.bar(starts, counts, width=10, align="edge", color=BLUE, edgecolor="white", linewidth=1.5)
    reach = 1.14 * max(*counts, 1)
    for start, count in zip(starts, counts, strict=True):
        if count:
            ax.text(
                start + 5, count + 0.015 * reach, str(count), ha="center", va="bottom", fontsize=10, color="#52606d"
            )
    ax.set(xlabel=f"top-{k} hit rate of a class (%)", ylabel="classes", xlim=(0, 100), ylim=(0, reach))
    ax.set_xticks([*starts, 100])
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND, integer=True))
    ax.grid(False, axis="x")
    return ax


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


def ellipsis(name: str, limit: int) -> str:
    """A name shortened for a chart; the tables have it whole.

    >>> ellipsis("garden spider, Aranea diademata", 18), ellipsis("tabby", 18)
    ('garden spider, Ar…', 'tabby')
    """
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


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


def _error_axis(ax: Axes, marks: Sequence[Mark], axis: str) -> None:
    """Percent, from 0 unless all lie far above it; logarithmic where the worst error is over ten times the best."""
    errors, label = [mark.error for mark in marks], "top-1 error (%)"
    top = 100 * max(mark.high for mark in marks)
    if min(errors) > 0 and max(errors) / min(errors) > 10:
        lowest = 100 * min(max(mark.low, 0.4 * mark.error) for mark in marks)
        ax.set(**{f"{axis}scale": "log"})
        ax.set(**{f"{axis}lim": (0.85 * lowest, 1.15 * top), f"{axis}label": f"{label}, log scale"})
        _plain_log_ticks(ax, axis, [lowest, top])
    else:
        low = 100 * min(mark.low for mark in marks)
        start = low - 0.4 * (top - low) if low > 0.6 * top else 0.0
        ax.set(**{f"{axis}lim": (max(start, 0.0), top + 0.08 * (top - start) or 1.0), f"{axis}label": label})
        getattr(ax, f"{axis}axis").set_major_locator(MaxNLocator(6, steps=ROUND))


def _plain_log_ticks(ax: Axes, axis: str, values: Sequence[float]) -> None:
    """Ticks such as 1, 2, 5, 10 with plain numbers, as dense as the range allows."""
    decades = np.log10(max(values) / min(values))
    subs = (1.0, 2.0, 5.0) if decades < 1.7 else (1.0, 3.0) if decades < 2.6 else (1.0,)
    scale = getattr(ax, f"{axis}axis")
    scale.set_major_locator(LogLocator(subs=subs, numticks=30 if decades < 4 else 6))
    scale.set_minor_locator(NullLocator())
    scale.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _: int | None = None) -> str:
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{value / (1e3 if unit == ' k' else size):g}{unit}"
    return f"{value:g}"
