"""The hand-made systems as classifiers: their codes are those of their parts, and what they learn travels with them."""

import pytest
import torch
from torch.nn import functional as F

from topfive.features import BagOfWords, DenseSift, regions_of
from topfive.features.lbp import Lbp
from topfive.layers import LUMA
from topfive.models import ZOO, build
from topfive.models.coded import Channel, Projection
from topfive.models.count import count, total
from topfive.models.nec_2010 import DenseHog, DenseLbp, unsigned_maps

HAND_MADE = [name for name, card in ZOO.items() if card.family == "hand_made"]
SMALL = ["sift_bow_2009_small", "nec_2010_small", "sparse_coding_2010_small", "xrce_2011_small", "kmeans_2011"]


def drawn(name, **arguments):
    """With every buffer drawn, as if it had been fitted."""
    torch.manual_seed(0)
    net = build(name, 4, **arguments).eval()
    for key, buffer in net.state_dict().items():
        if key.startswith("channels."):
            drawn = torch.rand_like(buffer) + 0.1
            buffer.copy_(F.normalize(drawn, dim=1) if drawn.ndim == 2 else drawn)
    torch.nn.init.normal_(net.svm.weight)
    return net


def images(side=32, number=3):
    smooth = torch.rand(number, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    return F.interpolate(smooth, (side, side), mode="bilinear")


@pytest.mark.parametrize("name", SMALL)
def test_scores_are_finite_differ_and_do_not_depend_on_the_batch(name):
    net, some = drawn(name), images()
    found = net(some)
    assert found.shape == (3, 4)
    assert found.isfinite().all()
    assert not torch.allclose(found[0], found[1], rtol=1e-3)
    assert torch.allclose(net(some[1:2])[0], found[1], rtol=1e-3, atol=1e-4)
    assert net(torch.full((1, 3, 32, 32), 0.5)).isfinite().all()


@pytest.mark.parametrize("name", HAND_MADE)
def test_lengths_are_those_of_the_channels(name):
    card = ZOO[name]
    rows = count(name)
    assert total(rows).params == card.params
    assert total(rows).macs == card.macs
    assert card.params == (card.macs // card.classes + 1) * card.classes


@pytest.mark.parametrize("encoder", ["lasso", "omp", "threshold"])
def test_sparse_codes_are_counted_with_every_encoder(encoder):
    regions, words = 21, 1024
    found = total(count("sparse_coding_2010_small", encoder=encoder)).macs
    assert found == 10 * regions * words * (2 if encoder == "threshold" else 1)


@pytest.mark.parametrize("name", SMALL)
def test_what_was_fitted_travels_with_the_weights(name):
    net, fresh = drawn(name), build(name, 4).eval()
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(images()), net(images()))
    assert not torch.equal(build(name, 4).eval()(images()), net(images()))


def test_a_channel_is_its_parts_one_after_the_other():
    describe, project, code = DenseSift(8, 4), Projection(128, 16), BagOfWords(10, 16)
    torch.manual_seed(0)
    project.basis.normal_()
    code.words.normal_()
    channel = Channel(describe, code, ((1, 1), (2, 2)), 32, project=project)
    some = images()
    grey = (some * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    by_hand = code(
        (describe(grey) - project.centre) @ project.basis, regions_of(describe.places(32, 32), ((1, 1), (2, 2)))
    )
    assert torch.allclose(channel(some), by_hand, atol=1e-6)
    assert channel.length == 5 * 10 == by_hand.shape[1]


def test_the_order_of_channels_is_that_of_the_codes():
    net, some = drawn("xrce_2011_small"), images()
    codes = net.features(some)
    sift, colour = net.channels["sift"], net.channels["colour"]
    assert torch.allclose(codes[:, : sift.length], sift(some), atol=1e-6)
    assert torch.allclose(codes[:, sift.length :], colour(some), atol=1e-6)


def test_unsigned_orientations_share_a_gradient():
    turned = torch.stack([images(number=1)[0, :1], images(number=1)[0, :1].flip(1).flip(2)])  # upside down
    maps = unsigned_maps(turned)
    assert torch.allclose(maps[0], maps[1].flip(1).flip(2), atol=1e-5)  # opposite gradients are one orientation
    across = F.pad(turned[..., 2:] - turned[..., :-2], (1, 1))
    down = F.pad(turned[:, :, 2:] - turned[:, :, :-2], (0, 0, 1, 1))
    assert torch.allclose(maps.sum(1), (across.square() + down.square()).sqrt()[:, 0], atol=1e-5)


def test_patches_of_hog_and_lbp_are_where_they_say():
    grey = images()[:, :1]
    hog, lbp = DenseHog((8, 12), 4), DenseLbp((8, 12), 4)
    rows = [(32 - size) // 4 + 1 for size in (8, 12)]
    assert len(hog.places(32, 32)) == rows[0] ** 2 + rows[1] ** 2
    for describe, width in ((hog, 144), (lbp, 59)):
        found = describe(grey)
        assert found.shape == (3, rows[0] ** 2 + rows[1] ** 2, width)
        place = rows[0] ** 2 + 2 * rows[1] + 1  # of 12 px, third row, second column
        moved = grey.clone()
        moved[:, :, :7] = 0
        moved[:, :, 22:] = 0
        moved[..., :3] = 0
        moved[..., 18:] = 0  # all but the patch at (8, 4) and a px around it
        assert torch.allclose(describe(moved)[:, place], found[:, place], atol=1e-5)
        assert not torch.allclose(describe(moved)[:, 0], found[:, 0], atol=1e-2)
    codes = Lbp(1).codes(grey)[:, 8:20, 4:16].flatten(1)
    shares = torch.stack([Lbp(1).bins[one.long()].mean(0) for one in codes])
    assert torch.allclose(lbp(grey)[:, place], F.normalize(shares, dim=1), atol=1e-5)


@pytest.mark.parametrize("side", [1, 7, 10])
def test_images_smaller_than_a_patch_have_none_of_that_size(side):
    for describe, width in ((DenseHog((8, 12), 4), 144), (DenseLbp((8, 12), 4), 59)):
        found = describe(torch.rand(2, 1, side, side))
        assert found.shape == (2, len(describe.places(side, side)), width)
        assert found.isfinite().all()


@pytest.mark.parametrize("encoder", ["lasso", "omp"])
def test_sparse_codes_of_any_number_of_images_are_exported(encoder):
    """The lasso ends where its codes stand still, in a graph too: without a step of a graph for each step of it."""
    net, some = drawn("sparse_coding_2010_small", words=64, encoder=encoder), images(number=5)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(net, (some[:2],), dynamic_shapes=({0: batch},))
    assert len(program.graph.nodes) < 1000
    with torch.no_grad():
        assert torch.allclose(program.module()(some), net(some), rtol=1e-3, atol=1e-3)
