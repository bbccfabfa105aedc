"""The charts of a contest. Each takes numbers and an `Axes` and returns it; none shows or saves."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from topfive.evaluation.intervals import wilson
from topfive.leaderboard.marks import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, Mark, draw_marks, label_points

BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#cfe4f3", "#6aaed6", BLUE, "#08306b"])
ROUND = [1, 2, 2.5, 5, 10]  # ticks at round numbers
LINES: list[dict[str, Any]] = [  # of entries in one chart, the best first; dashes say the same as colours
    {"color": BLUE, "linestyle": "-"}, {"color": ORANGE, "linestyle": (0, (5, 1.5))},
    {"color": GREEN, "linestyle": (0, (1.2, 1.2))}, {"color": PURPLE, "linestyle": (0, (5, 1.5, 1.2, 1.5))},
]  # fmt: skip

STYLE: dict[Any, Any] = {  # rcParams, applied by whoever makes the figure
    "svg.fonttype": "none", "svg.hashsalt": "topfive", "text.parse_math": False,
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 12, "axes.labelsize": 12, "axes.titlesize": 12, "xtick.labelsize": 11, "ytick.labelsize": 11,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": "#9aa5b1", "xtick.color": "#52606d",
    "ytick.color": "#52606d", "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": PALE, "grid.linewidth": 0.8, "xtick.major.size": 3, "ytick.major.size": 3,
}  # fmt: skip


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


def plot_error_by_scale(
    ranges: Sequence[str], errors: Mapping[str, Sequence[tuple[float, float, float]]], shown: Sequence[str], ax: Axes
) -> Axes:
    """Error in each range of an object's share of the image, of one entry or two; the others' in grey behind them.

    errors: entry -> error, low and high, in [0, 1], of each range. shown: drawn with intervals and names, the first in
    blue.
    """
    slots = range(len(ranges))
    for name in errors.keys() - {*shown}:
        ax.plot(slots, [100 * error for error, _, _ in errors[name]], color="#cbd2d9", linewidth=1, zorder=1)
    for above, color, fill, name in [(3, BLUE, BLUE, shown[0]), *((2, GREY, "white", name) for name in shown[1:])]:
        points = np.array([(error, error - low, high - error) for error, low, high in errors[name]]) * 100
        ax.errorbar(
            slots, points[:, 0], yerr=points[:, 1:].T.clip(0), fmt="o-", color=color, markerfacecolor=fill,
            markersize=7, capsize=3, linewidth=2, elinewidth=1.4, markeredgewidth=1.6, label=name, zorder=above,
        )  # fmt: skip
    top = 100 * max(high for name in shown for _, _, high in errors[name])
    ax.set(xlabel="share of the image that the object covers", ylabel="top-1 error (%)", ylim=(0, 1.08 * top or 1.0))
    ax.set_xticks(slots, ranges)
    ax.set_xlim(-0.4, len(ranges) - 0.6)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
    ax.grid(False, axis="x")
    ax.legend(frameon=False, loc="best", fontsize=11)
    return ax


def plot_reliability(bins: Mapping[str, Sequence[tuple[int, float, float]]], ax: Axes) -> Axes:
    """Share right against confidence, a line an entry; on the diagonal a confidence means what it says.

    bins: entry -> images, mean confidence and share right, both in [0, 1], of each bin that holds answers; at most as
    many entries as `LINES`, the best first. A disc's area is its bin's number of images. Leave bins of few images out,
    or pool them: their lines are the longest.
    """
    ax.plot([0, 100], [0, 100], color=GREY, linewidth=1.2, zorder=1, gid="diagonal")
    most = max(images for found in bins.values() for images, _, _ in found)
    for place, (name, found) in enumerate(bins.items()):
        images, confidence, right = np.array(found, dtype=float).reshape(-1, 3).T
        style, above = LINES[place], 3 + 0.1 * (len(bins) - place)
        ax.plot(100 * confidence, 100 * right, linewidth=1.6, label=ellipsis(name, 24), zorder=above, **style)
        ax.scatter(100 * confidence, 100 * right, s=_disc(images, most), color=style["color"], edgecolors="white",
                   linewidths=0.7, zorder=above + 0.05, gid=f"bins-{place}", clip_on=False)  # fmt: skip
    sizes = [_rounded(most), _rounded(most / 10)] if most >= 20 else [most]
    keys = [
        ax.scatter([], [], s=_disc(np.array([float(size)]), most), color=GREY, edgecolors="white",
                   label=f"{size:,} image{'s' if size != 1 else ''} in a bin") for size in sizes
    ]  # fmt: skip
    ax.set(xlabel="confidence (%)", ylabel="share right (%)", xlim=(0, 100), ylim=(0, 100))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=ROUND))
    named = [line for line in ax.lines if line.get_gid() != "diagonal"]
    _legend_below(ax, [*named, *keys])
    return ax


def plot_risk_coverage(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], shown: Sequence[str], ax: Axes
) -> Axes:
    """Error among the answers if only the surest are given, against the share that is; unnamed entries in grey behind.

    curves: entry -> shares answered and errors, both in [0, 1]. shown: at most as many entries as `LINES`, the best
    first.
    """
    for name in curves.keys() - {*shown}:
        share, error = curves[name]
        ax.plot([100 * one for one in share], [100 * one for one in error], color="#cbd2d9", linewidth=1, zorder=1)
    for place, name in enumerate(shown):
        share, error = ([100 * one for one in ends] for ends in curves[name])
        dots: dict[str, Any] = {"marker": "o", "markersize": 4} if len(share) < 3 else {}
        above = 3 + 0.1 * (len(shown) - place)
        ax.plot(share, error, linewidth=2, zorder=above, label=ellipsis(name, 24), **LINES[place], **dots)
    top = 100 * max(max(error) for _, error in curves.values())
    ax.set(xlabel="answered, the surest first (% of images)", ylabel="top-1 error among the answers (%)")
    ax.set(xlim=(0, 100), ylim=(0, 1.05 * top or 1.0))
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
    _legend_below(ax, [line for line in ax.lines if line.get_zorder() >= 3])
    return ax


def _legend_below(ax: Axes, handles: Sequence[Artist]) -> None:
    """What is what, in two columns below the axes, where no line can run through it."""
    ax.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(-0.02, -0.16), ncols=2, fontsize=11,
              handlelength=2.8, columnspacing=1.6, borderaxespad=0)  # fmt: skip


def _disc(images: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Areas of discs in square points, in proportion to the images down to the smallest that can be seen."""
    return np.maximum(180 * images / most, 14.0)


def _rounded(value: float) -> int:
    """A whole number of one figure, for a key."""
    return int(float(f"{value:.1g}"))


def ellipsis(name: str, limit: int) -> str:
    """A name shortened for a chart; the tables have it whole.

    >>> ellipsis("garden spider, Aranea diademata", 18), ellipsis("tabby", 18)
    ('garden spider, Ar…', 'tabby')
    """
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


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
