"""The report of a contest: one HTML page that needs no network, drawn from leaderboard.json alone.

Charts are inline SVG whose text stays text. The page's own content policy forbids every request, so a class name or a
path that came with somebody's data cannot make the reader's browser ask for anything.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from itertools import permutations
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from topfive.errors import listed
from topfive.evaluation.intervals import wilson
from topfive.evaluation.objects import in_words
from topfive.leaderboard import confidence, gallery, mistakes, plots, terminal
from topfive.leaderboard.marks import Mark
from topfive.leaderboard.svg import chart, figure_svg
from topfive.leaderboard.terminal import Board, Entry, percent

NARROW, WIDE = 5.5, 11.0  # inches, 72 units each: a phone or half a desktop page; the whole width of one
HEAT_MAP_CLASSES, FEW_PAIRS, WORST_CLASSES = 30, 10, 40


def render(board: Board) -> str:
    """The page for the content of leaderboard.json, as one HTML document."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "percent": percent, "interval": terminal.interval, "magnitude": terminal.magnitude,
        "figure": terminal.figure, "chance": terminal.chance, "listed": listed, "breakable": breakable,
    }  # fmt: skip
    entries = terminal.ranked(board)
    best = terminal.leader(board)
    names = class_names(board)
    return environment.get_template("report.html.jinja").render(
        board=board,
        data=board["data"],
        entries=entries,
        failed=terminal.failed(board),
        best=best,
        answer=terminal.answer(board),
        chosen=terminal.chosen(board),
        evaluated=terminal.evaluated(entries) if entries else "",
        top5={entry["entry"]: terminal.top5(entry, board) for entry in entries},
        top5_undefined=terminal.top5_undefined(board),
        rank_means=terminal.RANK_MEANS,
        nothing=terminal.NOTHING,
        external=any(entry["external_data"] for entry in entries),
        flat=[entry["entry"] for entry in entries if not errors_in_training(entry)],
        shortened=[entry["entry"] for entry in entries if terminal.shortened(entry)],
        letters=[*ascii_uppercase, *map(str, range(27, len(entries) + 1))],
        verdicts=terminal.verdicts(board),
        p_holm={
            pair: compared["p_holm"]
            for compared in board["comparisons"]
            for pair in permutations((compared["a"], compared["b"]))
        },
        beside={
            entry["entry"]: {
                verdict: terminal.beside(board, entry["entry"], verdict)
                for verdict in ("better", "not told apart", "worse")
            }
            for entry in entries
        },
        pairs=confused_pairs(board, names),
        by_height=heights_in_words(board),
        surest=gallery.surest(board, names),
        eras=gallery.eras(board, names),
        hardest=gallery.hardest(board, names),
        worth=confidence.rows(entries),
        worth_means=confidence.in_words(entries, len(names)) if confidence.rows(entries) else "",
        started=started(board["started_at"]),
        elsewhere=terminal.elsewhere(board),
        **charts(board, names),
    )


def class_names(board: Board) -> dict[str, str]:
    """Class key -> the name to show; two classes of one name ("crane") are told apart by their keys."""
    classes = board["data"]["classes"]
    often = Counter(one["name"] for one in classes)
    return {one["key"]: one["name"] if often[one["name"]] == 1 else f"{one['name']} ({one['key']})" for one in classes}


def confused_pairs(board: Board, names: dict[str, str]) -> list[dict[str, Any]]:
    """The best entry's wrong answers, most frequent first, with names for keys; fewer of them beside a heat map."""
    best = terminal.leader(board)
    if best is None:
        return []
    found = board.get("mistakes") or {"confused": mistakes.confused_pairs(best["confusion"], list(names))}
    pairs = found["confused"] if len(names) > HEAT_MAP_CLASSES else found["confused"][:FEW_PAIRS]
    return [pair | {"truth": names[pair["truth"]], "answer": names[pair["answer"]]} for pair in pairs]


def heights_in_words(board: Board) -> str | None:
    """How far off in the tree of classes the best entry's wrong answers lie; None without a tree, or of an old file."""
    counts = (board.get("mistakes") or {}).get("by_height")
    if not counts:
        return counts and ""
    wrong = sum(one["count"] for one in counts)
    said = listed([f"{one['count']:,} at height {one['height']}" for one in counts])
    return f"Height: the longest way from that folder down to a class. Of {wrong:,} wrong answers: {said}."


def started(instant: str) -> str:
    """An ISO instant as people write it.

    >>> started("2026-11-21T10:00:00Z")
    '21 November 2026, 10:00 UTC'
    """
    try:
        when = datetime.fromisoformat(instant)
    except ValueError:
        return instant
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".strip()


def charts(board: Board, names: dict[str, str]) -> dict[str, Any]:
    """Every chart that the figures at hand allow, by the name that the template knows; None for one without figures."""
    entries, best = terminal.ranked(board), terminal.leader(board)
    drawn: dict[str, Any] = dict.fromkeys(
        ("by_year", "learning", "confusion", "by_class", "hits", "by_scale", "reliability", "by_coverage")
    )
    if entries:
        drawn["by_year"] = year_chart(entries)
        drawn["learning"] = learning_chart(entries)
        drawn["reliability"] = reliability_chart(entries)
        drawn["by_coverage"] = coverage_chart(entries)
    for place, key, label, what, unit in (
        ("by_minutes", "train_minutes", "training (minutes)", "training time", " min"),
        ("by_ms", "ms_per_image", "time for one image (ms)", "time for one image", " ms"),
        ("by_depth", "depth", "layers with weights", "depth", " layers"),
        ("by_macs", "macs", "multiply-accumulates for one image", "work for one image", " MACs"),
    ):
        drawn[place] = cost_chart(entries, key, label, what, unit)
    if best and best["confusion"] and len(names) <= HEAT_MAP_CLASSES:
        longest = min(max(len(name) for name in names.values()), 18)
        drawn["confusion"] = chart(
            lambda ax: plots.plot_confusion(best["confusion"], list(names.values()), ax),
            f"Confusion of {best['entry']}: rows the truth, columns the answer. "
            f"Most frequent: {_pairs_in_words(confused_pairs(board, names)[:3])}.",
            (NARROW, 4.6 + 0.07 * longest),
        )
    if best and best["per_class_error"]:
        drawn["by_class"] = class_chart(best, board["data"].get("per_class_images"), names)
        drawn["by_scale"] = scale_chart(board)
        drawn["hits"] = hit_chart(best, board["data"].get("per_class_images"), names)
    return drawn


def year_chart(entries: Sequence[Entry]) -> Markup:
    """Error by year, twice: years to the right for a wide page, down the page for a narrow one."""
    years, shown = [entry["year"] for entry in entries], marks(entries)
    said = "; ".join(
        f"{entry['year']} {entry['entry']} {percent(entry['top1_error'], entry['of'])}"
        for entry in sorted(entries, key=lambda entry: entry["year"])
    )
    label = f"Top-1 error by year, oldest first, with 95% intervals and the best so far: {said}."
    tall = 1.0 + 0.36 * len(entries)
    return chart(lambda ax: plots.plot_error_by_year(years, shown, ax), label, (WIDE, 4.8), css="wide-only") + chart(
        lambda ax: plots.plot_error_by_year(years, shown, ax, upright=False), label, (NARROW, tall), css="narrow-only"
    )


def cost_chart(entries: Sequence[Entry], key: str, label: str, what: str, unit: str) -> dict[str, Any]:
    """Error against one cost: the drawing, None if fewer than two entries have that figure; and who has not."""
    known = [entry for entry in entries if entry[key] is not None]
    absent = [entry["entry"] for entry in entries if entry[key] is None]
    if len(known) < 2:
        return {"svg": None, "absent": absent}
    costs = [float(entry[key]) for entry in known]
    layers = key == "depth"
    write = terminal.magnitude if key in ("macs", "depth") else terminal.figure
    said = "; ".join(
        f"{entry['entry']} {write(entry[key])}{unit}, {percent(entry['top1_error'], entry['of'])}" for entry in known
    )
    svg = chart(
        lambda ax: plots.plot_error_by_cost(costs, marks(known), ax, label, front=not layers, whole=layers),
        f"Top-1 error against {what}: {said}.",
        (NARROW, 4.1),
    )
    return {"svg": svg, "absent": absent}


def errors_in_training(entry: Entry) -> list[dict[str, Any]]:
    """The points of an entry's training curve that have a top-1 error: one that learns codes has none."""
    return [point for point in entry["curve"] if point.get("top1_error") is not None]


def learning_chart(entries: Sequence[Entry]) -> Markup | None:
    """A panel for each entry that has a training curve; None if no entry has one."""
    curves: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    for entry in entries:
        if points := errors_in_training(entry):
            curves[entry["entry"]] = ([point["epoch"] for point in points], [point["top1_error"] for point in points])
    if not curves:
        return None
    said = "; ".join(f"{name} from {errors[0]:.1%} to {errors[-1]:.1%} in epoch {epochs[-1]:.3g}"
                     for name, (epochs, errors) in curves.items())  # fmt: skip

    def draw(columns: int) -> Callable[[Figure], None]:
        def panels(figure: Figure) -> None:
            rows = math.ceil(len(curves) / columns)
            grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
            for place, ax in enumerate(grid.flat):
                if place >= len(curves):
                    ax.remove()
                    continue
                plots.plot_learning_curve(list(curves)[place], curves, ax)
                ax.set(xlabel="", ylabel=ax.get_ylabel() if place % columns == 0 else "")
                ax.tick_params(labelbottom=place + columns >= len(curves))
            figure.supxlabel("epoch", fontsize=12)

        return panels

    label = f"Top-1 error on the training images by epoch: {said}."
    wide = min((4, 3), key=lambda columns: -len(curves) % columns) if len(curves) > 2 else len(curves)
    narrow = min(2, len(curves))
    size = (WIDE if wide > 2 else 1.1 + 0.36 * wide * WIDE, 0.6 + 1.9 * math.ceil(len(curves) / wide))
    small = (NARROW, 0.6 + 1.8 * math.ceil(len(curves) / narrow))
    return figure_svg(draw(wide), label, size, "wide-only") + figure_svg(draw(narrow), label, small, "narrow-only")


def class_chart(best: Entry, images: Sequence[int] | None, names: dict[str, str]) -> Markup:
    """Error by class of the best entry, the worst classes only where there are many.

    images: judged images by class; None in a file of before, of which no intervals are drawn.
    """
    errors, shown = best["per_class_error"], list(names.values())
    worst = sorted((i for i in range(len(shown)) if errors[i] is not None), key=lambda i: -errors[i])[:WORST_CLASSES]
    said = "; ".join(f"{shown[i]} {errors[i]:.1%}" for i in worst[:5])
    label = f"Top-1 error of {best['entry']} by class, the worst first: {said}."

    def draw(ax: Axes) -> Axes:
        counts = None if images is None else [images[i] for i in worst]
        return plots.plot_class_errors([shown[i] for i in worst], [errors[i] for i in worst], ax, counts)

    return chart(draw, label, (NARROW, 1.0 + 0.3 * len(worst)))


def hit_chart(best: Entry, images: Sequence[int] | None, names: dict[str, str]) -> dict[str, Any] | None:
    """Histogram of the best entry's hit rates over classes: top-5, or top-1 where top-5 is not defined.

    images: judged images by class; None in a file of before, which has no chart.
    """
    errors, k = best.get("per_class_top5_error") or best["per_class_error"], 5 if best["top5_error"] is not None else 1
    if images is None:
        return None
    rows = sorted(
        (error, name, round((1 - error) * of), of)
        for error, name, of in zip(errors, names.values(), images, strict=True)
        if error is not None
    )
    hits, counts = [hit for _, _, hit, _ in rows], [of for *_, of in rows]

    def one(row: tuple[float, str, int, int]) -> str:
        error, name, hit, of = row
        low, high = wilson(hit, of)
        return f"{name}, {hit} of {of} ({percent(1 - error, of)}, {terminal.interval([low, high], of)})"

    of, error, (low, high) = best["of"], best[f"top{k}_error"], best[f"top{k}_interval"]
    each = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    bins = plots.tenths(hits, counts)
    filled = "; ".join(f"{10 * i} to {10 * i + 10}% {count}" for i, count in enumerate(bins) if count)
    svg = chart(
        lambda ax: plots.plot_hit_rates(hits, counts, ax, k),
        f"Histogram of the top-{k} hit rates of {best['entry']} over {len(rows)} classes: {filled}.",
        (NARROW, 3.4),
    )
    said = (
        f"{len(rows):,} classes of {each} judged images. Of all {of:,} images {percent(1 - error, of)} are hits (95% "
        f"interval {terminal.interval([1 - high, 1 - low], of)}). Highest: {one(rows[0])}. Lowest: {one(rows[-1])}."
    )
    return {"title": f"Top-{k} hit rates over the classes", "svg": svg, "said": said}


def scale_chart(board: Board) -> dict[str, Any] | None:
    """Error by the scale of objects, of the best entry and of the other era's best; None without an image in any range,
    as where there are no boxes."""
    found, best = (board.get("mistakes") or {}).get("by_scale"), terminal.leader(board)
    if not found or best is None:
        return None
    own, eras = found[best["entry"]], board["mistakes"]["eras"]
    sides = [eras["old"]["entry"], eras["new"]["entry"]] if eras else []
    shown = [best["entry"], *(name for name in sides if name != best["entry"])][:2]
    filled = [place for place, one in enumerate(own) if one["images"]]
    if not filled:
        return None
    errors = {
        name: [(one["top1_error"], *one["top1_interval"]) for one in (ranges[place] for place in filled)]
        for name, ranges in found.items()
    }
    counts = [own[place]["images"] for place in filled]
    ranges = [in_words(own[place]) for place in filled]
    said = "; ".join(
        f"{name} {percent(error, of)} of {of:,} images"
        for name, of, (error, _, _) in zip(ranges, counts, errors[best["entry"]], strict=True)
    )
    ticks = [f"{name}\n{of:,} images" for name, of in zip(ranges, counts, strict=True)]
    svg = chart(
        lambda ax: plots.plot_error_by_scale(ticks, errors, shown, ax),
        f"Top-1 error of {best['entry']} by the share of the image that the object covers: {said}.",
        (NARROW, 3.8),
    )
    return {
        "svg": svg,
        "said": f"{sum(counts):,} of {best['of']:,} judged images have a box of their class; 95% intervals.",
    }


def reliability_chart(entries: Sequence[Entry]) -> Markup | None:
    """Share right against confidence of the best entries that have probabilities; None if none has."""
    known = [entry for entry in entries if entry.get("calibration")][: confidence.FEW]
    if not known:
        return None
    bins = {entry["entry"]: confidence.pooled(entry["calibration"]["bins"]) for entry in known}
    said = "; ".join(f"{entry['entry']} {entry['calibration']['ece']:.1%}" for entry in known)
    return chart(
        lambda ax: plots.plot_reliability(bins, ax),
        f"Share right against confidence, in bins. Calibration error: {said}.",
        (NARROW, 5.0),
    )


def coverage_chart(entries: Sequence[Entry]) -> Markup | None:
    """Error among the surest answers against how many are given, the best entries by name; None without figures."""
    known = {entry["entry"]: entry["risk_coverage"] for entry in entries if entry.get("risk_coverage")}
    if not known:
        return None
    shown = list(known)[: confidence.FEW]
    curves = {
        name: (
            [given / found["images"] for given in found["answered"]],
            [wrong / given for given, wrong in zip(found["answered"], found["wrong"], strict=True)],
        )
        for name, found in known.items()
    }

    def half(name: str) -> str:
        share, error = next((share, error) for share, error in zip(*curves[name], strict=True) if share >= 0.5)
        return f"{name} {error:.1%} of the surest {share:.0%}, {curves[name][1][-1]:.1%} of all"

    return chart(
        lambda ax: plots.plot_risk_coverage(curves, shown, ax),
        f"Top-1 error among the answers if only the surest are given: {'; '.join(map(half, shown))}.",
        (NARROW, 4.75),
    )


def marks(entries: Sequence[Entry]) -> list[Mark]:
    """Entries as charts show them."""
    return [
        Mark(entry["entry"], entry["top1_error"], low, high, entry["rank"] == 1, entry["external_data"])
        for entry in entries
        for low, high in [entry["top1_interval"]]
    ]


def breakable(text: str) -> Markup:
    """The text with places to break a line after underscores and slashes, so that names and paths fit narrow cards."""
    return Markup(re.sub("([_/])", r"\1<wbr>", str(escape(text))))


def _pairs_in_words(pairs: Sequence[dict[str, Any]]) -> str:
    said = (f"{pair['truth']} taken for {pair['answer']}, {pair['count']} of {pair['of']}" for pair in pairs)
    return "; ".join(said) or "none"
