"""Networks that slide over whole images: one crop's scores on a crop, the mean of all positions' on more."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from topfive.errors import BadShape, Misused
from topfive.layers import Classifier, FullyConnectedEnd, Normalize
from topfive.models.zoo import ZOO, build

SLIDE = [  # one of each class of networks
    "cifar10_cuda_convnet", "alexnet_small", "zfnet_small", "nin_cifar10", "vgg16_small", "googlenet_small",
    "highway1_cifar10", "prelu_net_a_small", "bn_inception_small", "inception_v3_small", "cifar_resnet20",
    "resnet18_b_small", "se_resnet50_small", "cifar_preact_resnet110", "inception_resnet_v2_small",
    "mobilenet_v1_small",
]  # fmt: skip
WHOLE = [
    "pixels_linear", "mlp", "hog_svm", "sift_bow_2009_small", "lenet5", "lenet5_dense", "highway_fc10",
    "facenet_nn2_small",
]  # fmt: skip


def some_images(height: int, width: int, images: int = 2) -> Tensor:
    return torch.rand(images, 3, height, width, generator=torch.Generator().manual_seed(1))


def drawn(name: str, **arguments: object) -> Classifier:
    """The entry with weights none of which is 0, so that no score is."""
    torch.manual_seed(0)
    net = build(name, 7, **arguments).eval()
    for part in net.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.1)
            nn.init.normal_(part.bias)
    return net


@pytest.mark.parametrize("name", SLIDE)
def test_on_a_crop_the_dense_scores_are_the_crops(name: str) -> None:
    """And on more than a crop they are others."""
    net, side = drawn(name), ZOO[name].image
    with torch.inference_mode():
        crop, larger = some_images(side, side), some_images(side + 16, side + 32)
        torch.testing.assert_close(net.dense(crop), net(crop), rtol=0, atol=1e-6)
        assert net.dense(larger).shape == (2, 7)
        assert not torch.allclose(net.dense(larger), net(larger[:, :, :side, :side]), atol=1e-4)


@pytest.mark.parametrize("name", WHOLE)
def test_what_sees_a_crop_as_a_whole_is_refused(name: str) -> None:
    net, side = build(name), ZOO[name].image
    with pytest.raises(Misused, match=f"{name}: has no dense form, it scores a crop as a whole; give it crops"):
        net.dense(some_images(side, side))


class Unpadded(FullyConnectedEnd):
    """A convolution of stride 2 and a pooling by 2, without padding, for crops of 15 px: positions are 4 px apart."""

    def __init__(self) -> None:
        super().__init__("unpadded", 15)
        self.conv1, self.pool1 = nn.Conv2d(3, 4, 3, stride=2), nn.MaxPool2d(2)
        self.set_end(4 * 3 * 3, 8, 6, dropout=0.5)

    def maps_of(self, images: Tensor) -> Tensor:
        """(N, 3, 15, 15) -> (N, 4, 3, 3)."""
        return self.pool1(relu(self.conv1(images)))


def test_a_position_is_the_crop_there_where_nothing_is_padded() -> None:
    torch.manual_seed(0)
    net = Unpadded().eval()
    images = some_images(15 + 2 * 4, 15 + 4 + 1)  # 3 rows and 2 columns of positions
    with torch.inference_mode():
        crops = {
            (row, column): net(images[:, :, 4 * row : 4 * row + 15, 4 * column : 4 * column + 15])
            for row, column in product(range(3), range(2))
        }
        found = net.score(net.everywhere(net.normalize(images)))
        assert found.shape == (2, 3, 2, 6)
        for (row, column), scores in crops.items():
            torch.testing.assert_close(found[:, row, column], scores, rtol=0, atol=1e-6)
        mean = torch.stack(list(crops.values())).mean(0)
        torch.testing.assert_close(net.dense(images), mean, rtol=0, atol=1e-6)


def test_vgg_is_its_paper_s_fully_convolutional_net() -> None:
    """fc6 as a convolution of the maps' size, fc7 and fc8 as 1x1, the map of scores averaged (sec. 3.2)."""
    net = drawn("vgg16_small", image=64)
    images = some_images(96, 160)
    with torch.inference_mode():
        maps = net.normalize(images)
        for stage in (net.conv1, net.conv2, net.conv3, net.conv4, net.conv5):
            maps = stage(maps)
        assert maps.shape[2:] == (3, 5)
        kernels = ((net.fc6, 2), (net.fc7, 1), (net.fc8, 1))
        for layer, side in kernels:
            weight = layer.weight.view(layer.out_features, -1, side, side)
            maps = conv2d(maps if layer is net.fc6 else relu(maps), weight, layer.bias)
        assert maps.shape == (2, 7, 2, 4)
        torch.testing.assert_close(net.dense(images), maps.mean((2, 3)), rtol=0, atol=1e-5)


def kept_by(part: nn.Module) -> list[Tensor]:
    """Filled with what a part of a network gives, each time that it is called."""
    kept: list[Tensor] = []
    part.register_forward_hook(lambda _module, _inputs, maps: kept.append(maps))
    return kept


def test_a_net_that_ends_in_a_mean_gives_the_mean_of_the_scores_at_all_positions() -> None:
    net = drawn("resnet18_b_small")
    images = some_images(48, 64)
    kept = kept_by(net.conv5_x)
    with torch.inference_mode():
        found = net.dense(images)
        scores = net.fc(kept[0].movedim(1, 3))  # at every position
        assert scores.shape == (2, 6, 8, 7)
        torch.testing.assert_close(found, scores.mean((1, 2)), rtol=0, atol=1e-5)


def test_a_pyramid_sees_windows_as_large_as_a_crop_s() -> None:
    """Each window of the last maps by itself through the pyramid and the layers after it."""
    net = drawn("prelu_net_a_small")
    images = some_images(48, 40)
    kept = kept_by(net.stage3)
    with torch.inference_mode():
        found = net.dense(images)
        maps = kept[0]
        assert maps.shape[2:] == (6, 5)
        each = [
            net.fc3(net.fc2(net.fc1(net.pyramid(maps[:, :, row : row + 4, column : column + 4]))))
            for row, column in product(range(3), range(2))
        ]
        torch.testing.assert_close(found, torch.stack(each).mean(0), rtol=1e-5, atol=1e-5)


def test_a_mean_image_counts_by_its_colour_on_larger_images() -> None:
    normalize, images = Normalize(), some_images(6, 8)
    mean, std = torch.rand(3, 6, 6), torch.full((3, 1, 1), 0.5)
    normalize.set_values(mean, std)
    assert torch.equal(normalize.of_any_size(images[..., :6]), normalize(images[..., :6]))
    colour = mean.mean((1, 2)).view(3, 1, 1)
    torch.testing.assert_close(normalize.of_any_size(images), (images - colour) / std)


def test_what_holds_no_crop_or_lies_off_the_steps_is_refused() -> None:
    with pytest.raises(BadShape, match=r"vgg16_small: image sides must be at least 32 px, got \(2, 3, 31, 64\)"):
        build("vgg16_small").dense(some_images(31, 64))
    with pytest.raises(BadShape, match=r"cifar_resnet20: image sides must be at least 16 px and a multiple of 4"):
        build("cifar_resnet20").dense(some_images(37, 40))
