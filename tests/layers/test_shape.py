import pytest
import torch

from topfive.errors import BadShape
from topfive.layers.shape import check_images


@pytest.mark.parametrize(
    ("shape", "rule", "message"),
    [
        ((2, 3, 224, 224), {"side": 227}, r"net: images must be \(N, 3, 227, 227\), got \(2, 3, 224, 224\); resize"),
        ((3, 32, 32), {"side": 32}, r"got \(3, 32, 32\)"),
        ((2, 1, 32, 32), {}, r"net: images must be \(N, 3, H, W\), got \(2, 1, 32, 32\); give a batch of RGB"),
        ((2, 3, 12, 32), {"at_least": 16}, r"at least 16 px, got \(2, 3, 12, 32\)"),
        ((2, 3, 32, 34), {"multiple_of": 4}, r"at least 1 px and a multiple of 4, got"),
    ],
)
def test_refuses_in_one_sentence(shape, rule, message):
    with pytest.raises(BadShape, match=message):
        check_images("net", torch.zeros(shape), **rule)


def test_refuses_bytes():
    with pytest.raises(BadShape, match=r"got torch.uint8; divide bytes by 255$"):
        check_images("net", torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_the_same_rules_let_good_images_pass():
    check_images("net", torch.zeros(1, 3, 227, 227), 227)
    check_images("net", torch.zeros(1, 3, 16, 20), at_least=16, multiple_of=4)
