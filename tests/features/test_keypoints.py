"""SIFT at key-points is OpenCV's; its channel codes each image in regions of its own."""

import sys

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from topfive.errors import MissingExtra
from topfive.features import KeypointSift, regions_of
from topfive.features.pyramid import PYRAMID
from topfive.models import build
from topfive.models.sift_bow_2009 import KeypointChannel


def pixels(side=128):
    return cv2.cvtColor(load_sample_image("china.jpg")[100 : 100 + side, 200 : 200 + side], cv2.COLOR_RGB2GRAY)


def photo(side=128):
    return torch.from_numpy(pixels(side)).float()[None] / 255


def test_the_strongest_key_points_are_opencvs():
    points, described = cv2.SIFT_create().detectAndCompute(pixels(), None)
    assert len(points) > 60
    ranks = np.argsort([-point.response for point in points], kind="stable")
    places, descriptors = KeypointSift(50).found(photo())
    assert places.shape == (50, 2)
    for row, rank in enumerate(ranks[:50]):
        assert places[row].tolist() == pytest.approx([points[rank].pt[1] / 128, points[rank].pt[0] / 128])
        theirs = described[rank] / np.linalg.norm(described[rank])
        assert np.allclose(descriptors[row].numpy(), theirs, atol=1e-6)


def test_images_with_few_and_no_key_points_are_filled_with_zeros():
    few = KeypointSift(2000)
    number = len(few.found(photo())[0])
    assert 60 < number < 2000
    found = few(torch.stack([photo(), torch.full((1, 128, 128), 0.3)]))
    assert found.shape == (2, 2000, 128)
    assert found[0, :number].norm(dim=1).sub(1).abs().max() < 1e-5
    assert float(found[0, number:].abs().max()) == 0
    assert float(found[1].abs().max()) == 0
    assert few.found(torch.zeros(1, 1, 1))[0].shape == (0, 2)


def test_fainter_points_are_found_where_the_threshold_is_lower():
    assert len(KeypointSift(10**6, 0.0).found(photo())[0]) > len(KeypointSift(10**6, 0.1).found(photo())[0]) > 0


def test_a_channel_codes_each_image_by_its_own_places():
    net = build("sift_keypoints_2009_small", 10, image=96).eval()
    channel = net.channels["sift"]
    assert isinstance(channel, KeypointChannel)
    torch.manual_seed(0)
    channel.code.words.copy_(torch.nn.functional.normalize(torch.rand(300, 128), dim=1))
    images = torch.stack([photo(96).expand(3, 96, 96), photo(96).flip(2).expand(3, 96, 96), torch.zeros(3, 96, 96)])
    codes = channel(images)
    assert codes.shape == (3, 21 * 300)
    places, descriptors = channel.describe.found(channel.grey(images)[0])
    torch.testing.assert_close(codes[0], channel.code(descriptors[None], regions_of(places, PYRAMID))[0])
    assert not torch.equal(codes[0], codes[1])
    assert float(codes[2].abs().max()) == 0
    torch.testing.assert_close(channel(images[1:2])[0], codes[1])


def test_without_opencv_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"key-points: needs OpenCV; pip install 'topfive\[keypoints\]'"):
        KeypointSift(10).found(photo())
