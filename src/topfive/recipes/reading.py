"""From TOML to recipes: the published ones by name, files, `--set`; what is not understood is named with its key."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from topfive.errors import BadRecipe, look_up, nearest
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import KINDS, Augment, Geometry, Optimizer, Precision, Schedule, Sgd, Strict, Values


def published() -> dict[str, Path]:
    """Every recipe that ships with topfive, by name: `<entry>.<variant>`."""
    folder = Path(str(resources.files("topfive.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def open_recipe(name: str, settings: dict[str, str] | None = None) -> Recipe:
    """The recipe of that name, or in that TOML file, with `settings` (dotted key -> TOML value) laid over it.

    Raises UnknownName for a name that is no recipe, BadRecipe for anything in it that is not understood.
    """
    path = Path(name) if name.endswith(".toml") else look_up(name, published(), kind="recipe")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRecipe(f"{path}: could not be read ({error.strerror}); give a recipe's name or a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRecipe(f"{path}: is not valid TOML ({error})") from error
    for key, text in (settings or {}).items():
        set_key(document, key, text)
    return parse(document, where=str(name))


def set_key(document: dict[str, Any], dotted: str, text: str) -> None:
    """Lay one `--set key=value` over a recipe's document; `text` is read as TOML, and as a plain string if it is none.

    `stage.0.epochs` names the first stage; keys of the first `sgd` or `svm` stage may be given without `stage.0.`.
    """
    plain = text.lower() if text in ("True", "False") else text  # as Python has them
    try:
        value: Any = tomllib.loads(f"value = {plain}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    first, *_ = dotted.split(".")
    kinds = [stage.get("kind") for stage in document.get("stage", []) if isinstance(stage, dict)]
    main = next((place for place, kind in enumerate(kinds) if kind in ("sgd", "svm")), 0)
    parts = dotted.split(".") if first in Recipe.model_fields else ["stage", str(main), *dotted.split(".")]
    node: Any = document
    for part in parts[:-1]:
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                raise BadRecipe(f"--set {dotted}: expected a stage from 0 to {len(node) - 1}, got {part!r}")
            node = node[int(part)]
        else:
            node = node.setdefault(part, {})
        if not isinstance(node, dict | list):
            raise BadRecipe(f"--set {dotted}: {part!r} is a value and holds no keys of its own")
    if isinstance(node, list):
        raise BadRecipe(f"--set {dotted}: expected a key of a stage such as stage.0.epochs")
    old, new = (KINDS.get(str(kind)) for kind in (node.get("kind"), value))
    if parts[-1] == "kind" and old and new and old is not new:  # its other keys would be called unknown
        raise BadRecipe(
            f"--set {dotted}: a stage of kind {node['kind']!r} cannot become one of kind {value!r}, which has other "
            "keys; write it into a TOML file for --recipe"
        )
    node[parts[-1]] = value


def parse(document: dict[str, Any], where: str) -> Recipe:
    """A validated recipe from a TOML document; BadRecipe says which key is wrong, and how."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        first = _most_telling(error)
        path = [part for part in first["loc"] if part not in KINDS]
        key = ".".join(str(part) for part in path)
        if first["type"] == "extra_forbidden":
            known = _keys_beside(path, next((KINDS[str(part)] for part in first["loc"] if part in KINDS), Sgd))
            raise BadRecipe(
                f"recipe {where}: unknown key {key!r}{nearest(str(path[-1]), known)}; known here: {', '.join(known)}"
            ) from error
        said = first["msg"].removeprefix("Value error, ")
        got = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"  # a whole table says nothing
        raise BadRecipe(": ".join(part for part in (f"recipe {where}", key, said) if part) + got) from error


def _most_telling(error: ValidationError) -> dict[str, Any]:
    """The first fault, with the key as a recipe has it: pydantic adds the name of each type that a value may have.

    Of several types the one that came furthest speaks; where the value is of none of them, all do.
    """
    faults: list[dict[str, Any]] = [
        {**fault, "loc": tuple(part for part in fault["loc"] if not _is_type(part))} for fault in error.errors()
    ]
    key = faults[0]["loc"]
    same = [fault for fault in faults if fault["loc"][: len(key)] == key]
    near = [fault for fault in same if not fault["type"].endswith("_type")]
    if near:
        return max(near, key=lambda fault: len(fault["loc"]))
    wanted = dict.fromkeys(fault["msg"].removeprefix("Input should be ") for fault in same)
    return {**faults[0], "msg": f"Input should be {' or '.join(wanted)}"}


def _is_type(part: int | str) -> bool:
    """Whether a part of pydantic's location is the name of a type, not a key."""
    return isinstance(part, str) and (part in ("bool", "int", "float", "str") or "-" in part or "[" in part)


def _keys_beside(path: list[int | str], stage: type[Strict]) -> list[str]:
    """The keys that may stand where the last part of `path` stands, in a stage of that kind."""
    groups: dict[str, type[Strict]] = {
        "optimizer": Optimizer,
        "schedule": Schedule,
        "augment": Augment,
        "geometry": Geometry,
        "values": Values,
        "precision": Precision,
    }
    parent = str(path[-2]) if len(path) > 1 else ""
    if parent in groups:
        return list(groups[parent].model_fields)
    if parent.isdigit():
        return list(stage.model_fields)
    return list(Recipe.model_fields)
