import numpy as np
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


@pytest.mark.parametrize(
    ("images", "got"),
    [(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "torch.uint8"), (torch.zeros(1, 3, 8, 8).double(), "torch.float64"),
     (np.zeros((1, 3, 8, 8), np.float32), "a ndarray")],
)  # fmt: skip
def test_refuses_what_is_no_tensor_of_float32(images, got):
    with pytest.raises(BadShape, match=rf"must be float32 in \[0, 1\], got {got}; divide bytes by 255$"):
        check_images("net", images)


def test_the_same_rules_let_good_images_pass():
    check_images("net", torch.zeros(1, 3, 227, 227), 227)
    check_images("net", torch.zeros(1, 3, 16, 20), at_least=16, multiple_of=4)
