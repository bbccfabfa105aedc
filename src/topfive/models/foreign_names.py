"""What other libraries call the tensors of our networks: rules from our names to theirs."""

import re
from collections.abc import Callable

LETTERS = "abcdefg"


def same_name(key: str) -> str:
    """Ours."""
    return key


RESNET_RULES = [
    (r"conv(\d)_x\.(\d+)\.shortcut\.", lambda found: f"layer{int(found[1]) - 1}.{found[2]}.downsample."),
    (r"conv(\d)_x\.(\d+)\.", lambda found: f"layer{int(found[1]) - 1}.{found[2]}."),
]


def resnet_name(key: str) -> str:
    """Ours -> torchvision's and timm's, of residual nets."""
    for pattern, replacement in RESNET_RULES:
        key, done = re.subn(f"^{pattern}", replacement, key)
        if done:
            break
    return key


GOOGLENET_BRANCHES = {"one": "branch1", "three": "branch2", "five": "branch3", "pool": "branch4"}


def googlenet_name(key: str) -> str:
    """Ours -> torchvision's, of GoogLeNet."""
    key = key.replace("auxiliary", "aux")
    key = re.sub(r"^conv2\.(\d)", lambda found: f"conv{int(found[1]) + 2}", key)
    key = re.sub(r"^inception([35])\.(\d)", lambda found: f"inception{found[1]}{LETTERS[int(found[2])]}", key)
    key = re.sub(r"^inception4bcd\.(\d)", lambda found: f"inception4{LETTERS[int(found[1]) + 1]}", key)
    return re.sub(r"\.(one|three|five|pool)\.", lambda found: f".{GOOGLENET_BRANCHES[found[1]]}.", key)


INCEPTION_STEM = {"0": "Conv2d_1a_3x3", "1": "Conv2d_2a_3x3", "2": "Conv2d_2b_3x3", "4": "Conv2d_3b_1x1",
                  "5": "Conv2d_4a_3x3"}  # fmt: skip


def inception_v3_name(key: str) -> str:
    """Ours -> torchvision's and timm's, of Inception-v3."""
    key = re.sub(r"^stem\.(\d)", lambda found: INCEPTION_STEM.get(found[1], found[0]), key)
    key = re.sub(r"^mixed([67])a", r"Mixed_\1a", key)
    key = re.sub(r"^mixed([567])\.([0-3])", lambda found: f"Mixed_{found[1]}{LETTERS[int(found[2]) + 1]}", key)
    key = key.replace("auxiliary.", "AuxLogits.")
    branches = {
        "three": "3x3", "five": "5x5", "seven": "7x7x3" if key.startswith("Mixed_7a") else "7x7",
        "twice": "7x7dbl" if re.match("Mixed_6[b-e]", key) else "3x3dbl",
    }  # fmt: skip
    key = re.sub(
        r"\.(three|five|seven|twice)\.(\d)(?:\.(wide|high))?",
        lambda found: f".branch{branches[found[1]]}_{int(found[2]) + 1}" + {"wide": "a", "high": "b"}.get(found[3], ""),
        key,
    )
    key = key.replace("Mixed_6a.branch3x3_1.", "Mixed_6a.branch3x3.")
    return key.replace(".one.", ".branch1x1.").replace(".pool.1.", ".branch_pool.")


# timm's branches are numbered as they stand.
RESIDUAL_INCEPTION = {
    "mixed5b": ("mixed_5b", ["one", "five", "twice", "pool"]), "blocks35": ("repeat", ["one", "three", "twice"]),
    "mixed6a": ("mixed_6a", ["three", "twice"]), "blocks17": ("repeat_1", ["one", "seven"]),
    "mixed7a": ("mixed_7a", ["three", "three_b", "twice"]), "blocks8": ("repeat_2", ["one", "three"]),
    "conv7b": ("conv2d_7b", []), "fc": ("classif", []),
}  # fmt: skip


def inception_resnet_v2_name(key: str) -> str:
    """Ours -> timm's, of Inception-ResNet-v2."""
    key = re.sub(r"^stem\.(\d)", lambda found: INCEPTION_STEM.get(found[1], found[0]).lower()[:9], key)
    module, _, rest = key.partition(".")
    if module in RESIDUAL_INCEPTION:
        module, branches = RESIDUAL_INCEPTION[module]
        rest = rest.replace("branches.", "")
        for place, branch in enumerate(branches):
            rest = re.sub(rf"(^|\.){branch}\.", rf"\g<1>branch{place}.", rest)
    key = f"{module}.{rest}".replace("mixed_6a.branch0.0.", "mixed_6a.branch0.")
    return key.replace("repeat_2.9.", "block8.").replace(".up.", ".conv2d.")


SENET_RULES = [(r"^fc\.", "last_linear."), (r"\.gate\.", ".se_module."), (r"^bn1\.", "layer0.bn1."),
               (r"^conv1\.weight", "layer0.conv1.weight")]  # fmt: skip
# The stem of SENet-154 is three convolutions and normalizations; ours holds all but the last of these as one chain.
SENET154_STEM = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3"}


def senet_name(key: str) -> str:
    """Ours -> timm's, of SENets as their authors released them."""
    for pattern, replacement in SENET_RULES:
        key = re.sub(pattern, replacement, key)
    return resnet_name(key)


def senet154_name(key: str) -> str:
    """Ours -> timm's, of SENet-154."""
    key = re.sub(r"^conv1\.(\d)", lambda found: f"layer0.{SENET154_STEM.get(found[1], found[1])}", key)
    return senet_name(re.sub(r"^bn1\.", "layer0.bn3.", key))


# timm's stages of MobileNet, stage and place, in the order of our blocks.
MOBILENET_STAGES = [(stage, place) for stage, count in enumerate((1, 2, 2, 6, 2)) for place in range(count)]
MOBILENET_RULES = [(r"^conv1\.", "conv_stem."), (r"^fc\.", "classifier."), (r"\.depthwise\.", ".conv_dw."),
                   (r"\.pointwise\.", ".conv_pw.")]  # fmt: skip


def mobilenet_name(key: str) -> str:
    """Ours -> timm's, of MobileNet."""
    for pattern, replacement in MOBILENET_RULES:
        key = re.sub(pattern, replacement, key)
    found = re.match(r"blocks\.(\d+)\.(.*)", key)
    if not found or int(found[1]) >= len(MOBILENET_STAGES):
        return key
    stage, place = MOBILENET_STAGES[int(found[1])]
    return f"blocks.{stage}.{place}.{found[2]}"


TABLES: dict[str, Callable[[str], str]] = {
    "topfive": same_name, "torchvision or timm": resnet_name, "torchvision": googlenet_name,
    "torchvision or timm (Inception-v3)": inception_v3_name, "timm (Inception-ResNet-v2)": inception_resnet_v2_name,
    "timm (MobileNet)": mobilenet_name, "timm": senet_name, "timm's SENet-154": senet154_name,
}  # fmt: skip
