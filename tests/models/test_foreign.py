"""Weights of other libraries: every file that leaves one reading is taken, every other is refused in one sentence."""

import pickle
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from topfive.data.challenge import challenge_classes
from topfive.data.imageset import ClassLabel
from topfive.errors import BadFile, Misused
from topfive.models import build, load, save
from topfive.models.foreign import (
    SOURCES,
    Source,
    import_weights,
    natural,
    normalized,
    source_of,
)  # fmt: skip
from topfive.models.foreign_names import googlenet_name, resnet_name, senet_name

TEN = tuple(ClassLabel(str(index), str(index)) for index in range(10))
GREY = Source((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def trained(name, **arguments):
    """A network whose every tensor is its own, as after training; in evaluation mode."""
    torch.manual_seed(3)
    net = build(name, 10, **arguments)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
            nn.init.normal_(part.running_mean, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return net.eval()


def arrays(net):
    """Its tensors, but for preprocessing and counters."""
    kept = {key: value for key, value in net.state_dict().items() if not key.startswith("normalize.")}
    return {key: value for key, value in kept.items() if not key.endswith("num_batches_tracked")}


def folded(net):
    """Weight and bias of each layer alone, under names nobody knows, with batch normalization folded in."""
    found, layers = {}, [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]
    for number, part in enumerate(layers):
        if isinstance(part, nn.BatchNorm2d):
            continue
        weight, bias = part.weight.detach(), None if part.bias is None else part.bias.detach()
        after = layers[number + 1] if number + 1 < len(layers) else None
        if isinstance(after, nn.BatchNorm2d):
            scale = after.weight / (after.running_var + after.eps).sqrt()
            weight = weight * scale[:, None, None, None]
            bias = after.bias + ((0 if bias is None else bias) - after.running_mean) * scale
        found[f"op{number}/kernel"] = weight.detach().numpy()
        found[f"op{number}/offset"] = bias.detach().numpy()
    return found


def scores(net, side=32):
    torch.manual_seed(4)
    with torch.no_grad():
        return net(torch.rand(2, 3, side, side))


def plain(net):
    """With the preprocessing of GREY."""
    net.normalize.set_values(torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25))
    return net


@pytest.mark.parametrize(("ending", "wrapped"), [("safetensors", False), ("pth", False), ("pth", True), ("npz", False)])
def test_every_kind_of_file_gives_the_scores(tmp_path, ending, wrapped):
    net, path = trained("resnet18_b_small"), tmp_path / f"w.{ending}"
    tensors = {resnet_name(key): value.contiguous() for key, value in arrays(net).items()}
    if ending == "safetensors":
        save_file(tensors, path)
    elif ending == "pth":
        torch.save(
            {"state_dict": {f"module.{key}": value for key, value in tensors.items()}} if wrapped else tensors, path
        )
    else:
        np.savez(path, **{key: value.numpy() for key, value in tensors.items()})
    model, matching, _ = import_weights(path, "resnet18_b_small", TEN, GREY)
    assert matching.how == "by the names of torchvision or timm"
    assert torch.allclose(scores(model.classifier), scores(plain(net)), atol=1e-5)
    kept = load(save(model, tmp_path / "m.safetensors"))
    assert torch.equal(scores(kept.classifier), scores(model.classifier))
    assert (kept.external_data, kept.classes) == (True, TEN)
    assert (kept.geometry.resize_short, kept.geometry.crop) == (32, 32)


FOLDABLE = [
    "resnet18_b_small",
    "mobilenet_v1_small",
    "bn_inception_small",
    "inception_v3_small",
    "resnext50_32x4d_small",
]


def test_googlenet_is_known_by_its_names_in_any_order(tmp_path):
    net = trained("googlenet_torchvision")
    named = [(googlenet_name(key), value) for key, value in arrays(net).items()]
    torch.save(dict(sorted(named, key=lambda pair: pair[0][::-1])), tmp_path / "w.pth")
    assert {"conv3.conv.weight", "inception4d.branch2.1.bn.bias", "aux2.fc1.weight"} <= {name for name, _ in named}
    model, matching, _ = import_weights(tmp_path / "w.pth", "googlenet_torchvision", TEN, GREY)
    assert matching.how == "by the names of torchvision"
    assert torch.allclose(scores(model.classifier, 64), scores(plain(net), 64), atol=1e-4)
    assert (model.geometry.resize_short, model.geometry.crop) == (256, 224)


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "model.module."])
def test_torchvisions_bottlenecks_are_not_the_papers(tmp_path, prefix):
    net = trained("resnet50_b")
    torch.save({prefix + resnet_name(key): value for key, value in arrays(net).items()}, tmp_path / "w.pth")
    with pytest.raises(Misused, match=r"w\.pth: has torchvision's names, .*; import it as resnet50_v1_5"):
        import_weights(tmp_path / "w.pth", "resnet50_b", TEN, GREY)


def test_timms_later_seresnets_are_not_the_authors(tmp_path):
    named = {key.replace("gate.", "se."): value for key, value in arrays(trained("se_resnet50_small")).items()}
    torch.save(named, tmp_path / "w.pth")
    with pytest.raises(Misused, match=r"w\.pth: has the names of timm's seresnets, .*; give those of its legacy_seres"):
        import_weights(tmp_path / "w.pth", "se_resnet50_small", TEN, GREY)


@pytest.mark.parametrize("ending", ["pth", "bin"])
def test_a_network_of_ours_that_someone_saved_is_taken(tmp_path, ending):
    net = trained("cifar_resnet20")
    torch.save(net.state_dict(), tmp_path / f"w.{ending}")
    model, matching, _ = import_weights(tmp_path / f"w.{ending}", "cifar_resnet20", TEN, GREY)
    assert matching.how == "by the names of topfive"
    assert torch.allclose(scores(model.classifier), scores(plain(net)), atol=1e-5)


def test_caffes_auxiliary_classifiers_are_left_out(tmp_path):
    net = trained("googlenet_small", auxiliary=False)
    ours = {f"layer{number}/{key}": value for number, (key, value) in enumerate(arrays(net).items())}
    torch.save({**ours, "loss1/classifier/weight": torch.zeros(10, 3), "loss2/fc/bias": torch.zeros(3)},
               tmp_path / "w.pth")  # fmt: skip
    model, _, _ = import_weights(tmp_path / "w.pth", "googlenet_small", TEN, GREY)
    assert torch.allclose(scores(model.classifier), scores(plain(net)), atol=1e-5)


def test_the_source_of_inception_is_that_of_its_first_layer():
    usual, turned = source_of("torchvision", "vgg16"), source_of("torchvision", "inception_v3")
    assert (usual.mean[0], turned.mean[0], turned.std[0]) == (0.485, 0.5, 0.5)
    image = torch.rand(3)  # what torchvision's `transform_input` does to an image that was normalized as usual
    mean, std = torch.tensor(usual.mean), torch.tensor(usual.std)
    transformed = (image - mean) / std * (std / 0.5) + (mean - 0.5) / 0.5
    assert torch.allclose(transformed, (image - 0.5) / 0.5, atol=1e-6)


def test_weights_of_grey_images_see_the_luma_of_the_preprocessing(tmp_path):
    net = trained("lenet_caffe")
    np.savez(tmp_path / "w.npz", **{key: value.numpy() for key, value in arrays(net).items()})
    model, _, _ = import_weights(tmp_path / "w.npz", "lenet_caffe", TEN, GREY)
    assert model.classifier.normalize.mean.item() == pytest.approx(0.5)
    with pytest.raises(Misused, match="lenet_caffe: has no convolution of three colours to turn round"):
        import_weights(tmp_path / "w.npz", "lenet_caffe", TEN, SOURCES["caffe"])


@pytest.mark.parametrize("name", [*FOLDABLE, "vgg16_small", "zfnet_small", "highway1_cifar10"])
def test_unknown_names_without_normalization_load_by_order_and_shape(tmp_path, name):
    net = trained(name)
    np.savez(tmp_path / "w.npz", **folded(net))
    model, matching, _ = import_weights(tmp_path / "w.npz", name, TEN, GREY)
    assert matching.how == "by order and shape"
    assert matching.folded == (name in FOLDABLE)
    expected = scores(plain(net))
    assert torch.allclose(scores(model.classifier), expected, atol=1e-4 * max(1, expected.abs().max().item()))


def test_a_convolution_with_a_bias_and_normalization_folds_too():
    assert set(normalized(build("vgg11_bn")).values()) == {True}
    assert set(normalized(build("resnet18_b_small")).values()) == {False}
    assert normalized(build("cifar_preact_resnet110")) is None


def test_the_order_is_restored_from_names_that_count(tmp_path):
    net = trained("vgg16_small")
    named = {f"layer_{number}": value for number, value in enumerate(arrays(net).values())}
    save_file({key: value.contiguous() for key, value in named.items()}, tmp_path / "w.safetensors")  # sorts its keys
    model, matching, _ = import_weights(tmp_path / "w.safetensors", "vgg16_small", TEN, GREY)
    assert matching.how == "by sorted names and shape"
    assert torch.allclose(scores(model.classifier), scores(plain(net)), atol=1e-5)
    assert sorted(["a10", "a9.bias", "a9.weight"], key=natural) == ["a9.weight", "a9.bias", "a10"]


def test_fully_connected_layers_may_come_as_convolutions(tmp_path):
    net = trained("vgg16_small")
    named = {f"layer_{number}": value for number, value in enumerate(arrays(net).values())}
    turned = {
        key: value.reshape(512, 128, 1, 1) if value.shape == (512, 128) else value for key, value in named.items()
    }
    assert sum(value.ndim == 4 for value in turned.values()) == 14
    np.savez(tmp_path / "w.npz", **{key: value.numpy() for key, value in turned.items()})
    model, _, _ = import_weights(tmp_path / "w.npz", "vgg16_small", TEN, GREY)
    assert torch.allclose(scores(model.classifier), scores(plain(net)), atol=1e-5)


def test_weights_of_tensorflow_bring_its_padding(tmp_path):
    net = trained("mobilenet_v1_small")
    np.savez(tmp_path / "w.npz", **{key: value.numpy() for key, value in arrays(net).items()})
    model, _, _ = import_weights(tmp_path / "w.npz", "mobilenet_v1_small", TEN, SOURCES["tensorflow"])
    expected = build("mobilenet_v1_small", 10, tensorflow=True).eval()
    expected.load_state_dict(model.classifier.state_dict())
    assert torch.equal(scores(model.classifier), scores(expected))
    assert not torch.allclose(scores(model.classifier), scores(plain(net)), atol=1e-3)
    kept = load(save(model, tmp_path / "m.safetensors"))
    assert torch.equal(scores(kept.classifier), scores(expected))


def test_the_authors_senets_pool_as_caffe_does(tmp_path):
    named = {senet_name(key): value for key, value in arrays(trained("se_resnet50")).items()}
    torch.save(named, tmp_path / "w.pth")
    model, matching, _ = import_weights(tmp_path / "w.pth", "se_resnet50", TEN, GREY)
    assert matching.how == "by the names of timm"
    assert model.arguments == {"ceil_pool": True}
    assert model.classifier.pool1.ceil_mode


def test_two_readings_are_refused(tmp_path):
    net = trained("vgg16_small")
    keys = list(arrays(net))
    assert arrays(net)[keys[10]].shape == arrays(net)[keys[12]].shape
    names = {key: f"n{number:03d}" for number, key in enumerate(keys)}
    names[keys[10]], names[keys[12]] = names[keys[12]], names[keys[10]]
    np.savez(tmp_path / "w.npz", **{names[key]: arrays(net)[key].numpy() for key in keys})
    said = r"w\.npz: .* may be n012, by the order of the file, or n010, by the order of the names"
    with pytest.raises(BadFile, match=said):
        import_weights(tmp_path / "w.npz", "vgg16_small", TEN, GREY)


def test_vectors_of_a_normalization_without_a_role_are_refused(tmp_path):
    named = {f"array{number:03d}": value for number, value in enumerate(arrays(trained("resnet18_b_small")).values())}
    np.savez(tmp_path / "w.npz", **{key: value.numpy() for key, value in named.items()})
    with pytest.raises(
        BadFile, match=r"array001 stands where bn1.weight is expected, and its name does not say whether"
    ):
        import_weights(tmp_path / "w.npz", "resnet18_b_small", TEN, GREY)


def test_weights_fitted_on_bgr_see_rgb(tmp_path):
    net = trained("zfnet_small")
    np.savez(tmp_path / "w.npz", **{key: value.numpy() for key, value in arrays(net).items()})
    model, _, _ = import_weights(tmp_path / "w.npz", "zfnet_small", TEN, SOURCES["caffe"])
    red, green, blue = torch.rand(2, 3, 32, 32).unbind(1)
    bgr = torch.stack([blue - 103.939 / 255, green - 116.779 / 255, red - 123.68 / 255], 1) * 255
    with torch.no_grad():
        assert torch.allclose(model.classifier(torch.stack([red, green, blue], 1)), net(bgr), rtol=1e-3, atol=1e-2)


class Trap:
    def __reduce__(self):
        return (open, ("sprung", "w"))


def broken_files(folder):
    """(file, what is said of it)"""
    tensors = {key: value.contiguous() for key, value in arrays(trained("resnet18_b_small")).items()}
    save_file(tensors, folder / "cut.safetensors")
    whole = (folder / "cut.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    torch.save(tensors, folder / "cut.pth")
    (folder / "cut.pth").write_bytes((folder / "cut.pth").read_bytes()[:50_000])
    (folder / "trap.pth").write_bytes(pickle.dumps({"weight": Trap()}))
    np.savez(folder / "trap.npz", weight=np.array([Trap()], dtype=object))
    (folder / "text.npz").write_text("text")
    np.savez(folder / "few.npz", weight=np.zeros((3, 3)))
    np.savez(folder / "shape.npz", **{key: value.numpy().reshape(-1)[:, None] for key, value in tensors.items()})
    np.savez(folder / "words.npz", weight=np.zeros(3), note=np.array("text"))
    np.save(folder / "one.npy", np.zeros(3))
    (folder / "one.npy").rename(folder / "one.npz")
    torch.save({0: torch.zeros(3)}, folder / "numbered.pth")
    (folder / "weights.h5").write_text("")
    (folder / "page.pth").write_text("error: not found")
    np.savez_compressed(folder / "bent.npz", weight=np.arange(4000))
    bent = bytearray((folder / "bent.npz").read_bytes())
    bent[len(bent) // 2] ^= 255
    (folder / "bent.npz").write_bytes(bent)
    return {
        "cut.safetensors": "cannot be read", "cut.pth": "cannot be read", "text.npz": "cannot be read",
        "trap.pth": "holds something other than tensors, which was not run",
        "trap.npz": "holds objects, of which none was run", "words.npz": "cannot be read",
        "one.npz": "it is one array without a name", "numbered.pth": "expected named arrays, found none",
        "few.npz": "expected the 102, or 42 without batch normalization arrays of resnet18_b_small, got 1",
        "shape.npz": "expects (32, 3, 3, 3) for conv1.weight, the file has (864, 1); is it another form",
        "weights.h5": "expected one of .safetensors, .pth, .pt, .bin, .npz, got .h5",
        "page.pth": "cannot be read", "bent.npz": "cannot be read",
    }  # fmt: skip


def test_broken_files_are_named_and_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, said in broken_files(tmp_path).items():
        with pytest.raises(BadFile, match=rf"{re.escape(name)}: .*{re.escape(said)}"):
            import_weights(tmp_path / name, "resnet18_b_small", TEN, GREY)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(Misused, match=r"none\.pth: expected a file of weights, found none"):
        import_weights(tmp_path / "none.pth", "resnet18_b_small", TEN, GREY)


def test_numbers_that_are_no_weights_are_refused(tmp_path):
    tensors = arrays(trained("cifar_resnet20"))
    for value, said in ((float("nan"), "expected finite numbers in conv1.weight"), (float("inf"), "expected finite")):
        spoilt = {**tensors, "conv1.weight": tensors["conv1.weight"].clone().fill_(value)}
        torch.save(spoilt, tmp_path / "spoilt.pth")
        with pytest.raises(BadFile, match=rf"spoilt\.pth: {said}"):
            import_weights(tmp_path / "spoilt.pth", "cifar_resnet20", TEN, GREY)
    torch.save({key: (100 * value).char() for key, value in tensors.items()}, tmp_path / "bytes.pth")
    with pytest.raises(BadFile, match=r"expected numbers with a fraction in .*, got torch.int8; is it quantised"):
        import_weights(tmp_path / "bytes.pth", "cifar_resnet20", TEN, GREY)


def test_another_number_of_classes_is_said_to_be_one(tmp_path):
    torch.save(arrays(trained("cifar_resnet20")), tmp_path / "ten.pth")
    with pytest.raises(BadFile, match=r"ten\.pth: scores 10 classes, and 4 are named; give --classes with a line for"):
        import_weights(tmp_path / "ten.pth", "cifar_resnet20", TEN[:4], GREY)
    other = {**arrays(trained("cifar_resnet20")), "conv1.weight": torch.zeros(16, 3, 5, 5)}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(
        BadFile, match=r"cifar_resnet20 expects \(16, 3, 3, 3\) for conv1.weight, the file has \(16, 3, 5"
    ):
        import_weights(tmp_path / "other.pth", "cifar_resnet20", TEN, GREY)


@pytest.mark.parametrize(("name", "own"), [("facenet_nn2_small", "centres.centres"), ("lenet5", "output.codes")])
def test_buffers_that_other_libraries_have_not_need_not_be_there(tmp_path, name, own):
    net = trained(name)
    for kept in (True, False):
        if kept:
            net.get_buffer(own).copy_(torch.rand_like(net.get_buffer(own)))
        tensors = {key: value for key, value in arrays(net).items() if kept or key != own}
        torch.save(tensors, tmp_path / f"{kept}.pth")
        found = import_weights(tmp_path / f"{kept}.pth", name, TEN, GREY).model.classifier
        assert all(torch.equal(found.state_dict()[key], value) for key, value in tensors.items())


def test_the_classes_of_the_challenge_are_a_thousand_synsets_in_order():
    classes = challenge_classes()
    keys = [label.key for label in classes]
    assert (len(classes), len(set(keys)), keys) == (1000, 1000, sorted(keys))
    assert [label.name for label in classes if label.name == "crane"] == ["crane", "crane"]
    assert classes[283].name == "Persian cat"
