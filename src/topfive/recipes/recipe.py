"""Recipes: how a run is trained, as data. TOML in, frozen models out; an unknown key is an error that names it.

A recipe is a list of stages. An ordinary network has one `sgd` stage; a hand-made system has one stage a fitted part.
"""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from topfive.errors import BadRecipe, look_up, nearest

Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """Frozen; unknown keys are refused, and so are infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Geometry(Strict):
    """Side of the crop in px, and of the shorter side before it; both follow the entry and the images when left out."""

    crop: Count | None = None
    resize_short: Count | None = None
    interpolation: Literal["bilinear", "bicubic", "area"] = "bilinear"


class Values(Strict):
    """What the classifier's `normalize` subtracts from the pixels, computed on the training images, and their unit.

    subtract: the mean of each channel, the mean image, or nothing. unit: `std` divides by each channel's deviation,
    `one` leaves [0, 1], `byte` gives [0, 255], which the weight initialisation of the 2012 nets presumes.
    """

    subtract: Literal["none", "channel", "image"] = "channel"
    unit: Literal["std", "one", "byte"] = "std"


class Augment(Strict):
    """Which box of an image is seen, and whether mirrored; the kinds are those of `data.augment`."""

    kind: Literal["none", "pad_crop", "random_crop", "resized_crop", "scale_jitter"] = "none"
    padding: Annotated[int, Field(ge=0)] = 0  # px of the crop, for pad_crop
    area: tuple[Part, Part] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    short: tuple[Count, Count] = (256, 480)
    mirror: bool = False
    colour: Literal["none", "pca"] = "none"


class Optimizer(Strict):
    """SGD with momentum, as `torch.optim.SGD` defines it."""

    lr: Positive
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decay_norm_and_bias: bool = True  # whether weight decay also pulls on biases and normalisation weights

    @model_validator(mode="after")
    def _consistent(self) -> "Optimizer":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got 0; set nesterov = false")
        return self


class Schedule(Strict):
    """The learning rate over a run as a multiple of `optimizer.lr`; see `training.schedule`."""

    kind: Literal["constant", "step", "linear", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0)] = 0.0  # epochs of linear warm-up from `warmup_from`
    warmup_from: Share = 0.0  # as a fraction of lr
    drop_at: tuple[Positive, ...] = ()  # epochs, for step
    factor: Share = 0.1


class Precision(Strict):
    """How the arithmetic is done; `auto` is measured on the machine at the start of a run and then kept."""

    layout: Literal["auto", "contiguous", "channels_last"] = "auto"
    autocast: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: Literal["auto", "yes", "no"] = "auto"


class Sgd(Strict):
    """A stage that trains a network by stochastic gradient descent on the cross entropy."""

    kind: Literal["sgd"] = "sgd"
    epochs: Positive
    most_steps: Count | None = None  # the run is no longer than this, however many images an epoch has
    batch_size: Count  # images per optimizer step, all devices together
    micro_batch: Count | None = None  # images per forward pass; the whole batch when left out
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    augment: Augment = Augment()
    label_smoothing: Share = 0.0
    clip_norm: Positive | None = None  # largest L2 norm of all gradients together
    ema_decay: Share | None = None  # exponential moving average of the weights, per step; judged in their place
    precision: Precision = Precision()

    def steps(self, per_epoch: int) -> int:
        """The length of the stage where an epoch is that many steps; at least one."""
        whole = max(1, round(self.epochs * per_epoch))
        return whole if self.most_steps is None else min(whole, self.most_steps)

    @model_validator(mode="after")
    def _steps_lie_in_the_run(self) -> "Sgd":
        if self.schedule.warmup >= self.epochs:
            raise ValueError(
                f"schedule.warmup ({self.schedule.warmup:g} epochs) must be shorter than epochs ({self.epochs:g})"
            )
        if late := [drop for drop in self.schedule.drop_at if drop >= self.epochs]:
            raise ValueError(
                f"schedule.drop_at ({late[0]:g} epochs) must lie before the end ({self.epochs:g} epochs); "
                "--epochs moves the drops along"
            )
        return self


FEW_IMAGES = 5000  # a tenth of which would choose c by a few hundred answers


class Svm(Strict):
    """A stage that fits one-vs-rest linear SVMs with squared hinge loss on the classifier's features."""

    kind: Literal["svm"] = "svm"
    c: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = 1.0  # of several, the best by cross-validation
    solver: Literal["auto", "newton", "sgd"] = "auto"  # auto: averaged SGD where codes are quantised, else Newton's
    iterations: Count = 100  # of Newton's method, at most; it ends where it has converged
    passes: Count = 10  # of averaged SGD over the codes; 1,000 steps at least
    held_out: Annotated[float, Field(gt=0, lt=1)] = (
        0.1  # share of the training images that chooses c and the softmax's sharpness, where there is one fold
    )
    folds: Annotated[int, Field(ge=1)] | None = None  # of cross-validation; left out: see `folds_of`
    mirror: bool = False  # also fit on the mirrored images
    standardise: bool = False  # bring each number of the codes to mean 0 and deviation 1 first
    late_fusion: bool = False  # SVMs of its own for each channel, and the mean of their margins
    memory_gb: Positive = 4.0  # of codes; those that would take more are quantised to one bit a number
    images: Count | None = None  # fit on at most so many, chosen by their ids; on all when left out

    @property
    def costs(self) -> tuple[float, ...]:
        """The values of c, smallest first."""
        return tuple(sorted(self.c)) if isinstance(self.c, tuple) else (self.c,)

    def folds_of(self, images: int) -> int:
        """Folds of so many training images; where left open five for a choice on few images, else one share."""
        return self.folds or (5 if len(self.costs) > 1 and images <= FEW_IMAGES else 1)


class Fit(Strict):
    """A stage that fits one thing in the channels of a hand-made entry, on a sample of their descriptors.

    pca: the projection. whitening: of patches. kmeans: the words, nearest to their descriptors. dictionary: the words
    of sparse codes. gmm: the mixture of Fisher vectors. landmarks: whole images that others are compared with, as many
    as the entry has. Channels that have no such thing are left.
    """

    kind: Literal["pca", "whitening", "kmeans", "dictionary", "gmm", "landmarks"]
    channel: str | None = None  # one of the entry's; all of them when left out
    descriptors: Annotated[int, Field(ge=2)] = 200_000  # in the sample, at most
    iterations: Count = 25  # at most


Stage = Annotated[Sgd | Svm | Fit, Field(discriminator="kind")]
KINDS: dict[str, type[Strict]] = {
    "sgd": Sgd, "svm": Svm,
    **dict.fromkeys(("pca", "whitening", "kmeans", "dictionary", "gmm", "landmarks"), Fit),
}  # fmt: skip


class Recipe(Strict):
    """One published run, or ours on small images.

    source: paper and section. departs: what differs from it, and why. expect: the figures it reached and where.
    model: the entry's arguments.
    """

    source: str
    entry: str
    departs: tuple[str, ...] = ()
    expect: dict[str, float | str] = {}
    model: dict[str, bool | int | float | str] = {}
    geometry: Geometry = Geometry()
    values: Values = Values()
    seed: Annotated[int, Field(ge=0)] = 0
    stage: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _arguments_are_the_entrys(self) -> "Recipe":
        if given := {"name", "classes"} & set(self.model):
            raise ValueError(f"model.{min(given)}: follows from the entry and the images; leave it out")
        return self

    def to_toml(self) -> str:
        """The recipe as TOML, defaults included, that `parse` reads back to an equal recipe."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))

    @property
    def main(self) -> int:
        """The stage that fits the classifier's last layer, by its place: the first that is `sgd` or `svm`."""
        return next((place for place, stage in enumerate(self.stage) if not isinstance(stage, Fit)), 0)

    def with_main(self, stage: Sgd | Svm | Fit) -> "Recipe":
        """The same recipe with another main stage."""
        stages = (*self.stage[: self.main], stage, *self.stage[self.main + 1 :])
        return self.model_copy(update={"stage": stages})

    @property
    def epochs(self) -> float | None:
        """Epochs of its `sgd` stage; None for a recipe that has none."""
        return next((stage.epochs for stage in self.stage if isinstance(stage, Sgd)), None)

    def with_epochs(self, epochs: float) -> "Recipe":
        """The same recipe with its `sgd` stages made `epochs` long: warm-up and drops keep their share of the run.

        Raises BadRecipe unless `epochs` is a number above 0, and for a recipe without such a stage.
        """
        if self.epochs is None:
            raise BadRecipe(f"recipe {self.entry}: epochs: it has no sgd stage that counts them; leave out --epochs")
        if not 0 < epochs < float("inf"):
            raise BadRecipe(f"recipe {self.entry}: epochs: expected a number above 0, got {epochs:g}")
        return self.model_copy(update={"stage": tuple(_stretched(stage, epochs) for stage in self.stage)})

    def without_mirror(self) -> "Recipe":
        """The same recipe for images whose mirror image is another class, such as characters."""
        return self.model_copy(update={"stage": tuple(_unmirrored(stage) for stage in self.stage)})

    @property
    def mirrors(self) -> bool:
        """Whether any stage shows mirrored images."""
        return any(
            (isinstance(stage, Svm) and stage.mirror) or (isinstance(stage, Sgd) and stage.augment.mirror)
            for stage in self.stage
        )


def _stretched(stage: Sgd | Svm | Fit, epochs: float) -> Sgd | Svm | Fit:
    if not isinstance(stage, Sgd):
        return stage
    ratio = epochs / stage.epochs
    schedule = stage.schedule.model_copy(
        update={
            "warmup": stage.schedule.warmup * ratio,
            "drop_at": tuple(drop * ratio for drop in stage.schedule.drop_at),
        }
    )
    return stage.model_copy(update={"epochs": epochs, "most_steps": None, "schedule": schedule})


def _unmirrored(stage: Sgd | Svm | Fit) -> Sgd | Svm | Fit:
    if isinstance(stage, Svm):
        return stage.model_copy(update={"mirror": False})
    if isinstance(stage, Fit):
        return stage
    return stage.model_copy(update={"augment": stage.augment.model_copy(update={"mirror": False})})


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value


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


def compare(a: Recipe, b: Recipe) -> list[tuple[str, str, str]]:
    """The keys on which two recipes differ, as (dotted key, value in a, value in b)."""
    left, right = _flat(a.model_dump(mode="json")), _flat(b.model_dump(mode="json"))
    return [
        (key, left.get(key, "-"), right.get(key, "-")) for key in {**left, **right} if left.get(key) != right.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        items = {str(index): item for index, item in enumerate(value)}.items()
    else:
        return {prefix: str(value)}
    return {key: text for name, item in items for key, text in _flat(item, f"{prefix}.{name}".lstrip(".")).items()}
