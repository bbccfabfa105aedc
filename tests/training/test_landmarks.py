"""The Gaussian kernel machine against scikit-learn's, and as an entry that learns, is stored and answers."""

import numpy as np
import torch
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import LinearSVC
from torch import Tensor

from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, Split
from topfive.features import Landmarks
from topfive.models import build
from topfive.models.coded import CodedSvm
from topfive.models.hog_svm import KernelHog
from topfive.recipes.stages import Fit, Svm
from topfive.training.codebook import fit_channels
from topfive.training.codes import extract_codes
from topfive.training.svm import fit_svm

SIDE = Geometry(16, 16)


def fitted(split: Split, landmarks: int) -> CodedSvm:
    net = build("hog_rbf", 10, image=16, landmarks=landmarks).eval()
    assert isinstance(net, CodedSvm)
    assert fit_channels(net, Fit(kind="landmarks"), split, SIDE, 0, 1) == []
    return net


def described(net: CodedSvm, split: Split) -> tuple[Tensor, Tensor]:
    """HOG of the images, and what the kernel makes of it."""
    describe = net.channels["hog"].describe
    assert isinstance(describe, torch.nn.Module)
    return extract_codes(net, split, SIDE, 1, part=describe).codes, extract_codes(net, split, SIDE, 1).codes


def compared(net: CodedSvm) -> Landmarks:
    channel = net.channels["hog"]
    assert isinstance(channel, KernelHog)
    return channel.compare


def test_products_of_codes_are_the_kernel_and_elsewhere_nystroems(few_digits: ImageSet) -> None:
    train, test = few_digits.split("train"), few_digits.split("test")
    net = fitted(train, 200)  # more landmarks than images: all of these, and zeros
    hog, codes = described(net, train)
    gamma = 1 / (hog.shape[1] * float(hog.double().var()))
    kernel = torch.from_numpy(rbf_kernel(hog.double().numpy(), gamma=gamma)).float()
    torch.testing.assert_close(codes @ codes.T, kernel, rtol=1e-3, atol=2e-3)
    assert codes.shape == (120, 200)
    assert float(codes[:, 120:].abs().max()) == 0
    few = fitted(train, 40)
    theirs = Nystroem(gamma=float(compared(few).sharpness), n_components=40)
    landmarks = compared(few).landmarks.double().numpy()
    theirs.fit(landmarks)
    seen, ours = described(few, test)
    expected = theirs.transform(seen.double().numpy())
    assert np.allclose(ours @ ours.T, expected @ expected.T, atol=2e-3)


def test_the_machine_tells_digits_apart_and_travels(few_digits: ImageSet) -> None:
    net = fitted(few_digits.split("train"), 120)
    assert fit_svm(net, Svm(c=10.0), few_digits.split("train"), SIDE, 0, 1) == []
    test = few_digits.split("test")
    margins = net.svm(extract_codes(net, test, SIDE, 1).codes)
    assert (margins.argmax(1) == test.labels).float().mean() > 0.8
    hog, seen = (described(net, split)[0].double().numpy() for split in (few_digits.split("train"), test))
    gamma = float(compared(net).sharpness)
    every = Nystroem(gamma=gamma, n_components=120, random_state=0).fit(hog)
    theirs = LinearSVC(C=10.0, dual=True, tol=1e-6, max_iter=100_000)
    theirs.fit(every.transform(hog), few_digits.split("train").labels.numpy())
    answers = torch.from_numpy(theirs.predict(every.transform(seen)))
    assert (answers == margins.argmax(1)).float().mean() > 0.95
    fresh = build("hog_rbf", 10, image=16, landmarks=120).eval()
    fresh.load_state_dict(net.state_dict())
    some = torch.rand(3, 3, 16, 16)
    assert torch.equal(fresh(some), net(some))
