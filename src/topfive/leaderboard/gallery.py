"""The galleries of the page: judged images that went wrong, with names for class keys, and the words above them."""

from collections.abc import Sequence
from typing import Any

from topfive.leaderboard import terminal
from topfive.leaderboard.terminal import Board, percent


def hardest(board: Board, names: dict[str, str]) -> list[dict[str, Any]]:
    """The images that most entries got wrong, with names for keys; entries by rank, those of one answer together."""
    order = [entry["entry"] for entry in terminal.ranked(board)]
    shown = []
    for image in board["hardest"]:
        answers: dict[str, list[str]] = {}
        for entry in sorted(image["answers"], key=lambda name: order.index(name) if name in order else len(order)):
            answers.setdefault(image["answers"][entry], []).append(entry)
        shown.append({
            "id": image["id"], "truth": names.get(image["label"], image["label"]),
            "missed_by": image["missed_by"], "of": image["of"],
            "image": safe(image["image"]),
            "answers": [
                {"name": names.get(key, key) or "no answer", "entries": by, "right": key == image["label"]}
                for key, by in answers.items()
            ],
        })  # fmt: skip
    return shown


def surest(board: Board, names: dict[str, str]) -> dict[str, Any] | None:
    """The best entry's wrong answers of greatest probability, as the page shows them; None where there are none."""
    best, found = terminal.leader(board), board.get("mistakes")
    if best is None or not found or not found["surest"]:
        return None
    wrong, shown, of = round(best["top1_error"] * best["of"]), len(found["surest"]), best["of"]
    error = (
        f"top-1 error {percent(best['top1_error'], of)}, 95% interval {terminal.interval(best['top1_interval'], of)}"
    )
    some = f"The {shown} of greatest probability among its" if shown < wrong else "All its"
    said = f"{some} {wrong:,} wrong answers on {of:,} images ({error})."
    return {"said": said, "images": pictures(found["surest"], names, best["entry"])}


def eras(board: Board, names: dict[str, str]) -> dict[str, Any] | None:
    """What only the old era's best entry misses, only the new era's, and all entries; None where there is one era."""
    found = (board.get("mistakes") or {}).get("eras")
    if not found:
        return None
    old, new, of, entries = found["old"], found["new"], found["of"], found["entries"]
    all_of_them = "Both entries are" if entries == 2 else f"All {entries} entries are"
    kinds = []
    for key, title, who, by in (
        ("only_old_misses", "Only the old miss", f"{old['entry']} is wrong, {new['entry']} is right", old["entry"]),
        ("only_new_misses", "Only the new miss", f"{new['entry']} is wrong, {old['entry']} is right", new["entry"]),
        ("all_miss", "All miss: look at the label", f"{all_of_them} wrong", f"of {entries} say"),
    ):
        kind = found[key]
        share = f"{percent(kind['count'] / of, of)}, 95% interval {terminal.interval(kind['interval'], of)}"
        first = "those on whose answer most agree" if key == "all_miss" else "the surest wrong answers"
        some = f" {len(kind['images'])} of them are shown, {first}." if len(kind["images"]) < kind["count"] else ""
        said = f"{who} on {kind['count']:,} of {of:,} images ({share}).{some}"
        kinds.append({"title": title, "said": said, "images": pictures(kind["images"], names, by)})
    verdict = terminal.verdicts(board).get((new["entry"], old["entry"]), "not compared")
    tested = f"significantly {verdict} than" if verdict in ("better", "worse") else f"{verdict} from"
    said = (
        f"Each era speaks by its entry of least top-1 error: {old['entry']} of {old['year']} ({old['era']}) and "
        f"{new['entry']} of {new['year']} ({new['era']}), which is {tested} it."
    )
    return {"said": said, "kinds": kinds}


def pictures(images: Sequence[dict[str, Any]], names: dict[str, str], by: str) -> list[dict[str, Any]]:
    """Images of `mistakes` as a strip shows them. by: who gave the answer, or what follows the number of votes."""
    return [
        {
            "id": image["id"], "truth": names.get(image["label"], image["label"]), "image": safe(image["image"]),
            "answer": names.get(image["answer"], image["answer"]) or "no answer",
            "said": f"{image['votes']} {by}" if "votes" in image else f"{by}:",
            "weight": "" if "votes" in image else f", {surety(image['probability'])}",
        }
        for image in images
    ]  # fmt: skip


def surety(probability: float) -> str:
    """A probability that is not said to be 1.

    >>> surety(0.8584), surety(0.99999)
    ('85.8%', '> 99.9%')
    """
    return "> 99.9%" if probability > 0.999 else f"{probability:.1%}"


def safe(address: Any) -> str | None:
    """The data address of a picture; None for anything else, which a browser would fetch."""
    return address if str(address).startswith("data:image/") else None
