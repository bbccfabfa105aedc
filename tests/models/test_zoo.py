"""What holds for every entry: the contract of a classifier, and `build`."""

import functools
import re

import pytest
import torch
from torch import nn

from topfive.errors import BadShape, Misused, UnknownName
from topfive.layers import Normalize
from topfive.models import ZOO, build
from topfive.training.loss import loss_of

# One entry for each way of building one; the others differ from these in their tables alone, and are counted.
LIGHT = [
    "pixels_linear", "mlp", "hog_svm", "lenet5", "cifar10_cuda_convnet", "alexnet_small",
    "cifar_resnet20", "cifar_plain20", "resnet18_b_small", "cifar_preact_resnet110",
    "nin_cifar10", "lenet5_dense", "lenet_caffe", "mobilenet_v1_0.25_128", "mobilenet_v1_small", "zfnet_small",
    "vgg16_small", "googlenet_small", "bn_inception_small", "inception_v3_small", "inception_resnet_v2_small",
    "highway1_cifar10", "highway_fc10", "plain_fc10", "resnext50_32x4d_small", "se_resnet50_small", "facenet_nn2_small",
    "prelu_net_a_small", "sift_bow_2009_small", "nec_2010_small", "sparse_coding_2010_small", "xrce_2011_small",
    "kmeans_2011",
]  # fmt: skip
DEEP = [
    *LIGHT, "alexnet", "resnet18_b", "resnet50_a", "preact_resnet50", "resnext50_32x4d", "se_resnet50", "googlenet",
    "bn_inception", "inception_v3", "facenet_nn2",
]  # fmt: skip


@functools.cache
def classifier(name):
    """An entry in evaluation mode whose weights are all drawn, those that a builder leaves at 0 too."""
    torch.manual_seed(0)
    module = build(name, classes=7)
    if name == "pixels_linear" or ZOO[name].fitted_by == "svm":
        for weights in module.parameters():
            nn.init.normal_(weights)
        for key, buffer in module.state_dict().items():  # as if it had been fitted
            if key.startswith("channels."):
                buffer.copy_(nn.functional.normalize(torch.rand_like(buffer) + 0.1, dim=-1))
    if name.startswith("facenet"):
        nn.init.normal_(module.centres.centres)
    return module.eval()


@functools.cache
def some_images(name):
    low, high = ZOO[name].sides
    some_size = low < high and ZOO[name].image > 64  # where any size is taken, a small one is quick
    side = max(64, classifier(name).at_least) if some_size else ZOO[name].image
    smooth = torch.rand(3, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(smooth, (side, side), mode="bilinear")


@functools.cache
def scores(name):
    with torch.no_grad():
        return classifier(name)(some_images(name))


@pytest.mark.parametrize("name", DEEP)
def test_scores_are_finite_float32_and_tell_images_apart(name):
    assert scores(name).shape == (3, 7)
    assert scores(name).dtype == torch.float32
    assert scores(name).isfinite().all()
    assert (scores(name)[0] - scores(name)[1]).abs().max() > 0


@pytest.mark.parametrize("name", DEEP)
def test_normalize_comes_first_and_holds_buffers_only(name):
    first, normalize = next(classifier(name).named_children())
    assert first == "normalize"
    assert isinstance(normalize, Normalize)
    assert not list(normalize.parameters())
    assert set(normalize.state_dict()) == {"mean", "std"}


@pytest.mark.parametrize("name", DEEP)
def test_normalize_is_applied_to_the_images(name):
    module, images = classifier(name), some_images(name)
    channels = module.normalize.channels
    held = (module.normalize.mean, module.normalize.std)
    shift = torch.full((channels, 1, 1), 0.25)
    try:
        module.normalize.set_values(-shift, torch.full((channels, 1, 1), 2.0))
        with torch.no_grad():
            shifted = module(images)
    finally:
        module.normalize.set_values(*held)
    with torch.no_grad():
        assert torch.allclose(shifted, module((images + 0.25) / 2), atol=1e-4, rtol=1e-4)
    if ZOO[name].family != "hand_made":  # SIFT describes a brighter image alike
        assert not torch.allclose(shifted, scores(name), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", DEEP)
def test_features_are_what_the_last_layer_sees(name):
    module, seen = classifier(name), []
    hook = getattr(module, module.head).register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        module(some_images(name))
        features = module.features(some_images(name))
    hook.remove()
    if name.startswith("nin"):  # its last layer sees maps, which are averaged
        seen[0] = seen[0].mean((2, 3))
    assert torch.equal(features, seen[0])
    assert features.dim() == 2
    with torch.no_grad():
        found = module.score(features)
    assert torch.allclose(found, scores(name), rtol=1e-4, atol=1e-5 * scores(name).abs().max().item())


@pytest.mark.parametrize("name", LIGHT)
def test_autocast_leaves_the_last_layer_in_float32(name):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        automatic = classifier(name)(some_images(name))
    assert automatic.dtype == torch.float32
    assert not torch.equal(automatic, automatic.bfloat16().float())  # not merely a bfloat16 result cast up
    assert torch.allclose(automatic, scores(name), rtol=0.05, atol=0.05 * scores(name).abs().max().item())


@pytest.mark.parametrize("name", DEEP)
def test_channels_last_gives_the_same_scores(name):
    images = some_images(name).contiguous(memory_format=torch.channels_last)
    module = classifier(name).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(module(images), scores(name), rtol=1e-4, atol=1e-5 * scores(name).abs().max().item())
    module.to(memory_format=torch.contiguous_format)


@pytest.mark.parametrize("name", DEEP)
def test_exports_with_a_free_batch_size_and_agrees(name):
    """With a mean and a std to lose: of the identity that a network begins with nothing can be missed."""
    module, images, batch = classifier(name), some_images(name), torch.export.Dim("batch", min=2, max=64)
    channels = module.normalize.channels
    held = (module.normalize.mean, module.normalize.std)
    module.normalize.set_values(torch.full((channels, 1, 1), -0.25), torch.full((channels, 1, 1), 0.5))
    try:
        program = torch.export.export(module, (images[:2],), dynamic_shapes=({0: batch},))
        with torch.no_grad():
            exported, expected = program.module()(images), module(images)
    finally:
        module.normalize.set_values(*held)
    close = {"rtol": 1e-4, "atol": 1e-5 * expected.abs().max().item()}
    assert torch.allclose(exported, expected, **close)
    if ZOO[name].family != "hand_made":  # SIFT describes a brighter image alike
        assert not torch.allclose(scores(name), expected, **close)


@pytest.mark.parametrize("name", LIGHT)
def test_compiles_without_a_graph_break_under_autocast(name):
    torch.compiler.reset()
    compiled = torch.compile(classifier(name), backend="eager", fullgraph=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected, ours = classifier(name)(some_images(name)), compiled(some_images(name))
    assert ours.dtype == torch.float32
    assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("name", ["googlenet_small", "facenet_nn2_small", "cifar_resnet20", "vgg16_small"])
def test_compiles_without_a_graph_break_in_training(name):
    torch.compiler.reset()
    torch.manual_seed(2)
    module = build(name, classes=7)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    loss = loss_of(compiled(some_images(name)), torch.tensor([0, 1, 1])).total
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("sparse_coding_2010_small", {"encoder": "laso"}, "encoder must be one of lasso, omp, threshold, got 'laso'"),
        ("nec_2010_small", {"sets": "both"}, "sets must be one of all, llc, super_vector, got 'both'"),
        ("sift_bow_2009_small", {"words": 0}, "words must be at least 1, got 0; change the value"),
        ("hog_rbf", {"landmarks": 0}, "landmarks must be at least 1, got 0; change the value"),
        ("xrce_2011_small", {"components": -4}, "components must be at least 1, got -4; change the value"),
        ("sparse_coding_2010_small", {"penalty": -1.0}, "penalty must be a number from 0 on, got -1; change"),
        ("sparse_coding_2010_small", {"penalty": -1}, "penalty must be"),
        ("sparse_coding_2010_small", {"penalty": float("nan")}, "penalty must be a number from 0 on, got nan; change"),
        ("alexnet_small", {"dropout": 2.0}, "cannot be built with {'dropout': 2.0}"),
        ("sift_bow_2009_small", {"patch": 18}, "cannot be built with {'patch': 18} (DenseSift: patch: expected a mult"),
    ],
)
def test_values_that_an_argument_does_not_have_are_refused(name, given, said):
    with pytest.raises(Misused, match=f"{name}: {re.escape(said)}"):
        build(name, **given)


@pytest.mark.parametrize("name", LIGHT)
def test_every_weight_gets_a_finite_gradient_in_training(name):
    torch.manual_seed(2)
    module = build(name, classes=7)
    loss_of(module(some_images(name)), torch.tensor([0, 1, 1])).total.backward()
    for weights in module.parameters():
        assert weights.grad is not None
        assert weights.grad.isfinite().all()


@pytest.mark.parametrize("name", DEEP)
def test_runs_on_the_meta_device(name):
    with torch.device("meta"):
        module = build(name, classes=7).eval()
        meta_scores = module(torch.empty(2, 3, ZOO[name].image, ZOO[name].image))
    assert meta_scores.device.type == "meta"
    assert meta_scores.shape == (2, 7)


@pytest.mark.parametrize("name", LIGHT)
def test_weights_come_from_the_global_generator(name):
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(torch.cat([weights.detach().flatten() for weights in build(name, classes=3).parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2]) == (
        name == "pixels_linear" or ZOO[name].fitted_by == "svm"
    )  # these start at 0


@pytest.mark.parametrize("name", [*DEEP, "vgg11", "zfnet", "senet154"])
def test_both_ends_of_the_sides_are_taken(name):
    for side in ZOO[name].sides:
        with torch.device("meta"):
            module = build(name, classes=3, image=side).eval()
            assert module(torch.empty(1, 3, side, side)).shape == (1, 3)


@pytest.mark.parametrize("name", [name for name, card in ZOO.items() if card.sides == (32, 96)])
def test_small_forms_take_every_side_or_say_why_not(name):
    for side in (*range(32, 97, 6), 41, 57, 85):  # pools, strides and branches round differently there
        with torch.device("meta"):
            if side % ZOO[name].multiple_of:
                with pytest.raises(Misused, match=f"{name}: image must be 32 to 96 px and a multiple of"):
                    build(name, classes=3, image=side)
                continue
            build(name, classes=3, image=side)(torch.empty(2, 3, side, side))


@pytest.mark.parametrize("name", ["googlenet", "bn_inception", "se_bn_inception"])
def test_sides_of_photos_in_steps(name):
    for side in range(160, 257, 8):
        with torch.device("meta"):
            if side % ZOO[name].multiple_of == 0:
                build(name, classes=3, image=side)(torch.empty(2, 3, side, side))


@pytest.mark.parametrize("name", [*DEEP, "vgg11", "zfnet", "senet154"])
def test_wrong_images_are_refused_by_name(name):
    with torch.device("meta"):
        module = build(name)
    with pytest.raises(BadShape, match=rf"^{name}: .*got \(1, 3, 13, 14\); resize"):
        module(torch.empty(1, 3, 13, 14, device="meta"))
    with pytest.raises(BadShape, match=rf"^{name}: images must be float32 in \[0, 1\], got torch.uint8"):
        module.features(torch.empty(1, 3, 32, 32, device="meta", dtype=torch.uint8))


def test_the_oldest_idea_comes_first():
    years = [card.year for card in ZOO.values()]
    assert years == sorted(years)
    assert list(ZOO)[:5] == ["pixels_linear", "mlp", "lenet5", "lenet5_dense", "hog_svm"]


def test_small_forms_exist_and_take_what_the_large_ones_refuse():
    large = {name: card for name, card in ZOO.items() if card.small}
    assert {"alexnet", "resnet18_b"} <= set(large)
    for card in large.values():
        low, high = ZOO[card.small].sides
        assert low <= 32 <= high < card.smallest_photo <= card.sides[0]
        assert ZOO[card.small].smallest_photo == 0


def test_who_is_trained_as_another_names_one_with_a_recipe():
    for card in ZOO.values():
        assert not card.trained_as or not ZOO[card.trained_as].trained_as


def test_classes_default_to_the_papers():
    with torch.device("meta"):
        assert build("resnet18_b").fc.out_features == 1000
        assert build("resnet18_b", 12).fc.out_features == 12


def test_misuse_is_refused_with_what_to_do():
    with pytest.raises(
        UnknownName, match=r"there is no entry named 'alexnt' \(did you mean alexnet\?\); like it: alexnet, "
    ):
        build("alexnt")
    with pytest.raises(
        Misused, match=r"alexnet has no argument 'dropot' \(did you mean dropout\?\); known: image, units, dro"
    ):
        build("alexnet", dropot=0.1)
    with pytest.raises(Misused, match="lenet5: classes must be a number of at least 2, got 1"):
        build("lenet5", 1)
    with pytest.raises(Misused, match="alexnet: image must be 227 px, got 32; use alexnet_small"):
        build("alexnet", image=32)
    with pytest.raises(Misused, match="alexnet: image must be 227 px, got 224; resize the crops to 227 px"):
        build("alexnet", image=224)
    for classes in ("10", 2.5):
        with pytest.raises(Misused, match=r"lenet5: classes must be a number of at least 2, got '?(10|2\.5)"):
            build("lenet5", classes)
    with pytest.raises(Misused, match="resnet18_b: image must be 128 to 640 px, got 64; use resnet18_b_small"):
        build("resnet18_b", image=64)
    with pytest.raises(Misused, match="hog_svm: image must be 16 to 256 px, got 300; resize the crops to"):
        build("hog_svm", image=300)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [("alexnet_small", "lrn", "no"), ("alexnet_small", "image", "big"), ("mlp", "activation", 3),
     ("alexnet_small", "units", True), ("alexnet_small", "dropout", "half")],
)  # fmt: skip
def test_arguments_of_another_kind_are_refused(name, argument, value):
    with pytest.raises(
        Misused, match=rf"{name}: {argument} must be of the kind of .*, got {value!r}; change the value"
    ):
        build(name, **{argument: value})


@pytest.mark.parametrize(
    ("name", "arguments", "length"),
    [  # 21 regions of as many words, twice for the two signs of a sparse code
        ("sift_bow_2009_small", {"words": 30, "patch": 8, "step": 4}, 630),
        ("sparse_coding_2010_small", {"words": 30, "patch": 8, "step": 4}, 1260),
        ("sift_keypoints_2009_small", {"words": 30, "most": 7, "contrast": 0.01}, 630),
    ],
)
def test_small_entries_can_be_varied(name, arguments, length):
    module = build(name, 3, **arguments)
    assert module.svm.in_features == length
    [channel] = module.channels.values()
    if "step" in arguments:
        assert len(channel.regions.order) == 49
    else:
        assert (channel.describe.most, channel.describe.contrast) == (7, 0.01)


def test_a_whole_number_is_a_number():
    assert build("alexnet_small", dropout=0).dropout.p == 0
    build("sparse_coding_2010_small", penalty=0)
