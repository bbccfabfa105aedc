"""Weights from elsewhere: the arrays of a file that another library wrote, put into one of our networks.

An array finds its place by a table of names where the library is known, else by order and shape: the arrays, as they
stand in the file or sorted by name, must have the shapes of the network's tensors one by one, where a fully connected
layer may stand as the convolution over whole maps that it is. What leaves two readings is refused. A file whose batch
normalization was folded into its convolutions, weight and bias alone, is taken too: the normalization then only adds
the bias.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from topfive.data.geometry import Geometry, short_side
from topfive.data.imageset import ClassLabel
from topfive.errors import BadFile, Misused, look_up
from topfive.files import sha256
from topfive.layers import LUMA, Classifier
from topfive.models.foreign_files import Arrays, read_arrays
from topfive.models.foreign_names import TABLES
from topfive.models.graph import leaf, leaf_graph, leaf_name
from topfive.models.modelfile import Model
from topfive.models.zoo import ZOO, Undrawn, build, options

LAST = ("classifier", "head", "fc", "last_linear")  # what libraries call the layers at the end
ROLES = {  # what the tensors of a batch normalization are called
    "weight": ("weight", "gamma", "scale"),
    "bias": ("bias", "beta", "shift", "offset"),
    "running_mean": ("running_mean", "moving_mean", "mean"),
    "running_var": ("running_var", "moving_variance", "moving_var", "variance", "var"),
}


@dataclass(frozen=True)
class Matching:
    """Which array became which tensor, (theirs, ours) in our order, and how that was found. folded: without BN."""

    pairs: list[tuple[str, str]]
    how: str
    folded: bool = False


def match(network: Classifier, theirs: Arrays, where: str) -> Matching:
    """Where each array of `theirs` belongs in `network`; `where` is the file, for messages.

    Raises BadFile when there is no place for an array, or more than one.
    """
    ours = wanted(network, theirs)
    for library, rename in TABLES.items():
        renamed = {key: rename(key) for key in ours}
        if set(renamed.values()) == set(theirs):
            if unlike := [key for key in ours if not alike(theirs[renamed[key]], ours[key])]:
                raise BadFile(_other_shape(where, network, unlike, ours, {key: theirs[renamed[key]] for key in ours}))
            return Matching([(renamed[key], key) for key in ours], f"by the names of {library}")
    folded = without_normalization(network, ours)
    in_order, by_name = list(theirs), sorted(theirs, key=natural)
    readings = readings_of({"order": in_order, "sorted names": by_name}, theirs, ours, folded)
    if not readings:  # a file of safetensors has its arrays sorted, the last layers before the first
        last = sorted(by_name, key=lambda name: name.partition(".")[0] in LAST)
        readings = readings_of({"sorted names, the classifier last,": last}, theirs, ours, folded)
    if not readings:
        raise BadFile(_no_way(where, network, ours, folded, theirs))
    first, *others = readings
    for other in others:
        for (name, key), (another, _) in zip(first.pairs, other.pairs, strict=True):
            if name != another:
                raise BadFile(
                    f"{where}: {key} may be {name}, by the order of the file, or {another}, by the order of the names; "
                    "write the arrays in the order of their names"
                )
    if not first.folded:
        _refuse_swapped(network, first.pairs, where)
    return first


def readings_of(orders: dict[str, list[str]], theirs: Arrays, ours: Arrays, folded: Arrays) -> list[Matching]:
    """The orders of the file's names in which its arrays have the shapes of our tensors, one by one."""
    readings = []
    for order, names in orders.items():
        for targets in (ours, folded):
            if len(names) == len(targets) and all(map(alike, (theirs[name] for name in names), targets.values())):
                pairs = list(zip(names, targets, strict=True))
                readings.append(Matching(pairs, f"by {order} and shape", folded=targets is not ours))
                break
    return readings


def alike(one: Tensor, other: Tensor) -> bool:
    """Of one shape, or weights of a fully connected layer and of a convolution that are the same numbers in a row."""
    if one.ndim == other.ndim:
        return one.shape == other.shape
    return sorted((one.ndim, other.ndim)) == [2, 4] and len(one) == len(other) and one.numel() == other.numel()


def wanted(network: Classifier, theirs: Arrays) -> Arrays:
    """The tensors that a file must bring: weights and running statistics; other buffers if it has them by our names."""
    state, weights = network.state_dict(), dict(network.named_parameters())
    return {
        key: state[key] for key in state
        if key in weights or key.endswith(("running_mean", "running_var"))
        or (key in theirs and not key.startswith("normalize."))
    }  # fmt: skip


def normalized(network: Classifier) -> dict[str, bool] | None:
    """Batch normalization -> whether the convolution before it has a bias; None where one has no convolution alone."""
    found: dict[str, bool] = {}
    for node in leaf_graph(network).nodes:
        if node.op != "call_module" or not isinstance(leaf(network, node), nn.BatchNorm2d):
            continue
        [before] = node.all_input_nodes
        source = leaf(network, before) if before.op == "call_module" else None
        if not isinstance(source, nn.Conv2d) or len(before.users) > 1:
            return None
        found[leaf_name(node)] = source.bias is not None
    return found


def without_normalization(network: Classifier, ours: Arrays) -> Arrays:
    """`ours` as a file has it whose batch normalization is folded: of each only the bias, or that of its convolution.

    All of `ours` for a network that normalizes before it convolves, which cannot be folded.
    """
    dropped = set()
    for name, biased in (normalized(network) or {}).items():
        dropped |= {f"{name}.{tensor}" for tensor in ROLES if tensor != "bias" or biased}
    return {key: tensor for key, tensor in ours.items() if key not in dropped} if dropped else ours


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which names sort as people count, weights before biases.

    >>> sorted(["conv10.weight", "conv2.bias", "conv2.weight"], key=natural)
    ['conv2.weight', 'conv2.bias', 'conv10.weight']
    """
    ranks = {word: rank for rank, words in enumerate(ROLES.values()) for word in words} | {"w": 0, "b": 1}
    pieces = re.findall(r"\d+|[a-zA-Z_]+", name)
    return [(0, int(one), "") if one.isdigit() else (1, ranks.get(one.lower(), -1), one) for one in pieces]


def _refuse_swapped(network: Classifier, pairs: list[tuple[str, str]], where: str) -> None:
    """Shapes do not tell the four vectors of a batch normalization apart: their names must."""
    norms = {name for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)}
    for theirs, ours in pairs:
        module, _, role = ours.rpartition(".")
        if module in norms and not any(theirs.lower().endswith(word) for word in ROLES[role]):
            raise BadFile(
                f"{where}: {theirs} stands where {ours} is expected, and its name does not say whether it is a scale, "
                "a shift, a mean or a variance; name them weight, bias, running_mean and running_var"
            )


def _other_shape(where: str, network: Classifier, unlike: list[str], ours: Arrays, theirs: Arrays) -> str:
    """theirs: by our names. unlike: the names of which the shapes differ."""
    key = unlike[0]
    if all(one.startswith(f"{network.head}.") for one in unlike):
        return (
            f"{where}: scores {len(theirs[key])} classes, and {len(ours[key])} are named; give --classes with a line "
            "for each of its scores"
        )
    return (
        f"{where}: {network.name} expects {tuple(ours[key].shape)} for {key}, the file has {tuple(theirs[key].shape)}; "
        "is it another form of the network?"
    )


def _no_way(where: str, network: Classifier, ours: Arrays, folded: Arrays, theirs: Arrays) -> str:
    counts = (
        str(len(ours)) if len(folded) == len(ours) else f"{len(ours)}, or {len(folded)} without batch normalization"
    )
    if len(theirs) not in (len(ours), len(folded)):
        return f"{where}: expected the {counts} arrays of {network.name}, got {len(theirs)}; is it another network?"
    targets = ours if len(theirs) == len(ours) else folded
    for (key, mine), (name, array) in zip(targets.items(), theirs.items(), strict=True):
        if not alike(mine, array):
            return (
                f"{where}: {network.name} expects {tuple(mine.shape)} for {key}, the file has {tuple(array.shape)} for "
                f"{name} in that place, and its names are not known; put the arrays in the network's order"
            )
    raise AssertionError("every shape agrees")


def fill(network: Classifier, theirs: Arrays, matching: Matching) -> None:
    """Put the arrays into the network, in float32."""
    state = network.state_dict()
    for name in (normalized(network) or {}) if matching.folded else {}:
        norm = network.get_submodule(name)
        assert isinstance(norm, nn.BatchNorm2d)
        # It divides by the root of (variance + eps), which its weight takes back; what is left is its bias.
        values = {"weight": (1 + norm.eps) ** 0.5, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
        state |= {f"{name}.{key}": torch.full_like(norm.weight, value).detach() for key, value in values.items()}
    network.load_state_dict(
        state | {ours: theirs[name].float().reshape(state[ours].shape) for name, ours in matching.pairs}
    )


def swap_red_and_blue(network: Classifier) -> None:
    """Turn a network that was fitted on BGR images, as Caffe's are, into one of RGB images."""
    first = next((part for part in network.modules() if isinstance(part, nn.Conv2d) and part.in_channels == 3), None)
    if first is None:
        raise Misused(f"{network.name}: has no convolution of three colours to turn round; give --mean and --std")
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))


@dataclass(frozen=True)
class Source:
    """How a library prepares images for its weights. mean, std: RGB, in [0, 1]. bgr: the first layer sees BGR.

    tensorflow: its networks pad as TensorFlow's SAME does, where ours have that option.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    tensorflow: bool = False


SOURCES = {
    "torchvision": Source((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Source((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3, bgr=True),
    "tensorflow": Source((0.5,) * 3, (0.5,) * 3, tensorflow=True),
}


# torchvision's nets of these names turn its usual preprocessing into this one before their first layer.
HALVES = Source((0.5,) * 3, (0.5,) * 3)
TURNED = {"googlenet_torchvision": HALVES, "googlenet_torchvision_train": HALVES, "inception_v3": HALVES,
          "inception_v3_train": HALVES}  # fmt: skip
# The first 1x1 convolution strides in the paper, the 3x3 in the weights that are passed on; their tensors are alike.
LOOK_ALIKE = {f"resnet{depth}_b": f"resnet{depth}_v1_5" for depth in (50, 101, 152)}


def source_of(library: str, name: str) -> Source:
    """How `library` prepares images for its weights of the entry `name`; UnknownName for one that is not known."""
    source = look_up(library, SOURCES, kind="source")
    return TURNED.get(name, source) if library == "torchvision" else source


class Imported(NamedTuple):
    """A network with weights of a file, how they were matched, and the arrays of the file."""

    model: Model
    matching: Matching
    arrays: Arrays


def import_weights(path: Path, name: str, classes: tuple[ClassLabel, ...], source: Source) -> Imported:
    """The entry `name` with the weights of a file.

    Images are resized so that a crop of 224 px is taken out of 256 and others in proportion; crops of up to 96 px are
    whole images. Raises UnknownName for the entry, BadFile for a file that does not fit it, Misused for weights of
    another net that look like its own.
    """
    theirs = read_arrays(path)
    open_arguments, arguments = options(look_up(name, ZOO, kind="entry")), dict[str, Any]()
    _refuse_other_strides(path, name, theirs, source)
    if "auxiliary" in open_arguments:
        theirs = {key: value for key, value in theirs.items() if not re.match(r"loss[12]\W", key)}  # Caffe's
    if "auxiliary" in open_arguments and not any("aux" in key.lower() for key in theirs):
        arguments["auxiliary"] = False  # the file is without those classifiers, which nothing asks after training
    if "tensorflow" in open_arguments and source.tensorflow:
        arguments["tensorflow"] = True
    if "ceil_pool" in open_arguments and any(".se_module." in key for key in theirs):
        arguments["ceil_pool"] = True  # names that only the weights of the authors' release have
    if "relu6" in open_arguments and any(".conv_dw." in key for key in theirs):
        arguments["relu6"] = True  # timm's names
    with Undrawn():
        network = build(name, len(classes), **arguments)
    matching = match(network, theirs, str(path))
    _refuse_no_weights(path, {name: theirs[name] for name, _ in matching.pairs})
    fill(network, theirs, matching)
    if source.bgr:
        swap_red_and_blue(network)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (source.mean, source.std))
    if network.normalize.luma:
        weights = torch.tensor(LUMA).view(3, 1, 1)
        mean, std = ((values * weights).sum(0, keepdim=True) for values in (mean, std))
    network.normalize.set_values(mean, std)
    crop = ZOO[name].image
    geometry = Geometry(256 if crop == 227 else short_side(crop), crop)
    model = Model(
        entry=name, arguments=arguments, classes=classes, geometry=geometry,
        classifier=network.eval(), data={"name": path.name, "sha256": sha256(path)}, external_data=True,
    )  # fmt: skip
    return Imported(model, matching, theirs)


def _refuse_no_weights(path: Path, arrays: Arrays) -> None:
    """Numbers that are no weights would answer nonsense, and no one would know why."""
    for name, array in arrays.items():
        if not array.is_floating_point():
            raise BadFile(f"{path}: expected numbers with a fraction in {name}, got {array.dtype}; is it quantised?")
        if not bool(array.isfinite().all()):
            raise BadFile(f"{path}: expected finite numbers in {name}, found others; its training went astray")


def _refuse_other_strides(path: Path, name: str, theirs: Arrays, source: Source) -> None:
    """Where strides stand no tensor tells; the names of libraries whose nets stride elsewhere do."""
    if name in LOOK_ALIKE and not source.bgr and any(re.search(r"layer\d\.\d+\.conv2\.", key) for key in theirs):
        raise Misused(
            f"{path}: has torchvision's names, whose 3x3 convolutions stride, and {name} strides in the first 1x1; "
            f"import it as {LOOK_ALIKE[name]}"
        )
    if name.startswith("se_resnet") and any(".se.fc1." in key for key in theirs):
        raise Misused(
            f"{path}: has the names of timm's seresnets, whose 3x3 convolutions stride, and {name} strides in the "
            "first 1x1; give those of its legacy_seresnets"
        )


def in_words(matching: Matching, theirs: Arrays) -> Iterator[str]:
    """The mapping, a line an array."""
    yield f"{len(matching.pairs)} arrays placed {matching.how}" + (
        ", batch normalization folded" if matching.folded else ""
    )
    width = max(len(name) for name, _ in matching.pairs)
    for name, ours in matching.pairs:
        yield f"  {name:{width}}  ->  {ours}  {tuple(theirs[name].shape)}"
