"""Recipes: how a run is trained, as data.

A recipe is a list of stages. An ordinary network has one `sgd` stage; a hand-made system has one stage a fitted part.
"""

from itertools import combinations
from typing import Annotated, Any

import tomli_w
from pydantic import Field, model_validator

from topfive.errors import BadRecipe
from topfive.recipes.stages import TURNS, Fit, Geometry, Sgd, Stage, Strict, Svm, Values


class Recipe(Strict):
    """One published run, or ours on small images.

    source: paper and section. departs: what differs from it, and why. expect: the figures it reached and where.
    model: the entry's arguments.
    """

    source: str
    entry: str
    departs: tuple[str, ...] = ()
    expect: dict[str, float | str] = Field(default_factory=dict)
    model: dict[str, bool | int | float | str] = Field(default_factory=dict)
    geometry: Geometry = Geometry()
    values: Values = Values()
    seed: Annotated[int, Field(ge=0)] = 0
    stage: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _arguments_are_the_entrys(self) -> "Recipe":
        if given := {"name", "classes"} & set(self.model):
            raise ValueError(f"model.{min(given)}: follows from the entry and the images; leave it out")
        return self

    @model_validator(mode="after")
    def _stages_are_in_order(self) -> "Recipe":
        # A second sgd stage would repeat the first's draws, begin the history anew and be stretched by --epochs too.
        kinds = [stage.kind for stage in self.stage]
        if isinstance(self.stage[-1], Fit) or sum(not isinstance(stage, Fit) for stage in self.stage) > 1:
            raise ValueError(f"stage: expected one of kind sgd or svm, and that last, got {', '.join(kinds)}")
        fits = [stage for stage in self.stage if isinstance(stage, Fit)]
        for before, after in combinations(fits, 2):
            same = before.channel == after.channel or None in (before.channel, after.channel)
            if same and after.kind in TURNS and before.kind not in TURNS:
                raise ValueError(f"stage: {before.kind} is of what {after.kind} gives; put {after.kind} before it")
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
        """The same recipe with its `sgd` stage made `epochs` long: warm-up and drops keep their share of the run.

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
