import numpy as np
import pytest
import torch
from skimage.feature import hog as skimage_hog

from topfive.errors import Misused
from topfive.models import build


def test_margins_are_the_svm_on_scikit_image_descriptors():
    torch.manual_seed(0)
    net = build("hog_svm", 4, image=64)
    torch.nn.init.normal_(net.svm.weight)
    torch.nn.init.normal_(net.svm.bias)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 9), (64, 64), mode="bilinear")
    described = skimage_hog(smooth[0].permute(1, 2, 0).double().numpy(), 9, (8, 8), (2, 2), "L2-Hys",
                            transform_sqrt=True, channel_axis=-1)  # fmt: skip
    expected = net.svm.weight.detach().numpy() @ described + net.svm.bias.detach().numpy()
    assert net(smooth)[0].detach().numpy() == pytest.approx(expected.astype(np.float32), abs=1e-3)


def test_sharpness_scales_the_margins_and_travels_with_the_weights():
    net, images = build("hog_svm", 3), torch.rand(2, 3, 32, 32)
    torch.nn.init.normal_(net.svm.weight)
    margins = net(images)
    net.sharpness.fill_(2.5)
    assert torch.allclose(net(images), 2.5 * margins)
    fresh = build("hog_svm", 3)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(images), net(images))


def test_unfitted_every_class_is_equally_likely():
    assert build("hog_svm", 5)(torch.rand(2, 3, 32, 32)).abs().max() == 0


@pytest.mark.parametrize(("image", "length"), [(16, 1764), (32, 1764), (96, 1764), (28, 8 * 8 * 36)])
def test_grid_is_8_by_8_for_multiples_of_8(image, length):
    assert build("hog_svm", image=image).features(torch.rand(1, 3, image, image)).shape == (1, length)


def test_crops_too_small_are_refused():
    with pytest.raises(Misused, match="hog_svm: image must be 16 to 256 px, got 15"):
        build("hog_svm", image=15)
