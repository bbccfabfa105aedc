"""The stages that are shown are what an image goes through, and what they learn is what the model file holds."""

import pytest
import torch

from topfive.models import ZOO, build
from topfive.models.coded import Channel, CodedSvm
from topfive.models.hog_svm import KernelHog
from topfive.models.stages import stages_of
from topfive.models.zoo import arguments_of, choices_of

HAND_MADE = [name for name, card in ZOO.items() if card.fitted_by == "svm" and not name.startswith("pixels")]
QUICK = [name for name in HAND_MADE if ZOO[name].image == 32 and "keypoints" not in name]


@pytest.mark.parametrize("name", QUICK)
def test_dimensions_are_those_of_an_image_that_goes_through(name):
    net, image = build(name, 4).eval(), torch.rand(1, 3, 32, 32)
    assert isinstance(net, CodedSvm)
    met = {}
    for key, part in net.channels.items():
        if isinstance(part, Channel):
            found = part.descriptors(image)
            met[f"{key}.describe"] = found[0]
            if part.project is not None:
                met[f"{key}.project"] = part.projected(found)[0]
            met[f"{key}.code"] = part(image).view(len(part.regions.counts), -1)
        elif isinstance(part, KernelHog):
            met[f"{key}.describe"], met[f"{key}.compare"] = part.describe(image), part(image)
        else:
            met[f"{key}.describe"] = part(image)
    met["svm"] = net(image)
    stages = {one.name: (one.output, one.bytes) for one in stages_of(net, 32)}
    assert stages == {key: (tuple(one.shape), one.nbytes) for key, one in met.items()}


@pytest.mark.parametrize("name", HAND_MADE)
def test_what_they_learned_is_all_that_a_model_file_holds(name):
    with torch.device("meta"):
        net = build(name)
    held = {key: one for key, one in net.state_dict().items() if key.startswith(("channels.", "svm."))}
    stages = stages_of(net, ZOO[name].image)
    assert sum(one.learned_bytes for one in stages) == sum(one.nbytes for one in held.values())
    assert stages[-1].learned == ZOO[name].params
    last = [one for one in stages if one.name.endswith((".code", ".compare"))] or stages[:1]  # hog_svm: HOG itself
    assert sum(one.numbers for one in last) == net.svm.in_features


@pytest.mark.parametrize("name", [*HAND_MADE, "lenet5", "alexnet", "inception_v3", "se_resnet50", "mobilenet_conv"])
def test_an_entry_is_built_the_same_by_the_defaults_that_are_shown(name):
    card = ZOO[name]
    shown, choices = arguments_of(card), choices_of(card)
    assert all(shown[argument] in values for argument, values in choices.items())
    with torch.device("meta"):
        plain, given = build(name), build(name, **shown)
    assert str(plain) == str(given)
