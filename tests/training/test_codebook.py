"""The stages that fit channels: what they learn, on how much, the same each time; whole systems on scans."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from torch import Tensor

from topfive import progress
from topfive.data import loader, open_data
from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, Split
from topfive.data.loader import central_crops
from topfive.errors import BadData, BadRecipe, Misused, UnknownName
from topfive.evaluation import evaluate, judge, score
from topfive.features import FisherVector, SparseCode
from topfive.features.sparse import lasso
from topfive.features.words import Words
from topfive.models import build
from topfive.models.coded import Channel, CodedSvm
from topfive.models.modelfile import Model
from topfive.recipes.reading import open_recipe
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Fit, Svm
from topfive.training import averaged_sgd, train
from topfive.training.averaged_sgd import fit_by_sgd
from topfive.training.codebook import (
    fit_channels,
    fit_dictionary,
    fit_mixture,
    fit_quantiser,
    fitted_channels,
    kmeans,
    sample_descriptors,
)
from topfive.training.codes import KeptCodes, extract_codes
from topfive.training.coordinates import Scale
from topfive.training.newton import fit_weights
from topfive.training.svm import fit_svm
from topfive.training.tailoring import fit_recipe, geometry_of

SIDE = Geometry(32, 32)


def sampled(net: torch.nn.Module, split: Split, number: int, raw: bool = False) -> Tensor:
    [channel] = fitted_channels(net, None).values()
    return sample_descriptors(channel, split, SIDE, 0, number, raw, 1)[0]


def words_of(net: torch.nn.Module, name: str) -> Tensor:
    code = fitted_channels(net, name)[name].code
    assert isinstance(code, Words)
    return code.words


def mixture_of(net: torch.nn.Module, name: str) -> FisherVector:
    code = fitted_channels(net, name)[name].code
    assert isinstance(code, FisherVector)
    return code


def seen(split: Split) -> Tensor:
    """The images as a network of 32 px sees them."""
    return torch.cat([batch.images for batch, _ in central_crops(split, SIDE)])


def test_a_sample_is_bounded_and_does_not_depend_on_the_order(few_digits: ImageSet) -> None:
    net, split = build("sift_bow_2009_small", 10), few_digits.split("train")
    sample = sampled(net, split, 500)
    assert 400 < len(sample) <= 500  # flat patches are left out
    assert (sample.norm(dim=1) > 0.99).all()
    back = list(range(len(split)))[::-1]
    assert split.pixels is not None
    turned = Split(tuple(split.ids[i] for i in back), split.labels[back], pixels=split.pixels[back])
    assert torch.allclose(sampled(net, turned, 10**6).sort(0).values, sampled(net, split, 10**6).sort(0).values)


def test_no_descriptor_is_taken_twice_unless_its_image_has_too_few() -> None:
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[4, :, :, 8:] = 0  # of the last image all but a strip of patches is flat
    split = Split(tuple("abcde"), torch.zeros(5).long(), pixels=pixels)
    net = build("sift_bow_2009_small", 2)
    [channel] = fitted_channels(net, None).values()
    every = channel.descriptors(seen(split))
    held = every.abs().amax(2) > 0
    assert held[:4].all() and 50 < held[4].sum() < 100
    for number in (500, 5 * 169):  # PER_IMAGE of each, and as many as there are patches
        of_each, sample = number // 5, sampled(net, split, number)
        taken = (torch.cdist(sample.double(), every[held].double()) < 1e-6).sum(0)
        assert taken.sum() == number
        by_image = torch.split(taken, held.sum(1).tolist())
        assert [int(one.sum()) for one in by_image] == [of_each] * 5
        for one in by_image:
            assert one.min() >= of_each // len(one) and one.max() <= -(-of_each // len(one))
    assert not torch.equal(sampled(net, split, 500)[:100], every[0, :100])  # not simply the first


def test_the_projection_is_scikit_learns(few_digits: ImageSet) -> None:
    net, split = build("xrce_2011_small", 10, colour=False), few_digits.split("train")
    fit_channels(net, Fit(kind="pca", descriptors=2000), split, SIDE, 0, 1)
    sample = sampled(net, split, 2000, raw=True)
    project = fitted_channels(net, "sift")["sift"].project
    assert project is not None
    theirs = PCA(64).fit(sample.numpy())
    ours, expected = project(sample).numpy(), theirs.transform(sample.numpy())
    assert np.allclose(np.abs(ours[:, :10]), np.abs(expected[:, :10]), atol=1e-3)  # up to the signs of directions
    assert np.allclose(ours.var(0), expected.var(0), rtol=1e-3, atol=1e-5)


def test_words_are_nearer_to_descriptors_than_descriptors_are_to_each_other(few_digits: ImageSet) -> None:
    net, split = build("sift_bow_2009_small", 10, words=50), few_digits.split("train")
    fit_channels(net, Fit(kind="kmeans", descriptors=5000), split, SIDE, 0, 1)
    sample, words = sampled(net, split, 5000), words_of(net, "sift")
    near = torch.cdist(sample, words).min(1).values.square().mean()
    drawn = torch.cdist(sample, sample[:50]).min(1).values.square().mean()
    assert near < 0.9 * drawn
    again = build("sift_bow_2009_small", 10, words=50)
    fit_channels(again, Fit(kind="kmeans", descriptors=5000), split, SIDE, 0, 1)
    assert torch.equal(words_of(again, "sift"), words)


def test_fewer_descriptors_than_words_are_words_themselves() -> None:
    sample = torch.rand(3, 5)
    assert torch.equal(kmeans(sample, 7, 10, 0), sample[[0, 1, 2, 0, 1, 2, 0]])


def test_a_dictionary_is_learned_with_the_penalty_of_its_entry(few_digits: ImageSet) -> None:
    """Descriptors need less of their words the more these were learned for the penalty; nothing is warned of."""
    split = few_digits.split("train")
    net = build("sparse_coding_2010_small", 10, words=40, encoder="lasso")
    [channel] = fitted_channels(net, None).values()
    code = channel.code
    assert isinstance(code, SparseCode)
    sample = sampled(net, split, 3000)
    learned = {}
    for penalty in (0.02, 0.4):
        code.penalty = penalty
        fit_dictionary(channel, sample, 20, 0)
        learned[penalty] = code.words.clone()

    def value(words: Tensor, penalty: float) -> float:
        codes = lasso(sample, words, penalty)
        return float((sample - codes @ words).square().sum() / 2 + penalty * codes.abs().sum())

    for penalty, other in ((0.02, 0.4), (0.4, 0.02)):
        assert value(learned[penalty], penalty) < value(learned[other], penalty)


def test_a_mixture_has_a_floor_and_wants_descriptors(few_digits: ImageSet) -> None:
    net, split = build("xrce_2011_small", 10, colour=False, components=8), few_digits.split("train")
    for stage in (Fit(kind="pca", descriptors=3000), Fit(kind="gmm", descriptors=3000)):
        fit_channels(net, stage, split, SIDE, 0, 1)
    code = mixture_of(net, "sift")
    sample = sampled(net, split, 3000)
    assert float(code.weights.sum()) == pytest.approx(1, abs=1e-5)
    assert (code.variances >= 0.0099 * sample.var(0)).all()
    with pytest.raises(BadData, match="expected at least 16 descriptors for 8 Gaussians, got 10; give more images"):
        fit_channels(net, Fit(kind="gmm", descriptors=10), split, SIDE, 0, 1)


def test_a_mixture_fits_dimensions_of_any_size() -> None:
    """Each Gaussian has the variances of its own descriptors, however small they are in some dimension."""
    sizes = torch.tensor([1.0, 0.1, 0.01, 0.001])
    middles = torch.tensor([[0.0, 0, 0, 0], [3, 3, 3, 3]]) * sizes
    generator = torch.Generator().manual_seed(0)
    sample = torch.cat([middle + torch.randn(2000, 4, generator=generator) * sizes for middle in middles])
    net = build("xrce_2011_small", 10, colour=False, components=2)
    channel = fitted_channels(net, "sift")["sift"]
    code = channel.code = FisherVector(2, 4)
    fit_mixture(channel, sample, 25, 0)
    order = code.means[:, 0].argsort()
    torch.testing.assert_close(code.means[order] / sizes, middles / sizes, atol=0.15, rtol=0)
    torch.testing.assert_close(code.variances[order] / sizes.square(), torch.ones(2, 4), atol=0.1, rtol=0)


def test_stages_name_their_channel_and_refuse_networks(few_digits: ImageSet) -> None:
    net, split = build("nec_2010_small", 10, words=20, vector_words=5, sets="llc"), few_digits.split("train")
    fit_channels(net, Fit(kind="kmeans", channel="hog_llc", descriptors=2000), split, SIDE, 0, 1)
    assert words_of(net, "hog_llc").abs().sum() > 0
    assert words_of(net, "lbp_llc").abs().sum() == 0
    with pytest.raises(UnknownName, match="there is no channel named 'sift'"):
        fit_channels(net, Fit(kind="kmeans", channel="sift"), split, SIDE, 0, 1)
    with pytest.raises(Misused, match="landmarks fit hand-made entries such as sift_bow_2009, got Mlp; use sgd or svm"):
        fit_channels(build("mlp", 10), Fit(kind="pca"), split, SIDE, 0, 1)


def test_flat_images_teach_nothing_and_say_so() -> None:
    flat = Split(tuple("abcd"), torch.tensor([0, 1, 0, 1]), pixels=torch.full((4, 3, 32, 32), 90, dtype=torch.uint8))
    with pytest.raises(BadData, match="no descriptor could be computed; give images that are not flat"):
        fit_channels(build("sift_bow_2009_small", 2), Fit(kind="kmeans"), flat, SIDE, 0, 1)


@pytest.mark.parametrize(("name", "first", "arguments"), [
    ("xrce_2011_small", "pca", {"colour": False, "components": 4}), ("kmeans_2011", "whitening", {"words": 8}),
])  # fmt: skip
def test_flat_patches_teach_nothing_where_they_are_projected_or_whitened(
    few_digits: ImageSet, name: str, first: str, arguments: dict[str, Any]
) -> None:
    """Of 1,000 patches of scans three at least are flat, and none of them is in a sample."""
    net, split = build(name, 10, **arguments), few_digits.split("train")
    [channel] = fitted_channels(net, None).values()
    fit_channels(net, Fit.model_validate({"kind": first, "descriptors": 3000}), split, SIDE, 0, 1)
    flat = channel.projected(channel.descriptors(torch.zeros(1, 3, 32, 32)))[0, 0]

    def share(described: Tensor) -> float:
        return float(((described - flat).norm(dim=1) < 1e-4).float().mean())

    assert share(channel.projected(channel.descriptors(seen(split))).flatten(0, 1)) > 0.003
    assert share(sampled(net, split, 3000)) == 0


def test_stages_that_are_out_of_order_or_missing_are_named(few_digits: ImageSet) -> None:
    split = few_digits.split("train")
    net = build("xrce_2011_small", 10, colour=False, components=2)
    for kind in ("kmeans", "dictionary", "whitening", "landmarks"):
        with pytest.raises(Misused, match=f"recipe: {kind} fits nothing in xrce_2011_small; leave that stage out"):
            fit_channels(net, Fit.model_validate({"kind": kind}), split, SIDE, 0, 1)
    with pytest.raises(Misused, match="gmm needs what pca fits in sift; put a stage of kind pca before it"):
        fit_channels(net, Fit(kind="gmm"), split, SIDE, 0, 1)
    fit_channels(net, Fit(kind="pca", descriptors=1000), split, SIDE, 0, 1)
    with pytest.raises(Misused, match="svm needs what gmm fits in sift; put a stage of kind gmm before it"):
        fit_svm(net, Svm(), split, SIDE, 0, 1)
    with pytest.raises(Misused, match="svm needs what landmarks fits in hog; put a stage of kind landmarks"):
        fit_svm(build("hog_rbf", 10, image=16, landmarks=5), Svm(), split, Geometry(16, 16), 0, 1)
    with pytest.raises(Misused, match="kmeans fits nothing in hog_svm; leave that stage out"):
        fit_channels(build("hog_svm", 10, image=16), Fit(kind="kmeans"), split, Geometry(16, 16), 0, 1)


def test_late_fusion_is_the_mean_of_each_channels_machine(few_digits: ImageSet) -> None:
    split = few_digits.split("train")
    net = build("nec_2010_small", 10, words=20, vector_words=5, sets="llc").eval()
    fit_channels(net, Fit(kind="kmeans", descriptors=2000), split, SIDE, 0, 1)
    fit_svm(net, Svm(c=1.0, iterations=30, late_fusion=True), split, SIDE, 0, 1)
    assert isinstance(net, CodedSvm)
    halves = []
    for name, channel in net.channels.items():
        assert isinstance(channel, Channel)
        one = CodedSvm("alone", 10, 32, {name: channel}, channel.length).eval()
        fit_svm(one, Svm(c=1.0, iterations=30), split, SIDE, 0, 1)
        halves.append(one.sharpness / 2 * one.svm.weight)
    torch.testing.assert_close(net.svm.weight, torch.cat(halves, 1), rtol=1e-3, atol=1e-4)


def test_the_best_c_is_chosen_and_its_path_told(few_digits: ImageSet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="topfive")
    net = build("hog_svm", 10, image=16)
    fit_svm(net, Svm(c=(1e-7, 0.1), iterations=60), few_digits.split("train"), Geometry(16, 16), 0, 1)
    one = build("hog_svm", 10, image=16)
    fit_svm(one, Svm(c=0.1, iterations=60), few_digits.split("train"), Geometry(16, 16), 0, 1)
    assert isinstance(net, CodedSvm) and isinstance(one, CodedSvm)
    assert torch.allclose(net.svm.weight, one.svm.weight, rtol=0.1, atol=1e-2)
    assert "c = 1e-07:" in caplog.text
    assert f"of {len(few_digits.split('train'))} codes wrong in 5 folds" in caplog.text


def test_one_share_chooses_where_one_fold_is_asked(few_digits: ImageSet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="topfive")
    net, split = build("hog_svm", 10, image=16), few_digits.split("train")
    fit_svm(net, Svm(c=(1e-7, 0.1), iterations=60, held_out=0.3, folds=1), split, Geometry(16, 16), 0, 1)
    assert "codes wrong, held out" in caplog.text


def test_codes_beyond_the_memory_are_kept_at_one_bit_a_number(
    few_digits: ImageSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="topfive")
    split, nets = few_digits.split("train"), []
    for memory in (4.0, 1e-4):
        net = build("sift_bow_2009_small", 10, words=16).eval()
        fit_channels(net, Fit(kind="kmeans", descriptors=2000), split, SIDE, 0, 1)
        fit_svm(net, Svm(c=10.0, iterations=60, memory_gb=memory), split, SIDE, 0, 1)
        nets.append(net)
    assert caplog.text.count("kept at one bit a number") == 1
    assert split.pixels is not None
    scores = [net(seen(split)) for net in nets]
    wrong = [(one.argmax(1) != split.labels).float().mean() for one in scores]
    assert wrong[1] <= wrong[0] + 0.02
    assert not torch.equal(*scores)


def test_a_quantiser_is_near_its_codes() -> None:
    codes = torch.randn(600, 32, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.2, 3, 32)
    quantiser = fit_quantiser(codes)
    left = (quantiser.decode(quantiser.encode(codes)) - codes).square().sum() / codes.square().sum()
    assert left < 0.3  # of 600 points in 8 dimensions 256 words
    kept = KeptCodes(quantiser, quantiser.encode(codes))
    assert torch.equal(kept[:9][3, 16:24], quantiser.words[2, int(kept.kept[3, 2])])
    assert kept.shape == (600, 32)
    assert torch.equal(kept[5:9], quantiser.decode(kept.kept)[5:9])
    assert torch.equal(kept[torch.arange(600) % 2 == 0][0:3], kept[0:6][::2])


def test_standardised_codes_give_the_same_answers_as_weights_of_the_codes(few_digits: ImageSet) -> None:
    split = few_digits.split("train")
    net = build("hog_svm", 10, image=16).eval()
    fit_svm(net, Svm(c=0.01, iterations=60, standardise=True), split, Geometry(16, 16), 0, 1)
    assert split.pixels is not None
    few = Split(split.ids[:40], split.labels[:40], pixels=split.pixels[:40])
    data = ImageSet("few", few_digits.layout, few_digits.classes, {"train": few, "test": few})
    model = Model("hog_svm", {"image": 16}, data.classes, Geometry(16, 16), net)
    assert judge(score(model, data)).top1_error <= 0.05


def test_settings_reach_the_main_stage_and_unknown_keys_are_named() -> None:
    recipe = open_recipe("sift_bow_2009_small.small", {"iterations": "7", "stage.0.descriptors": "9"})
    assert [type(stage) for stage in recipe.stage] == [Fit, Svm]
    fitted, solved = recipe.stage
    assert isinstance(fitted, Fit) and fitted.descriptors == 9
    assert isinstance(solved, Svm) and solved.iterations == 7
    assert recipe.main == 1
    with pytest.raises(BadRecipe, match=r"unknown key 'stage\.0\.descriptor'.*descriptors"):
        open_recipe("sift_bow_2009_small.small", {"stage.0.descriptor": "9"})


# Short of the recipes' sizes: [arguments and settings], and the error on scans of other people's digits at most.
DIGITS = {
    "sift_bow_2009_small": (["model.words=128", "c=1.0"], 0.04),
    "nec_2010_small": (["model.words=64", "model.sets=llc", "c=1.0"], 0.05),
    "sparse_coding_2010_small": (["model.words=128", "c=1.0"], 0.05),
    "xrce_2011_small": (["model.components=8", "model.colour=false", "c=1.0"], 0.05),
    "kmeans_2011": (["model.words=200", "c=0.01"], 0.06),
}


@pytest.mark.parametrize("name", DIGITS)
def test_they_read_digits(name: str, tmp_path: Path) -> None:
    data, (settings, most) = open_data("digits"), DIGITS[name]
    pairs = dict(text.split("=") for text in [*settings, "stage.0.descriptors=20000", "iterations=30"])
    recipe, _ = fit_recipe(name, data, settings=pairs)
    run = train(name, data, tmp_path / "run", recipe=recipe)
    assert evaluate(run.model, data).top1_error <= most


def test_a_stage_that_was_finished_is_not_done_again(
    few_digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(few_digits)
    whole = train("sift_bow_2009_small", few_digits, tmp_path / "whole", recipe=recipe)

    def stop(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("topfive.training.run.fit_svm", stop)
        with pytest.raises(Exception, match="stopped; go on with --resume"):
            train("sift_bow_2009_small", few_digits, tmp_path / "cut", recipe=recipe)
    monkeypatch.setattr("topfive.training.run.fit_channels", stop)  # which is not to be called again
    resumed = train("sift_bow_2009_small", few_digits, tmp_path / "cut", recipe=recipe, resume=True)
    for key, tensor in whole.model.classifier.state_dict().items():
        assert torch.equal(resumed.model.classifier.state_dict()[key], tensor), key


def small_recipe(data: ImageSet) -> Recipe:
    recipe, _ = fit_recipe("sift_bow_2009_small", data, settings={"model.words": "20", "stage.0.descriptors": "2000"})
    assert geometry_of(recipe) == SIDE
    return recipe


def test_weights_of_scaled_codes_are_undone() -> None:
    codes, weights = torch.rand(9, 5) * 3 + 2, torch.randn(4, 6)
    scale, plain = Scale.of(codes), Scale.of(codes).undone(weights)
    margins = scale(codes) @ weights[:, :-1].T + weights[:, -1]
    assert torch.allclose(margins, codes @ plain[:, :-1].T + plain[:, -1], atol=1e-4)


def test_every_stage_says_where_it_is_and_what_it_took(
    few_digits: ImageSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "SAY_EVERY", 0.0)
    caplog.set_level("INFO", logger="topfive")
    recipe, _ = fit_recipe("nec_2010_small", few_digits, settings={"model.sets": "llc", "model.words": "16"})
    train("nec_2010_small", few_digits, tmp_path / "run", recipe=recipe)
    said = re.sub(r"[0-9.]+ (s|min|ms)\b", "N", "\n".join(caplog.messages))
    for part in (
        "  descriptors of a sample: 16 of 120 images, N left", "  kmeans took N", "  coding took N, N an image",
        "  solving took N, N an image", "  svm took N",
    ):  # fmt: skip
        assert part in said.splitlines()
    assert said.count("coding took") == said.count("solving took") == 2  # a channel each


@pytest.mark.parametrize("mirrored", [False, True])
def test_progress_counts_images_not_views_and_those_that_are_broken_too(
    mirrored: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "SAY_EVERY", 0.0)
    monkeypatch.setattr(loader, "PIXELS", 4 * 32 * 32)
    caplog.set_level("INFO", logger="topfive")
    paths = tuple(tmp_path / f"{number}.png" for number in range(10))
    for path in paths:
        Image.effect_noise((32, 32), 50).convert("RGB").save(path)
    paths[1].write_text("hello")
    split = Split(tuple(path.name for path in paths), torch.zeros(10, dtype=torch.long), paths=paths)
    net = build("hog_svm", 2, image=32)
    found = extract_codes(net, split, SIDE, 1, mirrored=mirrored)
    assert len(found.codes) == (18 if mirrored else 9)
    assert [line.split(",")[0] for line in caplog.messages] == [f"  codes: {done} of 10 images" for done in (4, 8)]


def test_the_two_solvers_say_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "SAY_EVERY", 0.0)
    caplog.set_level("INFO", logger="topfive")
    codes, labels = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 3
    fit_weights(codes, labels, torch.zeros(3, 9), 1.0, 20)
    assert "  c = 1: step 1, with " in caplog.text
    fit_by_sgd(codes, labels, torch.zeros(3, 9), 1.0, 4, 0)
    steps = -(-averaged_sgd.STEPS * averaged_sgd.BATCH // 200) * -(-200 // averaged_sgd.BATCH)
    assert caplog.text.count(f"  c = 1, averaged SGD: 5 of {steps} steps, ") == 1  # not those that are tried
