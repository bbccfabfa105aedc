import torch
from torch import nn

from topfive.layers import Embeddings
from topfive.models import build
from topfive.models.facenet import L2Pool2d


def test_l2_pooling_is_the_root_of_the_sum_of_squares():
    maps = torch.randn(2, 3, 5, 5)
    windows = nn.functional.unfold(maps, 3, padding=1).view(2, 3, 9, 5, 5)
    assert torch.allclose(L2Pool2d()(maps), windows.square().sum(2).sqrt(), atol=1e-5)


def test_codes_have_unit_length_and_are_given_in_training():
    torch.manual_seed(0)
    net, images = build("facenet_nn2_small", 5), torch.rand(4, 3, 32, 32)
    output = net(images)
    assert isinstance(output, Embeddings)
    assert output.codes.shape == (4, 128)
    assert torch.allclose(output.codes.norm(dim=1), torch.ones(4), atol=1e-5)
    assert torch.allclose(net.eval().features(images).norm(dim=1), torch.ones(4), atol=1e-5)


def test_a_class_is_scored_by_its_centres_distance():
    torch.manual_seed(0)
    net, images = build("facenet_nn2_small", 5).eval(), torch.rand(4, 3, 32, 32)
    nn.init.normal_(net.centres.centres)
    with torch.no_grad():
        apart = torch.cdist(net.features(images), net.centres.centres).square()
        assert torch.allclose(net(images), -apart, atol=1e-4)
