import csv
import functools
from pathlib import Path

import pytest
import torch
from torch import nn

from topfive.models import ZOO, build, count, count_layers, total

FACTS = Path(__file__).parents[1] / "facts"


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


MODELS = {row["name"]: row for row in table(FACTS / "models.csv")}
TABLES = sorted(path.stem for path in (FACTS / "layers").glob("*.csv") if path.stem in MODELS)
OURS = ("maxpool", "avgpool", "l2pool", "lrn")
POOLS = (*OURS, "contrast_norm")  # the last is ZFNet's, for which ours stands in: an LRN
WEIGHTED = ("conv", "fc", "fc_maxout2")
HEAVY = ("cifar_resnet1202", "cifar_preact_resnet1001")  # thousands of modules: counted once, by their totals


@functools.cache
def counted(name):
    """Once for all tests: a net of hundreds of layers takes a second."""
    return count(name)


@pytest.mark.parametrize("name", MODELS)
def test_totals_and_depth_are_the_fact_bases(name):
    row, whole, card = MODELS[name], total(counted(name)), ZOO[name]
    assert row["params_status"] in ("exact", "exact_by_definition")
    assert (whole.params, whole.macs) == (int(row["params"]), int(row["macs"]))
    assert (card.params, card.macs) == (int(row["params"]), int(row["macs"]))
    depth = 14 if name == "facenet_nn1" else int(row["depth"] or 0)  # the table's 22 counts pools and the like
    assert (card.depth or 0) == depth
    assert (card.family, card.year, card.classes) == (row["family"], int(row["year"]), int(row["classes"] or 1000))
    channels, height, width = map(int, row["input_chw"].split("x"))
    if row["input_chw"] == "784x1x1":  # a scan of 28 px as a vector
        channels, height, width = 1, 28, 28
    assert (height, width) == (card.image, card.image)
    with torch.device("meta"):
        assert channels == build(name).normalize.channels


@pytest.mark.parametrize("name", TABLES)
def test_layer_by_layer_counts_are_the_fact_bases(name):
    expected = [weighted(r) for r in table(FACTS / "layers" / f"{name}.csv") if r["op"] in WEIGHTED]
    ours = [(r.output, r.weights, r.biases, r.macs) for r in counted(name) if r.op in ("conv", "fc")]
    assert ours == expected


def weighted(r):
    """Output, weights, biases and MACs of a row; a maxout layer is a linear one of twice its outputs."""
    outputs = int(r["cout"]) * (2 if r["op"] == "fc_maxout2" else 1)
    return (outputs, int(r["hout"]), int(r["wout"])), int(r["weights"]), int(r["biases"]), int(r["macs"])


def window(text):
    """3x3 -> 3, 1x7 -> (1, 7)."""
    sides = tuple(map(int, text.split("x")))
    return sides[0] if len(set(sides)) == 1 else sides


@pytest.mark.parametrize("name", TABLES)
def test_windows_of_convolutions_and_pools_are_the_fact_bases(name):
    windows = ("conv", "maxpool", "avgpool", "l2pool", "trainable_avgpool")
    expected = [
        (r["op"], window(r["kernel"]), int(r["stride"]), window(r["pad"] or "0"))
        for r in table(FACTS / "layers" / f"{name}.csv")
        if r["op"] in windows
    ]
    assert [(r.op, r.kernel, r.stride, r.padding) for r in counted(name) if r.op in windows] == expected


@pytest.mark.parametrize("name", TABLES)
def test_batch_normalization_and_pool_sizes_are_the_fact_bases(name):
    rows = table(FACTS / "layers" / f"{name}.csv")
    assert sum(r.params for r in counted(name) if r.op == "bn") == int(rows[-1]["bn_params"] or 0)
    pools = [(int(r["cout"]), int(r["hout"]), int(r["wout"])) for r in rows if r["op"] in POOLS]
    assert [r.output for r in counted(name) if r.op in OURS] == pools


def test_entries_without_a_published_count_by_hand():
    assert total(count("pixels_linear")).params == 3 * 32 * 32 * 10 + 10
    assert total(count("mlp")).params == (3072 * 500 + 500) + (500 * 10 + 10)
    assert total(count("hog_svm")).params == 7 * 7 * 4 * 9 * 10 + 10
    convs = [3 * 25 * 48, 48 * 25 * 128, 128 * 9 * 192, 192 * 9 * 192, 192 * 9 * 128]  # weights of alexnet_small
    fcs = [128 * 3 * 3 * 1024, 1024 * 1024, 1024 * 10]
    biases = 48 + 128 + 192 + 192 + 128 + 1024 + 1024 + 10
    small = total(count("alexnet_small"))
    assert small.params == sum(convs) + sum(fcs) + biases
    assert small.macs == convs[0] * 32**2 + convs[1] * 15**2 + sum(convs[2:]) * 7**2 + sum(fcs)
    stages = [4 * 9 * 32 * 32] + [9 * m * m // 2 + 3 * 9 * m * m + m * m // 2 for m in (64, 128, 256)]
    resnet = total(count("resnet18_b_small"))
    assert resnet.weights - 2400 == 27 * 32 + sum(stages) + 256 * 10  # 2400: the scales of its batch normalization
    assert resnet.macs == 27 * 32 * 32**2 + sum(s * (32 >> i) ** 2 for i, s in enumerate(stages)) + 2560


@pytest.mark.parametrize("name", [name for name in ZOO if name not in HEAVY])
def test_every_card_is_what_its_entry_counts(name):
    whole, card = total(counted(name)), ZOO[name]
    assert (card.params, card.macs) == (whole.params, whole.macs)
    with torch.device("meta"):
        held = {key: p.numel() for key, p in build(name).named_parameters()}
    assert sum(n for key, n in held.items() if card.counted == "training" or "auxiliary" not in key) == card.params


def test_counting_a_module_leaves_it_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 9, 5))
    module[1].eval()
    before = {name: held.clone() for name, held in module.state_dict().items()}
    rows = count_layers(module, (3, 7, 7))
    assert [(r.name, r.op, r.output, r.weights, r.biases, r.macs) for r in rows] == [
        ("0", "conv", (8, 3, 3), 216, 8, 216 * 9),
        ("1", "bn", (8, 3, 3), 8, 8, 0),
        ("2", "flatten", (72, 1, 1), 0, 0, 0),
        ("3", "fc", (5, 1, 1), 360, 5, 360),
    ]
    assert [part.training for part in module] == [True, False, True, True]
    assert all(torch.equal(held, before[name]) for name, held in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.parametrize("name", ["nec_2010", "xrce_2011", "sparse_coding_2010"])
def test_a_part_of_a_hand_made_entry_is_one_row(name):
    names = [row.name for row in count(name)]
    assert len(names) == len(set(names)) > 2
