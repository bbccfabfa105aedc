"""The plan of a contest: how minutes are divided, and that a plan kept on disk is the plan that was made."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from topfive.data import open_data
from topfive.data.imageset import ImageSet, subset
from topfive.errors import BadData, BadFile, BadRecipe, Misused, UnknownName
from topfive.leaderboard import forecast as forecasting
from topfive.leaderboard import plan as planning
from topfive.leaderboard.forecast import Forecast
from topfive.leaderboard.plan import Plan, Slot, divide, load_plan, make_plan, share_out
from topfive.models import build
from topfive.models.coded import Channel, CodedSvm
from topfive.models.modelfile import Geometry, Model, save
from topfive.recipes.reading import open_recipe
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Fit, Svm
from topfive.training.codebook import fitted_by, sample_descriptors
from topfive.training.tailoring import fit_recipe, geometry_of

SMALL_LINEAGE = {
    "pixels_linear", "mlp", "hog_svm", "lenet5", "cifar10_cuda_convnet", "cifar_resnet20",
    "alexnet_small", "resnet18_b_small", "kmeans_2011",
    "sift_bow_2009_small", "nec_2010_small", "xrce_2011_small",
}  # fmt: skip
LEARNED = "what is learned before on"
NEEDS = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def few() -> ImageSet:
    whole = open_data("digits")
    splits = {name: subset(whole.split(name), list(range(40))) for name in ("train", "test")}
    return ImageSet(whole.name, whole.layout, whole.classes, splits, mirror=False)


@pytest.fixture
def forecasts(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What each entry is forecast to need, instead of measuring."""
    needs: dict[str, float] = {}

    def pretend(name: str, data: ImageSet, recipe: Recipe) -> Forecast:
        return Forecast(needs.get(name, 1.0), 0.5, recipe)

    monkeypatch.setattr(planning, "forecast", pretend)
    monkeypatch.setattr(planning, "glance", lambda name, data, recipe: needs.get(name, 1.0))
    return needs


@given(NEEDS, st.floats(0, 2e4))
def test_shares_use_the_time_and_no_entry_gets_more_than_it_needs(needs: list[float], seconds: float) -> None:
    shares = divide(needs, seconds)
    assert sum(shares) == pytest.approx(min(seconds, sum(needs)))
    assert all(0 <= share <= need * (1 + 1e-9) for share, need in zip(shares, needs, strict=True))


@given(NEEDS, st.floats(1, 2e4))
def test_entries_that_are_cut_are_cut_alike_and_only_the_dear_ones(needs: list[float], seconds: float) -> None:
    shares = divide(needs, seconds)
    cut = [(need, share / need) for need, share in zip(needs, shares, strict=True) if share < need * (1 - 1e-9)]
    whole = [need for need, share in zip(needs, shares, strict=True) if share >= need * (1 - 1e-9)]
    for need, part in cut:
        assert part == pytest.approx(cut[0][1])
        assert all(need >= other * (1 - 1e-9) for other in whole)
    # A fair share is never refused: who asks for no more than an equal part has it whole.
    assert all(need > seconds / len(needs) for need, _ in cut)


@given(NEEDS, st.floats(1, 2e4), st.randoms())
def test_the_order_of_entries_does_not_matter(needs: list[float], seconds: float, chance: Any) -> None:
    order = list(range(len(needs)))
    chance.shuffle(order)
    assert divide([needs[i] for i in order], seconds) == pytest.approx([divide(needs, seconds)[i] for i in order])


def test_no_time_is_no_share() -> None:
    assert divide([3.0, 5.0], -20) == [0, 0]
    assert divide([0.0, 5.0], 0) == [0, 0]
    assert divide([], 10) == []


def test_time_to_answer_is_taken_off_first() -> None:
    slots = [Slot("mlp", need=100, fixed=10), Slot("lenet5", need=300, fixed=20)]
    share_out(slots, 230)  # 200 to train: 100 and 100, the first with a quarter and 3 s of slack
    assert [slot.seconds for slot in slots] == pytest.approx([128, 100])


def test_what_is_over_is_slack_for_all() -> None:
    slots = [Slot("mlp", need=10, fixed=1), Slot("lenet5", need=30, fixed=1)]
    share_out(slots, 122)
    assert [slot.seconds for slot in slots] == pytest.approx([30, 90])


def test_a_model_file_takes_no_time_to_train() -> None:
    slots = [Slot("mlp", model="a.safetensors", fixed=1), Slot("lenet5", need=30, fixed=1)]
    share_out(slots, 17)
    assert [slot.seconds for slot in slots] == pytest.approx([0, 15])


def svm_slot(seconds: float) -> Slot:
    recipe = open_recipe("hog_svm.small")
    return Slot("hog_svm", recipe=recipe.model_dump(mode="json"), need=100.0, seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "images", "kept", "said"),
    [
        (25, 50_000, 12_500, ["fitted on 12,500 of 50,000 images, to keep to the minutes"]),
        (0.2, 50_000, 200, ["fitted on 200 of 50,000 images, to keep to the minutes"]),
        (100, 50_000, None, []),
        (130, 50_000, None, []),
    ],
)
def test_an_svm_is_cut_in_images_and_says_so(seconds: float, images: int, kept: int | None, said: list[str]) -> None:
    slot = svm_slot(seconds)
    slot.settle(images)
    stage = slot.opened().stage[0]
    assert isinstance(stage, Svm)
    assert (stage.images, slot.changes, slot.settled) == (kept, said, True)


def test_what_is_learned_before_an_svm_is_cut_with_it() -> None:
    recipe = open_recipe("xrce_2011_small.small")
    slot = Slot("xrce_2011_small", recipe=recipe.model_dump(mode="json"), need=100.0, seconds=25.0)
    slot.settle(2000)
    fits = [stage for stage in slot.opened().stage if isinstance(stage, Fit)]
    assert [stage.descriptors for stage in fits] == [50_000, 50_000]
    assert slot.changes == [
        "fitted on 500 of 2,000 images, what is learned before on 50,000 descriptors at most, to keep to the minutes"
    ]
    slot = Slot("xrce_2011_small", recipe=recipe.model_dump(mode="json"), need=100.0, seconds=1.0)
    slot.settle(20_000)
    assert [stage.descriptors for stage in slot.opened().stage if isinstance(stage, Fit)] == [20_000, 20_000]


@pytest.mark.parametrize(
    ("name", "images", "seconds", "kept", "said"),
    [
        (
            "xrce_2011_small",
            150,
            25.0,
            (None, [50_000, 50_000]),
            "what is learned before on 50,000 descriptors at most",
        ),
        (
            "xrce_2011_small",
            150,
            -3.0,
            (None, [20_000, 20_000]),
            "what is learned before on 20,000 descriptors at most",
        ),
        ("hog_rbf", 1000, 50.0, (500, [200_000]), "fitted on 500 of 1,000 images"),
        ("hog_rbf", 150, 50.0, (None, [200_000]), ""),
    ],
)
def test_what_is_cut_is_said_and_no_more(
    name: str, images: int, seconds: float, kept: tuple[int | None, list[int]], said: str
) -> None:
    slot = Slot(name, recipe=open_recipe(f"{name}.small").model_dump(mode="json"), need=100.0, seconds=seconds)
    slot.settle(images)
    stages = slot.opened().stage
    assert isinstance(stages[-1], Svm)
    assert (stages[-1].images, [one.descriptors for one in stages if isinstance(one, Fit)]) == kept
    assert [change for change in slot.changes if "minutes were left" not in change] == (
        [f"{said}, to keep to the minutes"] if said else []
    )


@pytest.mark.parametrize("name", ["sift_bow_2009_small", "xrce_2011_small", "sparse_coding_2010_small", "kmeans_2011"])
def test_fits_are_forecast_from_two_rounds_of_a_few_descriptors(
    few: ImageSet, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that a round of a fit moves by a second and nothing else does."""
    clock, met = [0.0], list[tuple[str, int, int]]()

    def counted(kind: str, fit: Callable[..., None]) -> Callable[..., None]:
        def run(channel: Channel, sample: Tensor, iterations: int, seed: int) -> None:
            fit(channel, sample, iterations, seed)
            met.append((kind, len(sample), iterations))
            clock[0] += iterations

        return run

    monkeypatch.setattr(forecasting, "FITS", {kind: counted(kind, fit) for kind, fit in forecasting.FITS.items()})
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    recipe, _ = fit_recipe(name, few)
    classifier = build(name, 10, **recipe.model)
    assert isinstance(classifier, CodedSvm)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    seconds = forecasting.fit_seconds(classifier, recipe, few)
    assert met and {(count, rounds) for _, count, rounds in met} == {(8192, 2)}
    # The fits that will be made, on all descriptors of the 40 images; those of a few batches end before their rounds.
    stages = {stage.kind: stage for stage in recipe.stage if isinstance(stage, Fit)}
    expected = 0.0
    for kind, channel in [(kind, one) for kind in stages for one in classifier.channels.values()]:
        if isinstance(channel, Channel) and fitted_by(channel, kind) is not None:
            sample = sample_descriptors(channel, few.split("train"), geometry_of(recipe), 0, 200_000, raw=True)[0]
            count = min(stages[kind].descriptors, len(sample))
            batches = 200 * 4096 / count if kind in ("kmeans", "dictionary") else 1e9
            expected += min(2 if kind in ("pca", "whitening") else stages[kind].iterations, batches) * count / 8192
    assert seconds == pytest.approx(expected)
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())


def test_a_network_keeps_its_recipe_when_settled() -> None:
    recipe = open_recipe("mlp.small")
    slot = Slot("mlp", recipe=recipe.model_dump(mode="json"), need=100.0, seconds=1.0)
    slot.settle(50_000)
    assert (slot.opened(), slot.changes) == (recipe, [])


def test_a_plan_on_disk_is_the_plan(tmp_path: Path) -> None:
    slot = svm_slot(25)
    slot.legs, slot.changes, slot.recipe_epochs = [(0, 100), (40, 80)], ["less"], 30.0
    plan = Plan("größe", "ab12", 2.5, ["hog_svm"], [slot, Slot("mlp", model="a/b.safetensors")], ["x: left out"])
    plan.save(tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    assert json.loads((tmp_path / "plan.json").read_text())["format"] == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a plan of topfive"),
        ('"plan"', "is not a plan of topfive"),
        ("{}", r"is not a plan of topfive \('format'\)"),
        ('{"format": 99, "slots": []}', "is a plan of another format"),
        ('{"format": 1, "slots": [{"entri": "mlp"}]}', "is not a plan of topfive .*entri"),
        ('{"format": 1, "slots": []}', "is not a plan of topfive .*minutes"),
    ],
)
def test_a_broken_plan_file_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(BadFile, match=rf"plan.json: {reason}"):
        load_plan(tmp_path / "plan.json")


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"plan.json: could not be read \(No such file"):
        load_plan(tmp_path / "plan.json")


def test_cheap_entries_run_first(few: ImageSet, forecasts: dict[str, float]) -> None:
    forecasts |= {"mlp": 50, "lenet5": 10, "hog_svm": 30}
    plan = make_plan(few, ["mlp", "lenet5", "hog_svm"], 60, time.perf_counter())
    assert [slot.entry for slot in plan.slots] == ["lenet5", "hog_svm", "mlp"]
    assert plan.asked == ["mlp", "lenet5", "hog_svm"]
    assert (plan.data, plan.name, plan.left_out) == (few.manifest, "digits", [])
    assert plan.slots[0].changes[0] == "mirroring turned off: a mirrored character is another character"


def test_without_names_all_entries_that_suit_take_part(few: ImageSet, forecasts: dict[str, float]) -> None:
    plan = make_plan(few, [], 60, time.perf_counter())
    assert {slot.entry for slot in plan.slots} == SMALL_LINEAGE


def test_a_hopeless_entry_is_left_out_unless_it_was_named(few: ImageSet, forecasts: dict[str, float]) -> None:
    forecasts["resnet18_b_small"] = 36_000
    plan = make_plan(few, [], 1, time.perf_counter())
    assert "resnet18_b_small" not in {slot.entry for slot in plan.slots}
    assert plan.left_out == [
        "resnet18_b_small: left out, its recipe is forecast to take 600 minutes; name it in --entries to have it"
    ]
    assert plan.left_out[0] in plan.to_text()
    named = make_plan(few, ["resnet18_b_small", "mlp"], 1, time.perf_counter())
    assert [slot.entry for slot in named.slots] == ["mlp", "resnet18_b_small"]


@pytest.mark.parametrize(("need", "taken"), [(68, True), (85, False)])
def test_an_entry_nobody_named_gets_a_quarter_of_its_recipe_or_none(
    few: ImageSet, forecasts: dict[str, float], need: float, taken: bool
) -> None:
    """60 s, of which the 12 entries take some 30 besides training and the cheap ones 11 for theirs."""
    forecasts["cifar_resnet20"] = need
    plan = make_plan(few, [], 1, time.perf_counter())
    assert ("cifar_resnet20" in {slot.entry for slot in plan.slots}) == taken == (not plan.left_out)
    if taken:
        assert min(slot.seconds / slot.need for slot in plan.slots) > 0.1


def test_the_plan_is_announced(few: ImageSet, forecasts: dict[str, float]) -> None:
    forecasts |= {"mlp": 60, "lenet5": 6000}
    plan = make_plan(few, ["mlp", "lenet5"], 10, time.perf_counter() - 1)
    head, mlp, lenet5 = plan.to_text().splitlines()
    assert head == "plan: 10 minutes for 2 entries on digits"
    assert mlp == "  mlp: at most 1.3 min, 100% of its recipe (1.0 min forecast)"
    # 600 s less 1 s spent, 2 x 2.5 s to answer and 60 s for mlp: 534 of 6,000 s.
    assert lenet5 == "  lenet5: at most 8.9 min, 9% of its recipe (100.0 min forecast)"


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (
            ["mlp", "lenet5", "mlp"],
            Misused,
            "--entries: names an entry twice in hog_svm,mlp,lenet5,mlp; name each once",
        ),
        (["lenet"], UnknownName, r"there is no entry named 'lenet' \(did you mean lenet5\?\)"),
        (["runs/nothing"], UnknownName, "there is no entry named 'runs/nothing'"),
        (["gone.safetensors"], UnknownName, "gone.safetensors: expected a model file or a run folder .*found none"),
        (["alexnet"], Misused, "use alexnet_small"),
    ],
)
def test_what_cannot_take_part_is_said_before_anything_is_measured(
    few: ImageSet, monkeypatch: pytest.MonkeyPatch, asked: list[str], error: type[Exception], said: str
) -> None:
    monkeypatch.setattr(planning, "forecast", lambda *given: pytest.fail("measured"))
    with pytest.raises(error, match=said):
        make_plan(few, ["hog_svm", *asked], 1, time.perf_counter())


@pytest.fixture
def model_file(few: ImageSet) -> Callable[..., Path]:
    def make(path: Path, classes: int = 10) -> Path:
        net = build("pixels_linear", classes, image=8)
        return save(Model("pixels_linear", {"image": 8}, few.classes[:classes], Geometry(8, 8), net), path)

    return make


def test_models_of_one_entry_are_told_apart_by_file_or_run(
    few: ImageSet, tmp_path: Path, model_file: Callable[..., Path]
) -> None:
    files = [
        model_file(tmp_path / name) for name in ("one/model.safetensors", "two/model.safetensors", "best.safetensors")
    ]
    plan = make_plan(few, [str(files[0].parent), str(files[1]), str(files[2])], 1, time.perf_counter())
    assert {slot.name for slot in plan.slots} == {f"pixels_linear ({name})" for name in ("one", "two", "best")}
    assert "judged as it is" in plan.to_text()


def test_two_models_that_would_go_by_one_name_are_refused(
    few: ImageSet, tmp_path: Path, model_file: Callable[..., Path]
) -> None:
    files = [str(model_file(tmp_path / name / "best.safetensors")) for name in "ab"]
    with pytest.raises(Misused, match=r"--entries: two models go by one name in pixels_linear \(best\), pixels_linear"):
        make_plan(few, files, 1, time.perf_counter())


def test_a_model_of_other_classes_is_refused(few: ImageSet, tmp_path: Path, model_file: Callable[..., Path]) -> None:
    with pytest.raises(BadData, match="the model does not know '9'"):
        make_plan(few, [str(model_file(tmp_path / "nine.safetensors", classes=9))], 1, time.perf_counter())


def photos(folder: Path) -> ImageSet:
    """Two of 200 x 180 px in each of two splits."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            Image.new("RGB", (200, 180), (3, len(split), len(name))).save(folder / split / name / "0.png")
    return open_data(folder)


def test_photos_bring_in_the_entries_for_photos(tmp_path: Path, forecasts: dict[str, float]) -> None:
    plan = make_plan(photos(tmp_path), [], 60, time.perf_counter())
    years = {"sift_bow_2009", "nec_2010", "xrce_2011"}
    assert {slot.entry for slot in plan.slots} == SMALL_LINEAGE - {f"{name}_small" for name in years} | years | {
        "alexnet", "resnet18_b",
    }  # fmt: skip
    assert plan.left_out == [
        f"{name}_small: left out, {name} is the same system for photos of this size; name it in --entries to have it"
        for name in ("sift_bow_2009", "nec_2010", "xrce_2011")
    ]


def test_where_minutes_are_short_small_forms_stand_for_the_hand_made_years(
    tmp_path: Path, forecasts: dict[str, float]
) -> None:
    forecasts["xrce_2011"] = 36_000
    entries = {slot.entry for slot in make_plan(photos(tmp_path), [], 60, time.perf_counter()).slots}
    assert "xrce_2011_small" in entries
    assert not entries & {"xrce_2011", "nec_2010_small"}


def test_a_recipe_in_a_plan_is_checked(tmp_path: Path) -> None:
    slot = svm_slot(1)
    slot.recipe["stage"][0]["sea"] = 1
    with pytest.raises(BadRecipe, match=r"recipe hog_svm: unknown key 'stage.0.sea'"):
        slot.opened()


@pytest.mark.parametrize(
    ("model", "called"),
    [
        ("runs/lr0.1/model.safetensors", "lr0.1"), ("runs/lr0.1", "lr0.1"), ("old/net.v2.safetensors", "net.v2"),
    ],
)  # fmt: skip
def test_a_model_is_called_by_its_file_or_folder(model: str, called: str) -> None:
    assert Slot("lenet5", model=model).name == f"lenet5 ({called})"
