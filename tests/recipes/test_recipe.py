"""Recipes: what ships is sound, what is mistyped is named, and what a setting changes is that setting alone."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topfive.errors import BadRecipe, UnknownName
from topfive.models.zoo import ZOO, build
from topfive.recipes import Fit, Recipe, Sgd, Svm, compare, open_recipe, parse, published

HEAVY = ("alexnet", "resnet18_b")  # their arguments are their small forms'


def document(**stage: Any) -> dict[str, Any]:
    first = {"kind": "sgd", "epochs": 40, "batch_size": 64, "optimizer": {"lr": 0.1}} | stage
    return {"source": "ours", "entry": "mlp", "stage": [first]}


def sgd(recipe: Recipe, index: int = 0) -> Sgd:
    stage = recipe.stage[index]
    assert isinstance(stage, Sgd)
    return stage


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """The slow way round: every leaf of a nest of dicts and tuples, by its dotted key."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else None
    if inside is None:
        return {key: value}
    return {name: leaf for part, item in inside for name, leaf in flat(item, f"{key}.{part}".strip(".")).items()}


def changed(a: Recipe, b: Recipe) -> dict[str, Any]:
    """The leaves of b that a does not have."""
    before = flat(a.model_dump())
    return {key: value for key, value in flat(b.model_dump()).items() if before.get(key, ...) != value}


# What ships


def test_every_toml_of_the_folder_is_published() -> None:
    folder = Path(__file__).parents[2] / "src" / "topfive" / "recipes"
    assert set(published()) == {path.name.removesuffix(".toml") for path in folder.iterdir() if path.suffix == ".toml"}
    assert {"alexnet.paper", "cifar_resnet20.paper", "cifar_resnet20.small", "hog_svm.small"} <= set(published())


@pytest.mark.parametrize("name", published())
def test_a_shipped_recipe_is_for_an_entry_that_exists_and_is_fitted_so(name: str) -> None:
    recipe = open_recipe(name)
    entry, variant = name.split(".")
    assert recipe.entry == entry
    assert variant in ("paper", "small", "modern")
    assert recipe.source
    assert ZOO[entry].fitted_by in [stage.kind for stage in recipe.stage]
    if entry not in HEAVY:
        build(entry, 3, **recipe.model)
    crop = recipe.geometry.crop or ZOO[entry].image
    assert ZOO[entry].sides[0] <= crop <= ZOO[entry].sides[1]
    short = recipe.geometry.resize_short or crop
    assert crop <= short or (entry, crop, short) == ("lenet5", 32, 28)  # digits of 28 px in a field of 32, sec. II-B
    for stage in recipe.stage:
        if isinstance(stage, Sgd):
            drops = stage.schedule.drop_at
            assert list(drops) == sorted(drops) and all(drop < stage.epochs for drop in drops)
            assert bool(drops) == (stage.schedule.kind == "step")
            assert min(stage.augment.short) >= crop or stage.augment.kind != "scale_jitter"
            assert (stage.augment.padding > 0) == (stage.augment.kind == "pad_crop")


@pytest.mark.parametrize("name", published())
def test_toml_gives_the_recipe_back(name: str) -> None:
    recipe = open_recipe(name)
    text = recipe.to_toml()
    assert parse(tomllib.loads(text), "again") == recipe
    assert parse(tomllib.loads(text), "again").to_toml() == text


def test_who_is_trained_as_another_finds_its_recipe() -> None:
    trained_as = {card.trained_as for card in ZOO.values()} - {""}
    assert trained_as == {"alexnet", "alexnet_small", "cifar_resnet20", "mlp", "resnet18_b", "resnet18_b_small"}
    assert all(any(name.split(".")[0] == entry for name in published()) for entry in trained_as)


def test_alexnet_is_trained_as_section_5_says() -> None:
    recipe = open_recipe("alexnet.paper")
    stage = sgd(recipe)
    optimizer = stage.optimizer
    assert (stage.batch_size, stage.epochs, optimizer.lr) == (128, 90, 0.01)
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (0.9, 0.0005, False)
    assert len(stage.schedule.drop_at) == 3  # "reduced three times prior to termination", each time by 10
    assert stage.schedule.factor == 0.1
    assert (recipe.geometry.resize_short, stage.augment.colour, recipe.mirrors) == (256, "pca", True)
    assert recipe.values.subtract == "image"
    assert (recipe.expect["top1_error"], recipe.expect["top5_error"]) == (0.407, 0.182)  # Table 2, 1 CNN


def test_the_cifar_resnet_is_trained_as_section_4_2_says() -> None:
    recipe = open_recipe("cifar_resnet20.paper")
    stage, per_epoch = sgd(recipe), 50_000 // 128
    assert (stage.batch_size, stage.optimizer.lr, stage.optimizer.weight_decay) == (128, 0.1, 1e-4)
    assert stage.steps(per_epoch) == pytest.approx(64_000, rel=0.002)
    assert [drop * per_epoch for drop in stage.schedule.drop_at] == pytest.approx([32_000, 48_000], rel=0.002)
    assert (stage.augment.padding, stage.augment.mirror, recipe.values.subtract) == (4, True, "image")


# What is mistyped


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (document(epoch=5), r"unknown key 'stage\.0\.epoch' .did you mean epochs\?.; known here: kind, epochs, "),
        (document(optimizer={"lr": 1, "momentun": 0}), r"'stage\.0\.optimizer\.momentun' .did you mean momentum\?."),
        (document(schedule={"warm": 1}), r"unknown key 'stage\.0\.schedule\.warm' .did you mean warmup\?."),
        (document(augment={"paddin": 1}), r"unknown key 'stage\.0\.augment\.paddin' .did you mean padding\?."),
        (document(precision={"autocas": 1}), r"unknown key 'stage\.0\.precision\.autocas' .did you mean autocast\?."),
        (document() | {"geometry": {"crob": 32}}, r"'geometry\.crob' .did you mean crop\?.; known here: crop,"),
        (document() | {"values": {"units": "one"}}, r"unknown key 'values\.units' .did you mean unit\?."),
        (document() | {"sead": 1}, r"unknown key 'sead' .did you mean seed\?.; known here: source, entry"),
        (document() | {"zzz": 1}, r"unknown key 'zzz'; known here: source, entry"),
        (document() | {"stage": [{"kind": "svm", "epochs": 3}]}, r"'stage\.0\.epochs'; known here: kind, c, "),
        (document(batch_size="many"), r"stage\.0\.batch_size: Input should be a valid integer.*, got 'many'"),
        (document(batch_size=2.5), r"stage\.0\.batch_size: Input should be a valid integer.*, got 2\.5"),
        (document(batch_size=0), r"stage\.0\.batch_size: Input should be greater than 0, got 0"),
        (document(epochs=float("inf")), r"stage\.0\.epochs: Input should be a finite number, got inf"),
        (document(optimizer={"lr": float("nan")}), r"optimizer\.lr: Input should be a finite number, got nan"),
        (document(optimizer={"lr": -1}), r"stage\.0\.optimizer\.lr: Input should be greater than 0, got -1"),
        (document(optimizer={"lr": 1, "momentum": 1.5}), r"momentum: Input should be less .* equal to 1, got 1\.5"),
        (document(augment={"kind": "blur"}), r"augment\.kind: Input should be 'none', 'pad_crop', .*, got 'blur'"),
        (document(augment={"area": [0, 1]}), r"augment\.area\.0: Input should be greater than 0, got 0"),
        (document(schedule="linear"), r"stage\.0\.schedule: Input should be a valid dictionary .*, got 'linear'"),
        (document(schedule={"warmup": 40}), r"stage\.0: schedule\.warmup .40 epochs. must be shorter .* .40.$"),
        (document() | {"stage": [{"kind": "adam"}]}, r"stage\.0: Input tag 'adam' .* tags: 'sgd', .*'landmarks'$"),
        (document() | {"stage": document()["stage"] * 2}, r"stage: expected one of kind sgd or svm, .* got sgd, sgd"),
        (document() | {"stage": [{"kind": "kmeans"}]}, r"stage: expected one of kind sgd or svm, .* last, got kmeans"),
        (document() | {"stage": [{"kind": "svm"}, {"kind": "kmeans"}]}, r"and that last, got svm, kmeans"),
        (document() | {"stage": [{"kind": "svm"}, {"kind": "svm"}]}, r"and that last, got svm, svm"),
        (
            document() | {"stage": [{"kind": "gmm", "channel": "sift"}, {"kind": "pca"}, {"kind": "svm"}]},
            r"stage: gmm is of what pca gives; put pca before it",
        ),
        (document() | {"stage": []}, r"stage: Tuple should have at least 1 item"),
        (document() | {"stage": [{"kind": "svm", "c": 0}]}, r"stage\.0\.c: Input should be greater than 0, got 0$"),
        (document() | {"stage": [{"kind": "svm", "c": []}]}, r"stage\.0\.c: Tuple should have at least 1 item"),
        (document() | {"stage": [{"kind": "svm", "c": [1, -1]}]}, r"stage\.0\.c\.1: .* greater than 0, got -1$"),
        (document() | {"stage": [{"kind": "pca", "descriptors": 1}]}, r"descriptors: .* equal to 2, got 1$"),
        (document() | {"model": {"image": [1]}}, r"model\.image: .* boolean or .* number or .* string, got \[1\]$"),
        (document() | {"source": 3}, r"source: Input should be a valid string, got 3"),
        ({"source": "ours", "entry": "mlp"}, r"stage: Field required$"),
        (document() | {"stage": [{"kind": "sgd", "epochs": 1}]}, r"stage\.0\.batch_size: Field required$"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecipe, match=f"^recipe my file: .*{message}"):
        parse(wrong, "my file")


def test_a_recipe_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownName, match=r"no recipe named 'alexnet\.papper' .did you mean alexnet\.paper\?.; known: "
    ):
        open_recipe("alexnet.papper")
    with pytest.raises(BadRecipe, match=r"none\.toml: could not be read .No such file or directory."):
        open_recipe(str(tmp_path / "none.toml"))
    for content in (b"source = ", b"\xff\xfe"):
        (tmp_path / "x.toml").write_bytes(content)
        with pytest.raises(BadRecipe, match=r"x\.toml: is not valid TOML \(.+\)"):
            open_recipe(str(tmp_path / "x.toml"))


def test_a_recipe_file_is_read_like_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(open_recipe("lenet5.small").to_toml(), encoding="utf-8")
    assert open_recipe(str(path)) == open_recipe("lenet5.small")


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(document(), "x").__setattr__("seed", 3)  # as a statement the type checker forbids it


# --set


@pytest.mark.parametrize(
    ("key", "text", "where", "value"),
    [
        ("epochs", "3", "stage.0.epochs", 3.0),
        ("stage.0.epochs", "2.5", "stage.0.epochs", 2.5),
        ("optimizer.lr", "1e-3", "stage.0.optimizer.lr", 0.001),
        ("schedule.kind", "cosine", "stage.0.schedule.kind", "cosine"),
        ("schedule.kind", '"cosine"', "stage.0.schedule.kind", "cosine"),
        ("augment.mirror", "false", "stage.0.augment.mirror", False),
        ("micro_batch", "16", "stage.0.micro_batch", 16),
        ("batch_size", "1_000", "stage.0.batch_size", 1000),
        ("seed", "7", "seed", 7),
        ("geometry.crop", "28", "geometry.crop", 28),
        ("model.lrn", "false", "model.lrn", False),
        ("model.width", "0.5", "model.width", 0.5),
        ("values.unit", "byte", "values.unit", "byte"),
        ("source", "my notes = 3", "source", "my notes = 3"),
    ],
)
def test_a_setting_changes_that_key_alone(key: str, text: str, where: str, value: object) -> None:
    before, after = open_recipe("alexnet_small.small"), open_recipe("alexnet_small.small", {key: text})
    assert changed(before, after) == {where: value}
    assert type(flat(after.model_dump())[where]) is type(value)


def test_settings_take_tables_and_lists_and_come_one_after_another() -> None:
    laid = {"schedule": '{ kind = "step", drop_at = [1, 2] }', "schedule.factor": "0.5", "epochs": "4"}
    schedule = sgd(open_recipe("mlp.small", laid)).schedule
    assert (schedule.kind, schedule.drop_at, schedule.factor, schedule.warmup) == ("step", (1.0, 2.0), 0.5, 0.0)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("epoch", "3", r"unknown key 'stage\.0\.epoch' .did you mean epochs\?."),
        ("optimizer.learning_rate", "3", r"unknown key 'stage\.0\.optimizer\.learning_rate'"),
        ("stage.1.epochs", "3", r"--set stage\.1\.epochs: expected a stage from 0 to 0, got '1'"),
        ("stage.first.epochs", "3", r"--set stage\.first\.epochs: expected a stage from 0 to 0, got 'first'"),
        ("stage.0", "3", r"--set stage\.0: expected a key of a stage such as stage\.0\.epochs"),
        ("epochs.half", "3", r"--set epochs\.half: 'epochs' is a value and holds no keys"),
        ("batch_size", "lots", r"stage\.0\.batch_size: .*, got 'lots'"),
        ("epochs", "", r"stage\.0\.epochs: .*, got ''"),
        ("", "3", r"unknown key 'stage\.0\.'"),
        ("stage.0.kind", "kmeans", r"--set stage\.0\.kind: a stage of kind 'sgd' cannot become one of kind 'kmeans'"),
    ],
)
def test_a_setting_that_fits_nowhere_is_named(key: str, text: str, message: str) -> None:
    with pytest.raises(BadRecipe, match=message):
        open_recipe("mlp.small", {key: text})


def test_a_stage_of_the_same_keys_may_take_another_kind() -> None:
    assert open_recipe("sift_bow_2009_small.small", {"stage.0.kind": "dictionary"}).stage[0].kind == "dictionary"


# Changed for the task


@given(
    epochs=st.floats(0.1, 500),
    new=st.floats(0.01, 500),
    shares=st.lists(st.floats(0.01, 0.99), max_size=3),
    most=st.none() | st.integers(1, 99),
)
@settings(deadline=None, max_examples=60)
def test_another_length_keeps_the_shape_of_the_schedule(
    epochs: float, new: float, shares: list[float], most: int | None
) -> None:
    schedule = {"kind": "step", "warmup": 0.05 * epochs, "drop_at": [share * epochs for share in shares]}
    recipe = parse(document(epochs=epochs, schedule=schedule) | ({"seed": 3}), "x")
    before, after = sgd(recipe), sgd(recipe.with_epochs(new))
    assert after.epochs == new == recipe.with_epochs(new).epochs
    assert after.schedule.warmup / new == pytest.approx(0.05)
    assert [drop / new for drop in after.schedule.drop_at] == pytest.approx(shares)
    assert after.model_copy(update={"epochs": before.epochs, "schedule": before.schedule}) == before
    assert parse(tomllib.loads(recipe.with_epochs(new).to_toml()), "again") == recipe.with_epochs(new)


def test_another_length_is_taken_at_its_word() -> None:
    recipe = parse(document(most_steps=15_000), "x")
    assert sgd(recipe).steps(1000) == 15_000  # its cap; 40 epochs would be 40,000
    assert sgd(recipe.with_epochs(20)).steps(1000) == 20_000
    with pytest.raises(BadRecipe, match=r"hog_svm: epochs: it has no sgd stage that counts them; leave out --epochs"):
        open_recipe("hog_svm.small").with_epochs(3)
    assert open_recipe("hog_svm.small").epochs is None


@pytest.mark.parametrize("epochs", [0, -3, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(epochs: float) -> None:
    with pytest.raises(BadRecipe, match="epochs: expected a number above 0, got"):
        open_recipe("mlp.small").with_epochs(epochs)


@pytest.mark.parametrize("name", published())
def test_without_mirror_changes_nothing_else(name: str) -> None:
    recipe = open_recipe(name)
    plain = recipe.without_mirror()
    assert not plain.mirrors
    keys = {f"stage.{i}.mirror" if isinstance(stage, Svm) else f"stage.{i}.augment.mirror"
            for i, stage in enumerate(recipe.stage) if not isinstance(stage, Fit)}  # fmt: skip
    assert changed(recipe, plain) == (dict.fromkeys(keys, False) if recipe.mirrors else {})


@pytest.mark.parametrize(("epochs", "per_epoch", "most", "steps"), [
    (90, 391, None, 35_190), (0.5, 3, None, 2), (0.01, 10, None, 1), (40, 100, 1500, 1500), (3, 100, 1500, 300),
])  # fmt: skip
def test_a_run_has_its_steps(epochs: float, per_epoch: int, most: int | None, steps: int) -> None:
    stage = document(epochs=epochs) if most is None else document(epochs=epochs, most_steps=most)
    assert sgd(parse(stage, "x")).steps(per_epoch) == steps


# Compared


def test_compare_lists_the_keys_that_differ() -> None:
    a = parse(document(optimizer={"lr": 0.1}), "a")
    b = parse(document(optimizer={"lr": 0.2}, clip_norm=2.0) | {"model": {"lrn": False}, "geometry": {"crop": 28}}, "b")
    assert compare(a, a) == []
    assert sorted(compare(a, b)) == [
        ("geometry.crop", "None", "28"),
        ("model.lrn", "-", "False"),
        ("stage.0.clip_norm", "None", "2.0"),
        ("stage.0.optimizer.lr", "0.1", "0.2"),
    ]
    assert sorted(compare(b, a)) == sorted((key, right, left) for key, left, right in compare(a, b))


def test_compare_of_two_kinds_of_stage_shows_what_either_lacks() -> None:
    rows = {key: (a, b) for key, a, b in compare(open_recipe("mlp.small"), open_recipe("hog_svm.small"))}
    assert rows["stage.0.c"] == ("-", "0.1")
    assert rows["stage.0.epochs"] == ("30.0", "-")
    assert rows["entry"] == ("mlp", "hog_svm")
    assert "seed" not in rows


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(BadRecipe, match="nesterov: expected a momentum above 0 with it, got 0"):
        open_recipe("cifar_resnet20.small", {"optimizer.momentum": "0"})


def test_words_of_python_for_true_and_false_are_understood() -> None:
    recipe = open_recipe("alexnet_small.small", {"model.lrn": "False", "augment.mirror": "True"})
    assert recipe.model["lrn"] is False
    stage = recipe.stage[0]
    assert isinstance(stage, Sgd) and stage.augment.mirror is True


def test_what_follows_from_the_images_is_no_argument() -> None:
    with pytest.raises(BadRecipe, match=r"model\.classes: follows from the entry and the images; leave it out"):
        open_recipe("mlp.small", {"model.classes": "5"})


def test_a_drop_after_the_end_is_refused() -> None:
    with pytest.raises(BadRecipe, match=r"schedule\.drop_at .* must lie before the end .20 epochs.; --epochs moves"):
        open_recipe("alexnet.paper", {"epochs": "20"})
    assert open_recipe("alexnet.paper").with_epochs(20).epochs == 20
