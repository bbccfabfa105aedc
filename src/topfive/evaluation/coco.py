"""COCO's mean average precision of boxes and of masks, computed by COCO's own library, the extra `coco`.

Lin et al. 2014, arXiv:1405.0312; the rules are those of the COCO detection challenge: average precision at 101 recalls,
the mean over overlaps of 0.5, 0.55, ... 0.95 and over classes, of the 100 surest detections of an image and class.
"""

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from topfive.data.boxes import Box
from topfive.errors import BadShape, MissingExtra
from topfive.evaluation.boxes import check_boxes

# What COCO's library prints, in its order.
FIGURES = (
    "ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large",
    "recall_1", "recall_10", "recall_100", "recall_small", "recall_medium", "recall_large",
)  # fmt: skip
By = Literal["boxes", "masks"]


class Detection(NamedTuple):
    """label: a class key. box: in px, borders included. mask: bool (H, W), of the whole image; may be left out."""

    image: str
    label: str
    confidence: float
    box: Box
    mask: NDArray[np.bool_] | None = None


class Truth(NamedTuple):
    """An object; with `crowd` a region of many, in which detections are neither right nor wrong."""

    image: str
    label: str
    box: Box
    crowd: bool = False
    mask: NDArray[np.bool_] | None = None


def coco_figures(
    found: Sequence[Detection], truths: Sequence[Truth], images: Sequence[str], by: By = "boxes"
) -> dict[str, float | None]:
    """FIGURES, each in [0, 1], or None where there is no object that it is of.

    images: the ids of all judged images, those without objects included. An object is small below 32 x 32 px and large
    from 96 x 96 on, by the area of its mask where masks are judged. Raises BadShape for an image that is not judged or
    a mask that is missing, MissingExtra without pycocotools.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingExtra("coco_figures: needs COCO's library; pip install 'topfive[coco]'") from None
    labels = sorted({one.label for one in truths} | {one.label for one in found})
    known, given = (_annotations(marks, images, labels, by) for marks in (truths, found))
    # The sides of images, which the library asks for where there are masks.
    sizes: dict[int, list[int]] = {}
    for row in (*known, *given) if by == "masks" else ():
        if sizes.setdefault(row["image_id"], row["segmentation"]["size"]) != row["segmentation"]["size"]:
            raise BadShape(f"coco_figures: expected masks of one size on {images[row['image_id']]}, got others")
    tables = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):  # the library tells of its progress
        for table, annotations in zip(tables, (known, given), strict=True):
            table.dataset = {
                "images": [
                    dict(zip(("id", "height", "width"), (number, *sizes.get(number, (0, 0))), strict=True))
                    for number in range(len(images))
                ],
                "categories": [{"id": number} for number in range(len(labels))],
                "annotations": annotations,
            }
            table.createIndex()
        judge = COCOeval(*tables, iouType="bbox" if by == "boxes" else "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    figures = [float(figure) for figure in judge.stats]
    return {name: figure if figure >= 0 else None for name, figure in zip(FIGURES, figures, strict=True)}


def _annotations(
    marks: Sequence[Detection | Truth], images: Sequence[str], labels: Sequence[str], by: By
) -> list[dict[str, Any]]:
    """Marks as COCO writes them, counted from 1: its library takes a number of 0 for no match."""
    image_of, label_of = ({name: number for number, name in enumerate(names)} for names in (images, labels))
    rows = []
    for number, mark in enumerate(marks, 1):
        if mark.image not in image_of:
            raise BadShape(f"coco_figures: expected marks of the {len(images)} images, got one of {mark.image}")
        if not math.isfinite(getattr(mark, "confidence", 1.0)):
            raise BadShape(f"coco_figures: expected finite confidences, got another on {mark.image}")
        rows.append({
            "id": number, "image_id": image_of[mark.image], "category_id": label_of[mark.label],
            "iscrowd": int(isinstance(mark, Truth) and mark.crowd), "score": getattr(mark, "confidence", 1.0),
            **_place(mark, by),
        })  # fmt: skip
    return rows


def _place(mark: Detection | Truth, by: By) -> dict[str, Any]:
    """Where a mark lies, as COCO writes it: left, top, width and height, or the mask's runs."""
    if by == "boxes":
        check_boxes(f"coco_figures, {mark.image}", torch.tensor([mark.box[:4]], dtype=torch.float64))
        width, height = mark.box.right - mark.box.left + 1, mark.box.bottom - mark.box.top + 1
        return {"bbox": [mark.box.left, mark.box.top, width, height], "area": width * height}
    if mark.mask is None or mark.mask.dtype != np.bool_:
        found = "none" if mark.mask is None else f"one of {mark.mask.dtype}"
        raise BadShape(f"coco_figures: expected a bool mask of each mark, got {found} on {mark.image}")
    from pycocotools.mask import encode

    return {"segmentation": encode(np.asfortranarray(mark.mask, dtype=np.uint8)), "area": int(mark.mask.sum())}
