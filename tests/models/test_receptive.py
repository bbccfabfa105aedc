import pytest

from topfive.models import ZOO, build, count
from topfive.models.receptive import receptive_fields


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("alexnet", {"conv1": 11, "pool1": 19, "conv2": 51, "pool2": 67, "conv3": 99, "conv5": 163, "pool5": 195}),
        ("vgg16", {"conv1.0": 3, "conv1.2": 5, "conv1.4": 6, "conv3.4": 40, "conv5.4": 196, "conv5.6": 212}),
        ("resnet18_b", {"conv1": 7, "pool1": 11, "conv2_x.1.conv2": 43, "conv5_x.1.conv2": 435}),
        ("cifar_resnet20", {"conv1": 3, "stage1.2.conv2": 15}),
    ],
)
def test_fields_worked_by_hand(name, fields):
    found = receptive_fields(build(name))
    assert {layer: found[layer] for layer in fields} == {layer: (side, side) for layer, side in fields.items()}


def test_where_branches_meet_the_largest_counts():
    found = receptive_fields(build("googlenet"))
    assert found["inception3.1.one.conv"] == found["inception3.0.five.1.conv"]


def test_windows_that_are_not_square_see_further_one_way():
    high, wide = receptive_fields(build("inception_v3"))["mixed6.0.seven.1.conv"]
    assert wide > high


@pytest.mark.parametrize("name", [name for name in ZOO if name.endswith("_small") or not ZOO[name].smallest_photo])
def test_every_convolution_before_the_pooled_code_has_a_field(name):
    if ZOO[name].depth and ZOO[name].depth > 200:
        pytest.skip("thousands of layers like those of the smaller nets")
    found = receptive_fields(build(name))
    assert {row.name for row in count(name) if row.op == "conv"} - {"classifier"} <= set(found)
