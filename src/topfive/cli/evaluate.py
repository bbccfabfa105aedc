"""What `topfive evaluate` does: the report of one model on one protocol, or a table of several."""

import json
import logging
from pathlib import Path

from topfive.data import open_data
from topfive.data.crops import check_crops
from topfive.errors import Misused
from topfive.evaluation import evaluate
from topfive.evaluation.hierarchy import open_hierarchy
from topfive.evaluation.ranks import ranks_here
from topfive.evaluation.reassessed import read_real
from topfive.evaluation.table import table, to_text
from topfive.models import load


def answer(
    models: list[Path], data: str, split: str | None, crops: str, scores: Path | None,
    submission: Path | None, tree: str | None, boxes: str | None, max_error: float | None,
    real: Path | None, select: bool, as_json: bool,
) -> str | None:  # fmt: skip
    """What is printed; of several processes the first prints. Raises Misused for what only one model's report has."""
    names = [name.strip() for name in crops.split(",")]
    if not all(names):
        raise Misused(f"--crops: expected protocols joined by single commas, got {crops!r}; leave out the empty one")
    protocols = [check_crops(name) for name in names]
    several = len(models) > 1 or len(protocols) > 1 or select
    alone = {
        "--submission": submission, "--tree": tree, "--boxes": boxes, "--max-error": max_error, "--real": real,
    }  # fmt: skip
    for option, given in alone.items():
        if several and given is not None:
            raise Misused(f"{option}: is for one model on one protocol, got several; leave it out or give one")
    log, writes = logging.getLogger("topfive"), ranks_here().writes
    if not writes:
        log.setLevel(logging.ERROR)
    images = open_data(data)
    log.info("%s", images.to_text())
    if several:
        rows, files = (
            table([load(one) for one in models], images, split, protocols, scores, select),
            [*map(str, models)],
        )
        if not as_json:
            return to_text(rows, files) if writes else None
        documents = [
            {**row._asdict(), "files": [files[place - 1] for place in row.models], "report": row.report.document}
            for row in rows
        ]
        return _json(documents) if writes else None
    hierarchy = open_hierarchy(tree, [label.key for label in images.classes]) if tree else None
    lists = read_real(real) if real else None
    report = evaluate(models[0], images, split, scores, protocols[0], submission, hierarchy, boxes, max_error, lists)
    text = _json(report.document) if as_json else report.to_text()
    return text if writes else None


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)
