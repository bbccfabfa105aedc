"""What `topfive show` prints: the layers of an entry, a recipe, or how two recipes differ."""

import io
import json
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from topfive.errors import Misused, look_up
from topfive.models.coded import CodedSvm
from topfive.models.count import Side, count, total
from topfive.models.receptive import receptive_fields
from topfive.models.stages import Stage, stages_of
from topfive.models.zoo import ZOO, arguments_of, build, choices_of
from topfive.recipes.reading import open_recipe, published
from topfive.recipes.recipe import compare

WIDTH = 200  # no table is so wide: nothing is cut


def show(names: list[str], image: int | None, as_json: bool) -> str:
    """The text, or the JSON, for one entry or recipe or for two recipes; UnknownName lists what there is.

    image: side of an entry's input, px; its own when None.
    """
    for name in names:
        if not name.endswith(".toml"):
            look_up(name, dict.fromkeys([*ZOO, *published()]), kind="entry or recipe")
    if len(names) > 2 or (len(names) == 2 and any(name in ZOO for name in names)):
        raise Misused(f"show: expected one entry, one recipe or two recipes, got {' '.join(names)}")
    if len(names) == 2:
        return _two_recipes(names[0], names[1], as_json)
    if names[0] in ZOO:
        return _entry(names[0], image, as_json)
    if image is not None:
        raise Misused(f"show: --image is the side of an entry's input, got it for the recipe {names[0]}; leave it out")
    return _recipe(names[0], as_json)


def _entry(name: str, image: int | None, as_json: bool) -> str:
    card = ZOO[name]
    side = card.image if image is None else image
    rows = count(name, image=side)
    whole = total(rows)
    with torch.device("meta"):
        classifier = build(name, image=side)
        fields = receptive_fields(classifier)
    stages = stages_of(classifier, side) if isinstance(classifier, CodedSvm) else []
    arguments, choices = arguments_of(card), choices_of(card)
    recipes = [recipe for recipe in published() if recipe.split(".")[0] == (card.trained_as or name)]
    document: dict[str, Any] = {
        "name": name, "family": card.family, "year": card.year, "source": card.source, "note": card.note,
        "input": f"3x{side}x{side}", "classes": card.classes, "published": card.published,
        "small_form": card.small, "recipes": recipes, "arguments": arguments, "choices": choices,
        "params": whole.params, "macs": whole.macs,
        "paper_params": None if card.counted_here else card.params,
        "paper_macs": None if card.counted_here else card.macs,
        "stages": [
            {**vars(one), "numbers": one.numbers, "bytes": one.bytes, "learned_bytes": one.learned_bytes}
            for one in stages
        ],
        "layers": [{**vars(row), "params": row.params, "receptive_field": fields.get(row.name)} for row in rows],
    }  # fmt: skip
    if as_json:
        return json.dumps(document, indent=1, ensure_ascii=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for column in ("op", "output", "kernel", "stride", "field", "params", "MACs"):
        table.add_column(column, justify="left" if column == "op" else "right", no_wrap=True)
    for row in rows:
        sides = "x".join(map(str, row.output)), _side(row.kernel), _side(row.stride), _side(fields.get(row.name))
        table.add_row(row.name, row.op, *sides, _count(row.params), _count(row.macs))
    table.add_row("total", "", "", "", "", "", f"{whole.params:,}", f"{whole.macs:,}")
    if card.params is not None and card.macs is not None and side == card.image and not card.counted_here:
        table.add_row("published definition", "", "", "", "", "", f"{card.params:,}", f"{card.macs:,}")
    head = [
        f"{name} ({card.year}), {card.source}",
        card.note,
        f"input 3 x {side} x {side}, {card.classes} classes; field: px of the image that one output depends on",
    ]
    if card.fitted_by == "svm":
        length = next(row for row in rows if row.name == "svm").weights // card.classes
        head.append(
            f"a code of {length:,} numbers an image: {4 * length:,} bytes, {-(-length // 8):,} at one bit a number"
        )
    if card.published:
        head.append(f"published: {card.published}")
    if card.small:
        head.append(f"for small images: {card.small}")
    given = [f"{key}={value}{_choice(choices.get(key))}" for key, value in arguments.items()]
    head.append(f"arguments, by --set model.KEY=VALUE of train: {', '.join(given)}")
    head.append(f"recipes: {', '.join(recipes) or 'none yet; train it with --recipe FILE'}")
    if stages:
        head.append(_text(_stages(stages)) + "\n")
    return "\n".join([line for line in head if line]) + "\n" + _text(table)


def _stages(stages: list[Stage]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "what"):
        table.add_column(column, no_wrap=True)
    for column in ("of an image", "numbers", "bytes", "learned numbers", "bytes"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in stages:
        rows, columns = one.output
        output = f"{rows:,} x {columns:,}" if rows > 1 else f"{columns:,}"
        table.add_row(one.name, one.op, output, _count(one.numbers), _count(one.bytes), _count(one.learned),
                      _count(one.learned_bytes))  # fmt: skip
    return table


def _choice(values: list[Any] | None) -> str:
    return f" ({', '.join(map(str, values))})" if values else ""


def _recipe(name: str, as_json: bool) -> str:
    recipe = open_recipe(name)
    return json.dumps(recipe.model_dump(mode="json"), indent=1, ensure_ascii=False) if as_json else recipe.to_toml()


def _two_recipes(a: str, b: str, as_json: bool) -> str:
    rows = compare(open_recipe(a), open_recipe(b))
    if as_json:
        return json.dumps([{"key": key, a: left, b: right} for key, left, right in rows], indent=1, ensure_ascii=False)
    table = Table(box=None, pad_edge=False)
    for column in ("key", a, b):
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return _text(table)


def _text(table: Table) -> str:
    target = io.StringIO()
    Console(file=target, width=WIDTH).print(table)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def _side(side: Side) -> str:
    if side is None:
        return ""
    high, wide = side if isinstance(side, tuple) else (side, side)
    return str(high) if high == wide else f"{high}x{wide}"


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
