"""The `svm` stage against liblinear, and what its probabilities are worth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, Split, evenly, subset
from topfive.errors import BadData, BadFile, Diverged, Misused
from topfive.evaluation import judge, score
from topfive.models import build
from topfive.models.coded import CodedSvm
from topfive.models.modelfile import Model
from topfive.recipes.stages import Fit, Svm
from topfive.training import linear_svm, newton, svm
from topfive.training.averaged_sgd import fit_by_sgd
from topfive.training.codebook import fit_channels
from topfive.training.codes import KeptCodes, extract_codes
from topfive.training.coordinates import Span
from topfive.training.hinge import objective
from topfive.training.linear_svm import choose_c
from topfive.training.newton import Steep, fit_weights
from topfive.training.svm import draw_folds, fit_svm
from topfive.training.tailoring import fit_recipe, geometry_of


@pytest.fixture(scope="module")
def codes() -> tuple[Tensor, Tensor]:
    scans = load_digits()
    return torch.from_numpy(scans.data[:600] / 16).float(), torch.from_numpy(scans.target[:600])


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_optimum_is_liblinears(codes: tuple[Tensor, Tensor], c: float) -> None:
    """LinearSVC's dual solver of the same problem (Hsieh et al. 2008): an objective within 0.1 %, and its answers."""
    theirs = LinearSVC(C=c, loss="squared_hinge", dual=True, intercept_scaling=1, tol=1e-6, max_iter=100_000)
    theirs.fit(*(part.numpy() for part in codes))
    signs = np.where(codes[1].numpy()[:, None] == np.arange(10), 1.0, -1.0)

    def plain(weights: np.ndarray, biases: np.ndarray) -> float:
        margins = codes[0].numpy().astype(np.float64) @ weights.T + biases
        slack = np.maximum(0, 1 - signs * margins)
        return float(0.5 * (weights**2).sum() + 0.5 * (biases**2).sum() + c * (slack**2).sum())

    best = plain(theirs.coef_, theirs.intercept_)
    ours = fit_weights(*codes, start=torch.zeros(10, codes[0].shape[1] + 1), c=c, iterations=200)
    assert plain(ours[:, :-1].numpy(), ours[:, -1].numpy()) == pytest.approx(best, rel=1e-3)
    assert float(objective(ours, *codes, c)[0]) == pytest.approx(
        plain(ours[:, :-1].numpy(), ours[:, -1].numpy()), rel=1e-5
    )
    answers = (codes[0] @ ours[:, :-1].T + ours[:, -1]).argmax(1).numpy()
    assert (answers == theirs.predict(codes[0].numpy())).mean() > 0.995


@pytest.mark.parametrize("stage", [{"solver": "newton"}, {"solver": "sgd", "passes": 60}, {"memory_gb": 1e-6}])
@pytest.mark.parametrize("images", [40, 120])  # solved in the span of the codes, and as they are
def test_codes_that_are_all_zero_end_in_one_answer(
    few_digits: ImageSet, caplog: pytest.LogCaptureFixture, stage: dict[str, Any], images: int
) -> None:
    """Without codes b alone makes b^2 / 2 + C (n (1 - b)^2 + (N - n) (1 + b)^2) least: 2 C (2n - N) / (1 + 2 C N)."""
    split = evenly(few_digits.split("train"), images)
    net = build("sparse_coding_2010_small", 10, words=8, penalty=2.0).eval()
    assert isinstance(net, CodedSvm)
    net.get_buffer("channels.sift.code.words")[:, 0] = 1
    fit_svm(net, Svm(c=0.5, iterations=60, **stage), split, Geometry(32, 32), 0, 1)
    assert isinstance(net, CodedSvm)
    assert (net.svm.weight == 0).all()
    assert torch.allclose(
        net.svm.bias, (2 * split.labels.bincount(minlength=10) - len(split)) / (1 + len(split)), atol=0.05
    )
    assert net(torch.rand(2, 3, 32, 32)).isfinite().all()
    assert "all codes are equal, so every image will get one answer; give other images, or settings" in caplog.text


def coded_digits(digits: ImageSet, name: str, **arguments: int) -> tuple[Tensor, Tensor]:
    """Codes of 400 digits by an entry that learned its words from them, and their labels."""
    recipe, _ = fit_recipe(name, digits)
    split, machine = evenly(digits.split("train"), 400), build(name, 10, **{**recipe.model, **arguments})
    for stage in recipe.stage:
        if isinstance(stage, Fit):
            fit_channels(machine, stage.model_copy(update={"descriptors": 5000}), split, geometry_of(recipe), 0, 1)
    found = extract_codes(machine, split, geometry_of(recipe), 1)
    return found.codes, found.labels


@pytest.mark.parametrize(("name", "arguments"), [("sift_bow_2009_small", {"words": 100}), ("hog_svm", {})])
def test_at_the_recipes_own_costs_the_objective_is_liblinears(
    digits: ImageSet, name: str, arguments: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """From weights of 0, with the iterations that the recipe has: within 0.1 % of LinearSVC's (Newton's method)."""
    numbers, labels = coded_digits(digits, name, **arguments)
    recipe, _ = fit_recipe(name, digits)
    stage = recipe.stage[recipe.main]
    assert isinstance(stage, Svm)
    for c in stage.costs:
        theirs = LinearSVC(C=c, dual=False, intercept_scaling=1, tol=1e-6, max_iter=10_000)
        theirs.fit(numbers.double().numpy(), labels.numpy())
        best = torch.from_numpy(np.column_stack([theirs.coef_, theirs.intercept_]))
        ours = fit_weights(numbers, labels, torch.zeros(10, numbers.shape[1] + 1), c, stage.iterations)
        values = [float(objective(weights, numbers.double(), labels, c)[0]) for weights in (ours.double(), best)]
        assert values[0] == pytest.approx(values[1], rel=1e-3), c
    assert "not converged" not in caplog.text


def test_an_easy_fit_ends_early_and_one_that_is_stopped_is_said(
    codes: tuple[Tensor, Tensor], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = list[float]()
    real = newton._newton_step
    monkeypatch.setattr(newton, "_newton_step", lambda *given: steps.append(given[3]) or real(*given))
    start = torch.zeros(10, 65)
    found = fit_weights(*codes, start, 0.01, 100)
    assert 3 <= len(steps) <= 8
    steps.clear()
    again = fit_weights(*codes, found, 0.01, 100)
    assert len(steps) == 1
    values = [float(objective(weights, *codes, 0.01)[0]) for weights in (again, found)]
    assert values[0] <= values[1] < values[0] * (1 + newton.CONVERGED)
    assert not caplog.text
    fit_weights(*codes, start, 10.0, 3)
    assert "c = 10: stopped after 3 iterations, not converged; set iterations higher" in caplog.text


def alike(number: int, length: int) -> Tensor:
    """Codes whose numbers rise and fall together: a few directions hold nearly all of what differs."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(number, length, generator=generator) * torch.arange(1, length + 1) ** -1.0
    return hidden @ torch.linalg.qr(torch.randn(length, length, generator=generator)).Q * length**0.5


def test_steep_directions_are_those_of_the_codes() -> None:
    numbers = alike(1600, 50)
    steep = Steep.of(numbers)
    assert len(steep.directions) == 1600 // newton.LOOKED_AT // newton.KEPT
    torch.testing.assert_close(steep.directions @ steep.directions.T, torch.eye(50), rtol=0, atol=1e-3)
    rows = torch.linspace(0, 1599, 200).long()  # those that are looked at, of which each direction has its mean square
    seen = torch.nn.functional.pad(numbers[rows], (0, 1), value=1.0) @ steep.directions.T
    torch.testing.assert_close(seen.square().mean(0), steep.squares, rtol=1e-3, atol=1e-5)
    # A gradient along a direction is divided by the curvature there, as a multiple of the least one.
    curve = 1 + 8.0 * steep.squares
    levelled = steep.levelled(steep.directions, torch.tensor(8.0).expand(50))
    torch.testing.assert_close(levelled, steep.directions * (curve[-1] / curve)[:, None], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("codes", [torch.zeros(40, 6), torch.ones(3, 5), torch.eye(6)[:1], alike(30, 4) * 1e-4])
def test_codes_with_few_directions_or_none_have_steep_ones_all_the_same(codes: Tensor) -> None:
    steep = Steep.of(codes)
    assert 1 <= len(steep.squares) <= len(codes)
    assert steep.levelled(torch.ones(2, codes.shape[1] + 1), torch.tensor([0.0, 5.0])).isfinite().all()


def test_codes_that_rise_and_fall_together_take_few_looks_for_what_is_steep(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = alike(2000, 300)
    labels = (numbers @ torch.randn(300, 10, generator=torch.Generator().manual_seed(5))).argmax(1)
    looks = list[int]()
    real = newton.add_products
    monkeypatch.setattr(newton, "add_products", lambda *given: looks.append(len(given[1])) or real(*given))

    def fitted() -> tuple[float, int]:
        looks.clear()
        weights = fit_weights(numbers, labels, torch.zeros(10, 301), 0.1, 100)
        return float(objective(weights, numbers, labels, 0.1)[0]), sum(looks)

    value, few = fitted()
    monkeypatch.setattr(Steep, "levelled", lambda self, gradient, pull: gradient.clone())
    plain, many = fitted()
    assert value == pytest.approx(plain, rel=1e-3)
    assert few < many / 2


def test_classes_are_solved_each_on_its_own_however_many_at_once(
    codes: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = fit_weights(*codes, torch.zeros(10, 65), 1.0, 100)
    groups = list[int]()
    real = newton._by_newton
    monkeypatch.setattr(newton, "AT_ONCE", 3 * len(codes[0]) + 1)
    monkeypatch.setattr(newton, "_by_newton", lambda *given: groups.append(len(given[1])) or real(*given))
    in_groups = fit_weights(*codes, torch.zeros(10, 65), 1.0, 100)
    assert groups == [3, 3, 3, 1]
    values = [float(objective(weights, *codes, 1.0)[0]) for weights in (in_groups, together)]
    assert values[0] == pytest.approx(values[1], rel=5e-4)
    torch.testing.assert_close(in_groups, together, rtol=0.05, atol=0.05)


def test_a_step_that_goes_too_far_is_halved(codes: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of ten times the length: without Armijo's rule the first would end above where it began."""
    numbers, labels = codes
    real = newton._newton_step
    monkeypatch.setattr(newton, "_newton_step", lambda *given: tuple(10 * one for one in real(*given)))
    values = [
        float(objective(fit_weights(numbers, labels, torch.zeros(10, 65), 0.1, steps), numbers, labels, 0.1)[0])
        for steps in (1, 2, 3, 100)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] < 0.1 * 10 * len(labels)  # that of weights of 0
    monkeypatch.undo()
    best = float(objective(fit_weights(numbers, labels, torch.zeros(10, 65), 0.1, 100), numbers, labels, 0.1)[0])
    assert values[-1] == pytest.approx(best, rel=2e-3)


def test_codes_too_large_for_float32_end_the_run(codes: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(Diverged, match="the SVM's weights are not finite at c = 1; give a smaller c, or standardise"):
        linear_svm.solve(codes[0] * 1e25, codes[1], torch.zeros(10, 65), 1.0, Svm(), 0)


@pytest.mark.parametrize("c", [0.1, 10.0])
def test_in_the_span_of_few_codes_the_machine_is_the_same(c: float) -> None:
    """60 codes of 500 numbers, two of them the same one: every optimum in the span is one of the codes as they are."""
    generator = torch.Generator().manual_seed(3)
    codes, labels = torch.randn(60, 500, generator=generator), torch.arange(60) % 4
    codes[1] = codes[0]
    span = Span.of(codes)
    assert span.coordinates.shape == (60, 59)
    torch.testing.assert_close(span.coordinates @ span.coordinates.T, codes @ codes.T, rtol=1e-4, atol=1e-2)
    inside = fit_weights(span.coordinates, labels, torch.zeros(4, 60), c, 300)
    plain = fit_weights(codes, labels, torch.zeros(4, 501), c, 300)
    values = [float(objective(weights, codes, labels, c)[0]) for weights in (span.undone(inside), plain)]
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    torch.testing.assert_close(span.undone(inside), plain, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("number", "length", "fits", "spanned"),
    [(3600, 21_000, 16, True), (3600, 21_000, 2, False), (1000, 1764, 2, False), (900, 100_000, 2, True),
     (6000, 500_000, 16, False), (1000, 500, 16, False)],
)  # fmt: skip
def test_the_span_is_taken_where_its_own_cost_is_saved(number: int, length: int, fits: int, spanned: bool) -> None:
    """3,600 codes of 21,000 numbers took 25 s for the span and 0.8 to 2 s a fit; without it 5 to 12 s a fit."""
    assert svm.is_spanned(number, length, fits) == spanned


@pytest.mark.parametrize(("number", "c", "most"), [(120, 0.1, 1.02), (120, 10.0, 1.5), (600, 1.0, 1.25)])
def test_averaged_sgd_comes_near_the_minimum(codes: tuple[Tensor, Tensor], number: int, c: float, most: float) -> None:
    """Also where ten passes over 120 codes would be few steps. Weights of 0 are at 10 to 400 times the minimum."""
    some, labels = codes[0][:number], codes[1][:number]
    start = torch.zeros(10, 65)
    least = float(objective(fit_weights(some, labels, start, c, 2000), some, labels, c)[0])
    found = fit_by_sgd(some, labels, start, c, 10, 0)
    assert float(objective(found, some, labels, c)[0]) < most * least
    assert torch.equal(found, fit_by_sgd(some, labels, start, c, 10, 0))


def test_averaged_sgd_is_nearer_after_more_passes(codes: tuple[Tensor, Tensor]) -> None:
    start = torch.zeros(10, 65)
    values = [float(objective(fit_by_sgd(*codes, start, 10.0, passes, 0), *codes, 10.0)[0]) for passes in (60, 240)]
    assert values[1] < 0.9 * values[0]


def test_cross_validation_chooses_as_a_loop_over_folds_would(codes: tuple[Tensor, Tensor]) -> None:
    """Each code is judged once, by the SVM of the fold that does not hold it."""
    numbers, labels = codes
    folds = torch.arange(len(labels)) % 3
    stage = Svm(c=(1e-5, 1.0), iterations=300, folds=3)
    chosen = choose_c(numbers, labels, folds, stage, 10, 0)
    margins = torch.zeros(len(labels), 10)
    for fold in range(3):
        seen = folds != fold
        weights = fit_weights(numbers[seen], labels[seen], torch.zeros(10, 65), chosen.c, 300)
        margins[~seen] = numbers[~seen] @ weights[:, :-1].T + weights[:, -1]
    torch.testing.assert_close(chosen.margins, margins, rtol=1e-2, atol=2e-2)
    wrong = {c: int((choose_c(numbers, labels, folds, Svm(c=c, iterations=300, folds=3), 10, 0).margins.argmax(1)
                     != labels).sum()) for c in stage.costs}  # fmt: skip
    assert wrong[chosen.c] == min(wrong.values())
    assert len(set(wrong.values())) == 2


@pytest.mark.parametrize(
    ("wrong", "best", "tried"),
    [((3, 1, 2, 2, 0), 2.0, 4), ((3, 1, 2, 1, 0), 5.0, 5), ((1, 1, 1, 1, 1), 1.0, 5), ((0, 1, 1, 0, 0), 1.0, 3)],
)
def test_a_larger_c_is_not_tried_after_two_in_a_row_were_worse(
    wrong: tuple[int, ...], best: float, tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SVM that is wrong about so many of eight codes at c = 1, 2, 3, 4 and 5."""
    labels, codes, met = torch.zeros(16, dtype=torch.long), torch.arange(16.0)[:, None], list[float]()

    def solve(codes: Tensor, labels: Tensor, start: Tensor, c: float, stage: Svm, seed: int) -> Tensor:
        met.append(c)
        return torch.tensor([[1.0, 0.0], [0.0, wrong[int(c) - 1] - 0.5]])  # class 1 wins where a code is below it

    monkeypatch.setattr(linear_svm, "solve", solve)
    stage = Svm(c=(1.0, 2.0, 3.0, 4.0, 5.0))
    chosen = choose_c(codes, labels, -(codes[:, 0] >= 8).long(), stage, 2, 0)
    assert (chosen.c, len(met)) == (best, tried)


def test_few_images_are_chosen_on_in_five_folds_and_many_by_one_share(few_digits: ImageSet) -> None:
    several = Svm(c=(0.1, 1.0))
    assert [several.folds_of(images) for images in (900, 5000, 5001)] == [5, 5, 1]
    assert Svm(c=0.1).folds_of(900) == 1
    split = few_digits.split("train")
    folds = draw_folds(split, several, 0)
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    shares = draw_folds(split, Svm(held_out=0.3), 0)
    assert sorted(set(shares.tolist())) == [-1, 0]
    assert 0.2 < float((shares == 0).float().mean()) < 0.4


def test_a_rate_that_diverges_is_not_taken() -> None:
    """One number a thousand times the others: only the safe step converges."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    codes = torch.randn(400, 8, generator=generator) + labels[:, None]
    codes[:, 0] = 1000.0
    found = fit_by_sgd(codes, labels, torch.zeros(2, 9), 0.1, 5, 0)
    assert found.isfinite().all()
    assert float(objective(found, codes, labels, 0.1)[0]) < 1.01 * 80  # 80 is that of weights of 0


def test_codes_that_took_long_are_not_computed_again(
    few_digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage killed while its SVM is solved goes on from the codes on disk, and ends with the same machine."""
    monkeypatch.setattr(svm, "WORTH_KEEPING", 0.0)
    split, geometry, stage = few_digits.split("train"), Geometry(16, 16), Svm(c=0.1, mirror=True, standardise=True)
    plain, stopped, went_on = (build("hog_svm", 10, image=16) for _ in range(3))
    fit_svm(plain, stage, split, geometry, 0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(svm, "choose_c", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit_svm(stopped, stage, split, geometry, 0, 1, tmp_path)
    [kept] = (tmp_path / "checkpoint").iterdir()
    assert kept.name.startswith("codes_all_")
    with monkeypatch.context() as patch:
        patch.setattr(svm, "extract_codes", lambda *_, **__: 1 / 0)
        fit_svm(went_on, stage, split, geometry, 0, 1, tmp_path)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, went_on.state_dict()[name]), name
    for other in (stage.model_copy(update={"mirror": False}), stage):  # other settings, then other images, find none
        images = split if other is not stage else subset(split, list(range(100)))
        fit_svm(build("hog_svm", 10, image=16), other, images, geometry, 0, 1, tmp_path)
    assert len(list((tmp_path / "checkpoint").iterdir())) == 3
    svm.drop_codes(tmp_path)
    assert not list((tmp_path / "checkpoint").iterdir())


def test_a_full_disk_does_not_end_a_run_that_could_do_without(
    few_digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(svm, "WORTH_KEEPING", 0.0)
    (tmp_path / "checkpoint").write_text("a file where the folder should be")
    fit_svm(build("hog_svm", 10, image=16), Svm(), few_digits.split("train"), Geometry(16, 16), 0, 1, tmp_path)
    assert "if the run is stopped, its codes are computed again" in caplog.text


def test_weights_that_are_no_numbers_end_the_run(few_digits: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    split = few_digits.split("train")
    monkeypatch.setattr(linear_svm, "fit_weights", lambda codes, labels, start, c, iterations: start + torch.nan)
    with pytest.raises(Diverged, match="the SVM's weights are not finite at c = 1; give a smaller c"):
        fit_svm(build("hog_svm", 10, image=16), Svm(), split, Geometry(16, 16), 0, 1)


@pytest.mark.parametrize("mirror", [False, True])
def test_packed_codes_lie_in_a_file_and_a_run_that_was_stopped_finds_them(
    few_digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: bool
) -> None:
    """1,764 numbers of HOG are no multiple of eight. Folds and the last fit read them there: no copy is made."""
    split, geometry, stage = few_digits.split("train"), Geometry(16, 16), Svm(memory_gb=1e-6, folds=3, mirror=mirror)
    in_memory, in_file, stopped, went_on = (build("hog_svm", 10, image=16) for _ in range(4))
    fit_svm(in_memory, stage, split, geometry, 0, 1)
    places = list[str | None]()
    real = linear_svm.fit_by_sgd

    def noted(codes: KeptCodes, *given: Any) -> Tensor:
        places.append(codes.kept.untyped_storage().filename)
        return real(codes, *given)

    with monkeypatch.context() as patch:
        patch.setattr(linear_svm, "fit_by_sgd", noted)
        fit_svm(in_file, stage, split, geometry, 0, 1, tmp_path)
    [place] = {Path(place or "") for place in places}
    assert (place.suffix, place.stat().st_size) == (".bytes", (1 + mirror) * 120 * 221)
    monkeypatch.setattr(svm, "WORTH_KEEPING", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(svm, "choose_c", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit_svm(stopped, stage, split, geometry, 0, 1, tmp_path)
    assert len(list((tmp_path / "checkpoint").iterdir())) == 2
    monkeypatch.setattr(svm, "extract_codes", lambda *_, **__: 1 / 0)
    fit_svm(went_on, stage, split, geometry, 0, 1, tmp_path)
    place.write_bytes(b"half of it")
    with pytest.raises(BadFile, match=r"is not the whole file that codes_all_.* tells of; delete both"):
        fit_svm(build("hog_svm", 10, image=16), stage, split, geometry, 0, 1, tmp_path)
    for name, value in in_memory.state_dict().items():
        assert torch.equal(value, in_file.state_dict()[name]), name
        assert torch.equal(value, went_on.state_dict()[name]), name
    svm.drop_codes(tmp_path)
    assert not list((tmp_path / "checkpoint").iterdir())


def test_packed_codes_are_held_in_memory_where_the_disk_has_no_room(
    few_digits: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "checkpoint").write_text("a file where the folder should be")
    net = build("hog_svm", 10, image=16)
    fit_svm(net, Svm(memory_gb=1e-6), few_digits.split("train"), Geometry(16, 16), 0, 1, tmp_path)
    assert "could not be written" in caplog.text
    assert "the codes are held in memory" in caplog.text


def test_a_class_that_is_far_from_its_minimum_is_not_hidden_by_many_that_are_there() -> None:
    """Two classes that no plane divides, beside 298 that no code has and that a few steps solve."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(400, 30, generator=generator)
    labels = (codes[:, 0] * codes[:, 1] > 0).long()
    alone = fit_weights(codes, labels, torch.zeros(2, 31), 10.0, 100)
    beside = fit_weights(codes, labels, torch.zeros(300, 31), 10.0, 100)
    assert torch.equal(beside[2:], beside[2].expand(298, -1))
    torch.testing.assert_close(beside[:2], alone, rtol=1e-4, atol=1e-5)


def test_the_sample_of_codes_is_from_all_over(few_digits: ImageSet) -> None:
    split = few_digits.split("train")
    for number in (1, 7, 60, 61, 119, 120, 500):
        rows = [split.ids.index(id_) for id_ in evenly(split, number).ids]
        assert len(set(rows)) == min(number, 120)
        assert max(b - a for a, b in zip([*rows, 120], [*rows[1:], 120, 120], strict=True)) <= -(-120 // len(rows))


def test_packed_codes_are_solved_by_averaged_sgd(few_digits: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept at one bit a number, HOG of 120 digits still tells them apart, also 60 that were not learned from."""
    solved: list[str] = []
    for name in ("fit_weights", "fit_by_sgd"):
        real = getattr(linear_svm, name)
        monkeypatch.setattr(linear_svm, name, lambda *given, n=name, f=real: solved.append(n) or f(*given))
    net = build("hog_svm", 10, image=18).eval()  # 8 x 8 blocks of 36: a multiple of 8
    split, geometry = few_digits.split("train"), Geometry(18, 18)
    fit_svm(net, Svm(c=1.0, memory_gb=1e-6), split, geometry, 0, 1)
    assert set(solved) == {"fit_by_sgd"}
    assert isinstance(net, CodedSvm)
    for name, least in (("train", 0.9), ("test", 0.75)):
        found = extract_codes(net, few_digits.split(name), geometry, 1)
        assert (net.svm(found.codes).argmax(1) == found.labels).float().mean() > least


@pytest.fixture(scope="module")
def fitted(digits: ImageSet) -> Model:
    recipe, _ = fit_recipe("hog_svm", digits)
    classifier = build("hog_svm", 10, **recipe.model)
    stage = recipe.stage[0]
    assert isinstance(stage, Svm)
    assert fit_svm(classifier, stage, digits.split("train"), geometry_of(recipe), recipe.seed, 1) == []
    return Model("hog_svm", dict(recipe.model), digits.classes, geometry_of(recipe), classifier)


def test_hog_svm_reads_digits(digits: ImageSet, fitted: Model) -> None:
    assert judge(score(fitted, digits)).top1_error <= 0.05


def test_fitted_sharpness_makes_the_truth_more_likely(digits: ImageSet, fitted: Model) -> None:
    found = score(fitted, digits)
    assert isinstance(fitted.classifier, CodedSvm)
    sharpness = float(fitted.classifier.sharpness)
    assert sharpness != 1
    loss = nn.functional.cross_entropy
    assert loss(found.averaged, found.labels) < loss(found.averaged / sharpness, found.labels)


def test_codes_come_in_the_splits_order_and_mirrored_where_asked(few_digits: ImageSet) -> None:
    net = build("hog_svm", 10, image=16).eval()
    split, geometry = few_digits.split("test"), Geometry(16, 16)
    plain, both = (extract_codes(net, split, geometry, 2, mirrored) for mirrored in (False, True))
    assert plain.rows == both.rows == list(range(60))
    assert torch.equal(plain.labels, split.labels)
    assert torch.equal(both.codes[:60], plain.codes)
    assert split.pixels is not None
    image = torch.from_numpy(np.array(geometry.apply(split.pixels[7].permute(1, 2, 0).numpy())))[..., 0] / 255
    for found, picture in ((both.codes[7], image), (both.codes[67], image.flip(1))):
        assert isinstance(net, CodedSvm)
        torch.testing.assert_close(found, net.features(picture.expand(1, 3, 16, 16))[0])


def test_mirror_images_are_fitted_too(few_digits: ImageSet) -> None:
    """On twice the images, the second time mirrored, liblinear's objective is the same sum."""
    nets = [build("hog_svm", 10, image=16).eval() for _ in range(2)]
    split, geometry = few_digits.split("train"), Geometry(16, 16)
    for net, mirror in zip(nets, (False, True), strict=True):
        fit_svm(net, Svm(c=0.1, iterations=200, mirror=mirror), split, geometry, 0, 1)
    both = extract_codes(nets[0], split, geometry, 1, mirrored=True)
    theirs = LinearSVC(C=0.1, dual=True, intercept_scaling=1, tol=1e-6, max_iter=100_000)
    theirs.fit(both.codes.numpy(), split.labels.repeat(2).numpy())
    errors = [np.abs(net.svm.weight.detach().numpy() - theirs.coef_).max() for net in nets if isinstance(net, CodedSvm)]
    assert errors[1] < 0.01 < errors[0]


def test_an_svm_of_fewer_images_sees_so_many(few_digits: ImageSet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="topfive")
    for images, seen in ((50, 50), (500, 120)):
        caplog.clear()
        net = build("hog_svm", 10, image=16)
        fit_svm(net, Svm(iterations=2, images=images), few_digits.split("train"), Geometry(16, 16), 0, 1)
        assert f"{seen} codes of 1764 dimensions for 10 SVMs" in caplog.text


def test_the_chosen_images_do_not_depend_on_their_order(few_digits: ImageSet) -> None:
    split = few_digits.split("train")
    back = list(range(len(split)))[::-1]
    assert split.pixels is not None
    turned = Split(tuple(split.ids[i] for i in back), split.labels[back], pixels=split.pixels[back])
    weights = []
    for part in (split, turned):
        net = build("hog_svm", 10, image=16)
        fit_svm(net, Svm(c=0.1, iterations=100, images=50), part, Geometry(16, 16), 0, 1)
        assert isinstance(net, CodedSvm)
        weights.append(torch.cat([net.svm.weight.detach().flatten(), net.sharpness[None]]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-2, atol=1e-3)


def test_a_network_is_refused(few_digits: ImageSet) -> None:
    with pytest.raises(Misused, match="an svm stage fits hand-made entries such as hog_svm, got Mlp; use sgd"):
        fit_svm(build("mlp", 10), Svm(), few_digits.split("train"), Geometry(32, 32), 0, 1)


def test_images_that_cannot_be_read_are_listed(tmp_path_factory: pytest.TempPathFactory) -> None:
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for index in range(6):
        path = folder / f"{index}.png"
        Image.new("RGB", (20, 20), (40 * index, 0, 0)).save(path)
        paths.append(path)
    paths[2].write_text("no image")
    split = Split(tuple(path.name for path in paths), torch.tensor([0, 1, 0, 1, 0, 1]), paths=tuple(paths))
    [broken] = fit_svm(build("hog_svm", 2, image=16), Svm(iterations=2), split, Geometry(16, 16), 0, 1)
    assert broken.id == "2.png"
    assert "2.png: is not a readable image" in broken.reason
    for path in paths:
        path.write_text("no image")
    with pytest.raises(BadData, match="no image of the training split could be decoded"):
        fit_svm(build("hog_svm", 2, image=16), Svm(), split, Geometry(16, 16), 0, 1)
