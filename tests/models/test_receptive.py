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


def test_where_branches_meet_each_way_has_its_own_largest():
    net = build("inception_v3")
    found = receptive_fields(net)
    wide, high = (found[f"mixed7.0.three.1.{way}.conv"] for way in ("wide", "high"))
    assert wide[1] > high[1] and high[0] > wide[0]
    both = found["mixed7.1.one.conv"]
    assert both >= (high[0], wide[1])
    assert both[0] >= high[0] and both[1] >= wide[1]


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [
        ("se_resnet50_small", "conv2_x.0.conv3", "conv2_x.1.conv1"),
        ("prelu_net_a_small", "stage3.9", "pyramid.grids.2"),
        ("facenet_nn2_small", "trunk.1.conv", "fc"),
        ("hog_svm", "", "channels.hog"),
    ],
)
def test_what_sees_everything_has_no_field(name, seen, unseen):
    found = receptive_fields(build(name))
    assert not seen or seen in found
    assert unseen not in found


GATED = "se_"  # after the first gate every layer sees the whole image
LOCAL = [name for name, card in ZOO.items() if not card.smallest_photo and not name.startswith(GATED)]


@pytest.mark.parametrize("name", LOCAL)
def test_every_convolution_before_the_pooled_code_has_a_field(name):
    if ZOO[name].depth and ZOO[name].depth > 200:
        pytest.skip("thousands of layers like those of the smaller nets")
    found = receptive_fields(build(name))
    assert {row.name for row in count(name) if row.op == "conv"} - {"classifier"} <= set(found)
