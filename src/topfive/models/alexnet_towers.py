"""AlexNet on two devices: Krizhevsky, Sutskever, Hinton 2012, NIPS 2012, sec. 3.2 and Fig. 2.

Half of the maps and units live on each device. The devices talk where the paper's do: conv3 sees the maps of both, and
so do the fully connected layers; everything else stays at home.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from topfive.errors import Misused
from topfive.layers import Classifier, FullPrecisionLinear, LocalResponseNorm
from topfive.models.alexnet import AlexNet

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class Tower(nn.Module):
    """One half of an AlexNet, with copies of its weights: the `half`-th half of the outputs of every layer but fc8."""

    def __init__(self, net: AlexNet, half: int) -> None:
        super().__init__()
        convs = (net.conv1, net.conv2, net.conv3, net.conv4, net.conv5)
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = (half_of_conv(conv, half) for conv in convs)
        self.fc6, self.fc7 = (half_of_linear(layer, half) for layer in (net.fc6, net.fc7))
        self.norm1, self.norm2 = LocalResponseNorm(), LocalResponseNorm()
        self.pool1, self.pool2, self.pool5 = (nn.MaxPool2d(3, 2) for _ in range(3))
        self.dropout = nn.Dropout(net.dropout.p)

    def below(self, images: Tensor) -> Tensor:
        """Up to conv3: (N, 3, 227, 227) -> (N, 128, 13, 13)."""
        maps = self.pool1(self.norm1(relu(self.conv1(images))))  # -> (N, 48, 27, 27)
        shrunk: Tensor = self.pool2(self.norm2(relu(self.conv2(maps))))  # -> (N, 128, 13, 13)
        return shrunk

    def middle(self, maps: Tensor) -> Tensor:
        """conv3, of both towers' maps, to pool5: (N, 256, 13, 13) -> (N, 128, 6, 6)."""
        maps = relu(self.conv3(maps))  # -> (N, 192, 13, 13)
        maps = relu(self.conv4(maps))  # -> (N, 192, 13, 13)
        maps = self.pool5(relu(self.conv5(maps)))  # -> (N, 128, 6, 6)
        return maps


class TwoTowers(Classifier):
    """The scores of `net`, an "alexnet", computed by its two towers on two devices.

    devices: two, such as ("cuda:0", "cuda:1"), on which it stays; images come to and scores leave from the first.
    Raises Misused for a net that is not of two towers.
    """

    head = "fc8"

    def __init__(self, net: AlexNet, devices: Sequence[str | torch.device]) -> None:
        if not isinstance(net, AlexNet):
            raise Misused(f"{net.name}: expected an alexnet of two towers, got another net; build('alexnet')")
        super().__init__(net.name, net.side)
        if len(devices) != 2:
            raise Misused(f"{net.name}: expected two devices, one for each tower, got {len(devices)}")
        groups = [conv.groups for conv in (net.conv2, net.conv3, net.conv4, net.conv5)]
        norms_by_tower = all(getattr(norm, "groups", 1) == 2 for norm in (net.norm1, net.norm2))
        if groups != [2, 1, 2, 2] or not norms_by_tower:
            raise Misused(f"{net.name}: expected an alexnet of two towers, got another form; build('alexnet')")
        self.first, self.second = (_found(net.name, device) for device in devices)
        self.normalize.set_values(net.normalize.mean, net.normalize.std)
        self.tower1, self.tower2 = Tower(net, 0).to(self.first), Tower(net, 1).to(self.second)
        self.fc8 = FullPrecisionLinear(net.fc8.in_features, net.fc8.out_features)
        self.fc8.load_state_dict(net.fc8.state_dict())
        self.normalize.to(self.first)
        self.fc8.to(self.first)

    def body(self, maps: Tensor) -> Tensor:
        """fc7 of both towers, on the first device: (N, 3, 227, 227) -> (N, 4096)."""
        one, two = self.tower1, self.tower2
        left, right = self.swap(one.below(maps), two.below(maps.to(self.second)))  # (N, 256, 13, 13) each
        left, right = self.swap(one.middle(left), two.middle(right))  # (N, 256, 6, 6) each
        left, right = one.dropout(relu(one.fc6(left.flatten(1)))), two.dropout(relu(two.fc6(right.flatten(1))))
        left, right = self.swap(left, right)  # (N, 4096) each
        left, right = one.dropout(relu(one.fc7(left))), two.dropout(relu(two.fc7(right)))  # (N, 2048) each
        return torch.cat([left, right.to(self.first)], 1)  # -> (N, 4096)

    def swap(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """What both towers hold, on each device."""
        return (
            torch.cat([left, right.to(self.first)], 1),
            torch.cat([left.to(self.second), right], 1),
        )


def _found(name: str, device: str | torch.device) -> torch.device:
    """The device; Misused for one that this machine has not."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch built without such devices asserts
        reason = str(error).splitlines()[0]
        raise Misused(f"{name}: expected two devices of this machine, got {device} ({reason}); give others") from error


def half_of_conv(conv: nn.Conv2d, half: int) -> nn.Conv2d:
    """The half of a convolution's maps that one tower gives; of a grouped one, also the half of its inputs."""
    maps = conv.out_channels // 2
    chosen = slice(half * maps, (half + 1) * maps)
    kernel, stride, padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
    own = nn.Conv2d(conv.weight.shape[1], maps, kernel, stride, padding)
    return with_weights(own, conv.weight[chosen], conv.bias[chosen] if conv.bias is not None else None)


def half_of_linear(layer: nn.Linear, half: int) -> nn.Linear:
    """The half of a fully connected layer's units that one tower gives."""
    units = layer.out_features // 2
    chosen = slice(half * units, (half + 1) * units)
    return with_weights(nn.Linear(layer.in_features, units), layer.weight[chosen], layer.bias[chosen])


def with_weights(layer: Layer, weight: Tensor, bias: Tensor | None) -> Layer:
    """The layer with copies of these weights."""
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(bias)
    return layer
