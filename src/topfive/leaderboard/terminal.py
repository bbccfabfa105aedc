"""A contest in words: how a figure is written, who leads, which differences are real; and the table for the terminal.

The HTML page says the same in the same words, because it takes them from here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from topfive.errors import listed

Board = dict[str, Any]  # the content of leaderboard.json
Entry = dict[str, Any]  # one of board["entries"]
Verdict = Literal["better", "worse", "not told apart", "not compared"]

VERSIONS = ("topfive", "torch", "python")  # that `board["machine"]` and a model file both name
NOTHING = "–"  # a figure that does not apply or is not known
RANK_MEANS = (
    "rank = 1 + the number of entries significantly better (exact paired McNemar test on top-1, Holm over all pairs); "
    "it covers the sample of images, not the training seeds"
)


def percent(fraction: float | None, of: int, sign: str = "%") -> str:
    """A fraction as a percentage, with two digits after the point where `of` images can carry them.

    >>> percent(0.0301, of=797), percent(0.0301, of=50_000), percent(None, of=797)
    ('3.0%', '3.01%', '–')
    """
    return NOTHING if fraction is None else f"{100 * fraction:.{2 if of >= 20_000 else 1}f}{sign}"


def interval(bounds: Sequence[float] | None, of: int) -> str:
    """A 95% interval as percentages.

    >>> interval([0.0204, 0.0441], of=797)
    '2.0–4.4%'
    """
    return NOTHING if bounds is None else f"{percent(bounds[0], of, sign='')}–{percent(bounds[1], of)}"


def magnitude(count: float | None) -> str:
    """Three figures and k, M, G or T.

    >>> magnitude(60_000), magnitude(325_680), magnitude(1_814_073_344), magnitude(999_999), magnitude(36)
    ('60.0 k', '326 k', '1.81 G', '1.00 M', '36')
    """
    if count is None:
        return NOTHING
    if count < 1000:
        return f"{count:.0f}"
    for unit in "kMGT":
        count /= 1000
        if count < 999.5 or unit == "T":
            break
    return f"{count:.{2 if count < 9.995 else 1 if count < 99.95 else 0}f} {unit}"


def figure(value: float | None) -> str:
    """Minutes, milliseconds or megabytes: two significant figures, and no digits nobody reads.

    >>> figure(0.0424), figure(0.31), figure(3.64), figure(41.2), figure(0), figure(None)
    ('0.042', '0.31', '3.6', '41', '0', '–')
    """
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def chance(p: float) -> str:
    """A p value.

    >>> chance(0.3), chance(0.0123), chance(0.00004)
    ('0.30', '0.012', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def ranked(board: Board) -> list[Entry]:
    """The entries that have figures, best first."""
    judged = [entry for entry in board["entries"] if entry["top1_error"] is not None]
    return sorted(judged, key=lambda entry: (entry["rank"], entry["top1_error"], entry["year"], entry["entry"]))


def failed(board: Board) -> list[Entry]:
    """The entries that have none."""
    return [entry for entry in board["entries"] if entry["top1_error"] is None]


def shortened(entry: Entry) -> bool:
    """Whether its recipe was cut, in epochs or images, as the plan and the contest say it among the changes."""
    return any(change.endswith("to keep to the minutes") for change in entry.get("changes", []))


def leader(board: Board) -> Entry | None:
    """The entry of least top-1 error, or None when none was judged."""
    return min(ranked(board), key=lambda entry: entry["top1_error"], default=None)


def verdicts(board: Board) -> dict[tuple[str, str], Verdict]:
    """(a, b) -> what the test says of `a` beside `b`, for every ordered pair of judged entries."""
    names = [entry["entry"] for entry in ranked(board)]
    said: dict[tuple[str, str], Verdict] = {(a, b): "not compared" for a in names for b in names if a != b}
    for pair in board["comparisons"]:
        a, b = pair["a"], pair["b"]
        a_wins = pair["only_a_right"] > pair["only_b_right"]
        ahead, behind = (a, b) if a_wins else (b, a)
        said[ahead, behind] = "better" if pair["significant"] else "not told apart"
        said[behind, ahead] = "worse" if pair["significant"] else "not told apart"
    return said


def beside(board: Board, name: str, verdict: Verdict) -> list[str]:
    """The entries beside which the test gives `name` this verdict, best first."""
    said = verdicts(board)
    return [other["entry"] for other in ranked(board) if said.get((name, other["entry"])) == verdict]


def answer(board: Board) -> str:
    """Who leads, and which differences are real, in a sentence or two."""
    best = leader(board)
    if best is None:
        return "No entry finished, so there is nothing to rank; each says why below."
    name, of = best["entry"], best["of"]
    error = f"{percent(best['top1_error'], of)} top-1 error (95% interval {interval(best['top1_interval'], of)})"
    where = f"on the {of:,} {board['data']['judged']} images"
    others = ranked(board)[1:]
    if not others:
        said = f"{name} has {error} {where}. No other entry was judged, so there is nothing to compare it with."
    else:
        beaten, alike = beside(board, name, "better"), beside(board, name, "not told apart")
        if beaten and alike:
            tail = f"significantly better than {_some(beaten, others)}, but not told apart from {_some(alike, others)}"
        elif beaten:
            tail = f"significantly better than {_some(beaten, others)}"
        elif alike:
            tail = f"but these images cannot tell it apart from {_some(alike, others)}"
        else:
            tail = "but it was not compared with the others"
        level = [other["entry"] for other in others if other["top1_error"] == best["top1_error"]]
        beside_it = f", level with {listed(level)}" if level else ""
        said = f"{name} leads with {error} {where}{beside_it}, {tail}."
    if best["external_data"]:
        own = next((entry for entry in others if not entry["external_data"]), None)
        said += " It was trained with external data" + (
            f"; the best without is {own['entry']} at {percent(own['top1_error'], of)} "
            f"({interval(own['top1_interval'], of)})."
            if own
            else "."
        )
    return said


def chosen(board: Board) -> str:
    """What follows from that the judged images also chose, in a sentence; empty where they had no choice."""
    judged, pick = ranked(board), board["pick"]
    if len(judged) < 2:
        return ""
    if pick is None or pick.get("of") == 1:  # its limits chose it
        return "The leader is chosen on the images that judge it, so its error is on average a little too low."
    others = [entry for entry in judged if entry["entry"] != pick["entry"]]
    alike = beside(board, pick["entry"], "not told apart")
    tail = f"; the pick, {pick['entry']}, is not told apart from {_some(alike, others)}" if alike else ""
    return (
        "Leader and pick are chosen on the images that judge them, so their errors are on average a little too low"
        f"{tail}."
    )


def _some(names: Sequence[str], others: Sequence[Entry]) -> str:
    if len(names) == len(others) > 1:
        return f"any of the {len(others)} others"
    return listed(names) if len(names) <= 3 else f"{len(names)} of the {len(others)} others"


def top5_undefined(board: Board) -> str:
    """Why there is no top-5 error, or an empty string where there is one."""
    classes = len(board["data"]["classes"])
    return f"Top-5 error is not defined with {classes} classes: it needs more than five." if classes <= 5 else ""


def top5(entry: Entry, board: Board) -> tuple[str, str]:
    """The top-5 error and its interval; where there are too few classes "not defined", and the largest k that is."""
    if entry["top5_error"] is not None:
        return percent(entry["top5_error"], entry["of"]), interval(entry["top5_interval"], entry["of"])
    if not top5_undefined(board):
        return NOTHING, ""
    smaller = entry["smaller_k"]
    return "not defined", f"top-{smaller['k']} {percent(smaller['error'], entry['of'])}" if smaller else ""


def evaluated(entries: Sequence[Mapping[str, Any]]) -> str:
    """How many images each entry was judged on; entries that differ are named."""
    counts: dict[tuple[int, int], list[str]] = {}
    for entry in entries:
        counts.setdefault((entry["evaluated"], entry["of"]), []).append(entry["entry"])
    if len(counts) == 1:
        (done, of) = next(iter(counts))
        return f"Evaluated {done:,} of {of:,} images" + (", the same for every entry." if len(entries) > 1 else ".")
    return " ".join(f"Evaluated {done:,} of {of:,} images: {listed(names)}." for (done, of), names in counts.items())


def elsewhere(board: Board) -> list[str]:
    """The entries that were made or timed under other versions, or on another machine, than the board names."""
    here, groups = board["machine"], dict[str, list[str]]()
    for entry in ranked(board):
        made, timed = entry.get("versions") or {}, entry.get("machine") or {}  # files of before have neither
        for verb, there, keys in (("made", made, VERSIONS), ("timed", timed, (*VERSIONS, "processor", "cores"))):
            differs = [f"{key} {there[key]}" for key in keys if there.get(key, here[key]) != here[key]]
            if differs:
                groups.setdefault(f"{verb} with {listed(differs)}", []).append(entry["entry"])
    return [f"{listed(names)}: {how}" for how, names in groups.items()]


def table(board: Board) -> Table:
    """The leaderboard for a terminal of 100 columns or more. Names fold onto a second line, they are never cut."""
    data, entries = board["data"], ranked(board)
    title = f"{board['name']}: {len(data['classes'])} classes, judged on {data['counts'][data['judged']]:,} "
    shown = Table(
        title=Text(f"{title}{data['judged']} images"), title_justify="left", title_style="bold",
        caption_justify="left", caption_style="", box=None, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    shown.add_column("rank", justify="right", no_wrap=True)
    shown.add_column(Text("entry\nyear"), overflow="fold", min_width=14)
    for head in ("top-1 error\n95% interval", "top-5 error\n95% interval"):
        shown.add_column(Text(head), justify="right", min_width=12)
    for head in ("training\nminutes", "params", "MACs", "ms per\nimage", "file\nMB"):
        shown.add_column(Text(head), justify="right", no_wrap=True)
    for entry in entries:
        of, top5_error = entry["of"], top5(entry, board)
        year = f"{entry['year']}{', external data' if entry['external_data'] else ''}"
        year += ", shortened" if shortened(entry) else ""
        shown.add_row(
            str(entry["rank"]),
            Text.assemble(entry["entry"], "\n", (year, "dim")),
            Text.assemble((percent(entry["top1_error"], of), "bold"), "\n", interval(entry["top1_interval"], of)),
            Text("\n".join(top5_error)),
            figure(entry["train_minutes"]),
            magnitude(entry["params"]),
            magnitude(entry["macs"]),
            figure(entry["ms_per_image"]),
            figure(entry["file_mb"]),
        )
    for entry in failed(board):
        shown.add_row(NOTHING, Text.assemble(entry["entry"], "\n", (str(entry["year"]), "dim")), Text("failed", "red"))
    notes = [answer(board)]
    notes += [f"{entry['entry']} failed: {entry['reason']}" for entry in failed(board)]
    notes += [evaluated(entries)] if entries else []
    notes += [why] if entries and (why := top5_undefined(board)) else []
    if any(map(shortened, entries)):
        notes.append("Shortened: its recipe was cut to keep to the minutes; report.html says by how much.")
    notes += [f"{RANK_MEANS[0].upper()}{RANK_MEANS[1:]}."] if len(entries) > 1 else []
    notes += [price] if (price := chosen(board)) else []
    shown.caption = Text("\n".join(["", *notes]))
    return shown
