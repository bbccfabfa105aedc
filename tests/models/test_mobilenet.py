import pytest
import torch
from torch.nn import functional as F

from topfive.models import build
from topfive.models.mobilenet import TensorFlowConv2d


@pytest.mark.parametrize(("side", "before", "after"), [(8, 0, 1), (9, 1, 1), (224, 0, 1)])
def test_same_padding_puts_the_odd_line_right_and_below(side, before, after):
    torch.manual_seed(0)
    conv, maps = TensorFlowConv2d(2, 3, 3, stride=2, bias=False), torch.randn(1, 2, side, side)
    by_hand = F.conv2d(F.pad(maps, (before, after, before, after)), conv.weight, stride=2)
    assert conv(maps).shape[2] == -(-side // 2)
    assert torch.allclose(conv(maps), by_hand, atol=1e-6)


def test_the_released_form_has_the_same_weights_and_other_scores():
    torch.manual_seed(0)
    paper = build("mobilenet_v1_0.25_128").eval()
    released = build("mobilenet_v1_0.25_128", tensorflow=True).eval()
    released.load_state_dict(paper.state_dict())
    images = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        assert not torch.allclose(paper(images), released(images), atol=1e-4)
