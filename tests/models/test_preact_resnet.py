"""Where the first activation of a pre-activation unit goes: He et al. 2016, arXiv:1603.05027, Fig. 4 (e), appendix."""

import pytest
import torch
from torch import nn
from torch.nn.functional import relu

from topfive.models import build


@pytest.mark.parametrize("place", [0, 1])
def test_the_first_unit_shares_its_activation_and_the_next_passes_its_input_on(place):
    torch.manual_seed(0)
    unit = build("cifar_preact_resnet110").eval().stages[0][place]
    nn.init.zeros_(unit.branch[-1].weight)  # what is left is the shortcut
    maps = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        assert torch.equal(unit(maps), relu(unit.bn1(maps)) if place == 0 else maps)
