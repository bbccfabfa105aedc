"""What `topfive evaluate` does: the report of one model on one protocol, or a table of several."""

import json
import logging
from pathlib import Path

from topfive.data import open_data
from topfive.data.crops import check_crops
from topfive.errors import Misused
from topfive.evaluation import evaluate
from topfive.evaluation.hierarchy import open_hierarchy
from topfive.evaluation.table import table, to_text
from topfive.models import load


def answer(
    models: list[Path], data: str, split: str | None, crops: str, scores: Path | None,
    submission: Path | None, tree: str | None, boxes: str | None, max_error: float | None, as_json: bool,
) -> str:  # fmt: skip
    """What is printed. Raises Misused for what only the report of one model has."""
    protocols = [check_crops(name.strip()) for name in crops.split(",")]
    several = len(models) > 1 or len(protocols) > 1
    alone = (("--submission", submission), ("--tree", tree), ("--boxes", boxes), ("--max-error", max_error))
    for option, given in alone:
        if several and given is not None:
            raise Misused(f"{option}: is for one model on one protocol, got several; leave it out or give one")
    images = open_data(data)
    logging.getLogger("topfive").info("%s", images.to_text())
    if several:
        rows = table([load(one) for one in models], images, split, protocols, scores)
        return _json([{**row._asdict(), "report": row.report.document} for row in rows]) if as_json else to_text(rows)
    hierarchy = open_hierarchy(tree, [label.key for label in images.classes]) if tree else None
    report = evaluate(models[0], images, split, scores, protocols[0], submission, hierarchy, boxes, max_error)
    return _json(report.document) if as_json else report.to_text()


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)
