import pytest
import torch
from torch.nn import functional as F

from topfive.errors import Misused
from topfive.models import build


def caffe_pool(maps, kind):
    """3x3 by 2 in ceil mode as a plain loop: a window at the border holds only the pixels that exist."""
    side = maps.shape[-1]
    starts = range(0, side - 1, 2) if side % 2 == 0 else range(0, side - 2, 2)
    windows = [[maps[:, :, r : r + 3, c : c + 3] for c in starts] for r in starts]
    return torch.stack([torch.stack([kind(window) for window in row], -1) for row in windows], -2)


def test_order_of_layers_and_pooling_are_caffes():
    torch.manual_seed(0)
    net = build("cifar10_cuda_convnet")
    images = torch.rand(2, 3, 32, 32)
    maps = F.conv2d(images, net.conv1.weight, net.conv1.bias, padding=2)
    maps = caffe_pool(maps, lambda window: window.amax((2, 3))).relu()
    maps = caffe_pool(F.conv2d(maps, net.conv2.weight, net.conv2.bias, padding=2).relu(), lambda w: w.mean((2, 3)))
    maps = caffe_pool(F.conv2d(maps, net.conv3.weight, net.conv3.bias, padding=2).relu(), lambda w: w.mean((2, 3)))
    expected = maps.flatten(1) @ net.ip1.weight.T + net.ip1.bias
    ours = net(images)
    assert torch.allclose(ours, expected, atol=1e-5 * expected.abs().max().item())


def test_first_weights_are_caffes_if_asked_for():
    torch.manual_seed(0)
    net = build("cifar10_cuda_convnet", init="caffe")
    deviations = [layer.weight.std().item() for layer in (net.conv1, net.conv2, net.conv3, net.ip1)]
    assert deviations == pytest.approx([1e-4, 0.01, 0.01, 0.01], rel=0.05)
    assert all(layer.bias.abs().sum() == 0 for layer in (net.conv1, net.conv2, net.conv3, net.ip1))
    assert build("cifar10_cuda_convnet").conv2.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.05)
    with pytest.raises(Misused, match="init must be one of he, caffe, got 'paper'"):
        build("cifar10_cuda_convnet", init="paper")


@pytest.mark.parametrize(("image", "side"), [(24, 3), (28, 3), (33, 4), (64, 8)])
def test_ip1_grows_with_the_image(image, side):
    net = build("cifar10_cuda_convnet", image=image)
    assert net.features(torch.rand(1, 3, image, image)).shape == (1, 64 * side**2)
