"""Leaderboards as a contest writes them, from made-up answers: every figure in them follows from the same answers."""

import base64
import io
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
from PIL import Image

COLUMNS = ("entry", "year", "depth", "params", "macs", "ms_per_image", "train_minutes")
LINEAGE = [
    ("hog_svm", 2005, None, 3_250, None, 0.9, 0.05),
    ("lenet5", 1998, 5, 60_000, 325_680, 0.4, 0.3),
    ("alexnet_small", 2012, 8, 2_470_000, 42_000_000, 1.7, 0.8),
    ("vgg11_small", 2014, 11, 9_230_000, 153_000_000, 5.6, 1.4),
    ("resnet20_small", 2015, 20, 272_000, 41_000_000, 3.1, 1.1),
    ("photo_net", 2017, 50, 28_100_000, 4_100_000_000, 41.0, None),
    ("xrce_2011", 2011, None, 1_050_000, None, 22.0, 0.9),
    ("nin_small", 2013, 9, 967_000, 222_000_000, 6.2, 1.2),
    ("googlenet_small", 2014, 22, 6_100_000, 390_000_000, 14.0, 2.2),
    ("squeezenet_small", 2016, 18, 730_000, 56_000_000, 4.0, 0.9),
    ("densenet40_small", 2016, 40, 1_020_000, 282_000_000, 19.0, 3.1),
    ("mobilenet_small", 2017, 28, 3_200_000, 46_000_000, 4.4, 1.3),
]
SENTENCE = "its loss was not a finite number in epoch 3; try --set stage.0.optimizer.lr=0.005"


def picture(rng: np.random.Generator) -> str:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def p_value(a: int, b: int) -> float:
    return min(1.0, float(Fraction(2 * sum(comb(a + b, k) for k in range(min(a, b) + 1)), 2 ** (a + b))))


def mistakes(
    keys: list[str], truth: np.ndarray, answers: dict[str, np.ndarray], best: dict[str, Any], image: str
) -> dict[str, Any]:
    """What the best entry gets wrong, and what lenet5, it and all entries miss; none of the classes lies in a tree."""

    def kind(misses: np.ndarray, given: np.ndarray, **weight: float) -> dict[str, Any]:
        shown = [
            {"id": f"i{i}", "label": keys[truth[i]], "answer": keys[given[i]], "image": image} | weight
            for i in misses.nonzero()[0][:12]
        ]
        return {"count": int(misses.sum()), "interval": [0.011, 0.222], "images": shown}

    old, new = answers["lenet5"], answers[best["entry"]]
    confusion = np.array(best["confusion"])
    np.fill_diagonal(confusion, 0)
    pairs = sorted(
        zip(*confusion.nonzero(), strict=True), key=lambda p: (-confusion[p], -confusion[p] / (truth == p[0]).sum())
    )[:20]
    return {
        "entry": best["entry"],
        "confused": [
            {"truth": keys[t], "answer": keys[a], "count": int(confusion[t, a]), "of": int((truth == t).sum()),
             "ancestor": None, "height": None} for t, a in pairs
        ],
        "by_height": None,
        "surest": kind(new != truth, new, probability=0.9996)["images"],
        "eras": {
            "old": {"era": "before 2012", "entry": "lenet5", "year": 1998},
            "new": {"era": "2012 and later", "entry": best["entry"], "year": best["year"]},
            "entries": len(answers), "of": len(truth),
            "only_old_misses": kind((old != truth) & (new == truth), old, probability=0.734),
            "only_new_misses": kind((new != truth) & (old == truth), new, probability=0.512),
            "all_miss": kind(np.all([one != truth for one in answers.values()], axis=0), new, votes=2),
        },
    }  # fmt: skip


def worth(right: np.ndarray, seed: int) -> dict[str, Any]:
    """What made-up confidences are worth: lower on wrong answers, on the whole."""
    of, rng = len(right), np.random.default_rng(seed)
    sure = np.where(right, rng.beta(9, 1.5, of), rng.beta(5, 3, of))
    homes = np.ceil(15 * sure).astype(int)
    bins = [
        {"images": int(own.sum()), "confidence": float(sure[own].mean()), "accuracy": float(right[own].mean())}
        for own in (homes == home for home in range(1, 16)) if own.any()
    ]  # fmt: skip
    ece = sum(one["images"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / of
    likely = np.where(right, sure, (1 - sure) / 2)
    answered = sorted({-(-of * step // 100) for step in range(1, 101)})
    wrong = np.cumsum(~right[np.argsort(-sure)])
    return {
        "calibration": {
            "ece": ece, "ece_mass": ece, "brier": float(np.mean((1 - likely) ** 2)),
            "nll": float(-np.log(likely).mean()), "bins": bins, "images": of, "temperature": 1.0,
        },
        "risk_coverage": {"images": of, "answered": answered, "wrong": [int(wrong[n - 1]) for n in answered]},
    }  # fmt: skip


def make(names: list[str], error: list[float], of: int, fail: bool = True, judged: bool = True) -> dict[str, Any]:
    """A board of len(error) judged entries on classes `names`; error: the chance of a wrong answer, by entry."""
    rng = np.random.default_rng(5)
    classes = len(names)
    keys = [f"c{i:03d}" for i in range(classes)]
    truth = np.arange(of) % classes
    hard = rng.beta(0.35, 2.5, of)
    entries: list[dict[str, Any]] = []
    answers: dict[str, np.ndarray] = {}
    for row, rate in zip(LINEAGE, error, strict=False):
        card: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
        name, card["image"] = card["entry"], 32
        wrong = rng.random(of) < np.clip(hard * rate / hard.mean(), 0, 1)
        near = (truth + rng.choice([1, 1, 1, 2, 5 % classes or 1], of)) % classes
        given = np.where(wrong & (near != truth), near, truth)
        answers[name] = given
        missed, external = float((given != truth).mean()), judged and name == "photo_net"
        half = 1.96 * float(np.sqrt(max(missed, 1 / of) * (1 - missed) / of))
        confusion = np.zeros((classes, classes), int)
        np.add.at(confusion, (truth, given), 1)
        epochs = 0 if external or card["depth"] is None else 8 + card["depth"]
        decay = 0.72 + 0.0133 * len(entries)
        shorter = f"epochs 30 -> {epochs}: 4 minutes were shared by {len(error)} entries"
        entries.append({
            **card,
            "family": name.split("_")[0],
            "status": "judged" if external else "done",
            "reason": "",
            "top1_error": missed,
            "top1_interval": [max(0.0, missed - half), min(1.0, missed + 1.2 * half)],
            "top5_error": missed / 7 if classes > 5 else None,
            "top5_interval": [missed / 12, missed / 4] if classes > 5 else None,
            "smaller_k": None,
            "evaluated": of,
            "of": of,
            "broken": 0,
            "external_data": external,
            "file_mb": card["params"] * 4 / 1e6,
            "epochs": epochs or None,
            "recipe_epochs": 30 if epochs else None,
            "recipe": "" if external else f"{name}.small",
            "changes": [shorter, "lr drops at 40% and 80%"] if epochs else [],
            "departs": ["30 epochs in place of 164"] if epochs else [],
            "choice": "channels_last, bfloat16, eager" if epochs else "",
            "source": f"A. Uthor et al. {card['year']}",
            "curve": [
                {"epoch": e + 1, "loss": 2.3 * decay**e, "top1_error": 0.6 * missed + 0.5 * decay**e, "lr": 0.05}
                for e in range(epochs)
            ],
            "per_class_error": [1 - confusion[i, i] / max(confusion[i].sum(), 1) for i in range(classes)],
            "per_class_top5_error": [0.0] * (classes - 1) + [1.0] if classes > 5 else None,
            "confusion": confusion.tolist(),
            **worth(given == truth, len(entries)),
            "model_file": f"entries/{name}/model.safetensors",
        })  # fmt: skip
    comparisons: list[dict[str, Any]] = []
    for a, b in combinations(answers, 2):
        right_a, right_b = answers[a] == truth, answers[b] == truth
        only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        pair: dict[str, Any] = {
            "a": a,
            "b": b,
            "only_a_right": only_a,
            "only_b_right": only_b,
            "p": p_value(only_a, only_b),
        }
        comparisons.append(pair)
    floor = 0.0
    for i, pair in enumerate(sorted(comparisons, key=lambda pair: pair["p"])):
        floor = max(floor, min(1.0, pair["p"] * (len(comparisons) - i)))
        pair |= {"p_holm": floor, "significant": floor < 0.05}
    for entry in entries:
        entry["rank"] = 1 + sum(
            pair["significant"] and (pair["only_b_right"] > pair["only_a_right"]) == (pair["a"] == entry["entry"])
            for pair in comparisons
            if entry["entry"] in (pair["a"], pair["b"])
        )
    best = min(entries, key=lambda entry: entry["top1_error"])
    misses = sum((given != truth).astype(int) for given in answers.values())
    hardest = [
        {
            "id": f"{names[truth[i]]}/{i:05d}.png",
            "label": keys[truth[i]],
            "missed_by": int(misses[i]),
            "of": len(answers),
            "answers": {name: keys[given[i]] for name, given in answers.items()},
            "image": picture(rng),
        }
        for i in np.argsort(-misses, kind="stable")[:12]
    ]
    if fail:
        known = {"entry": "zf_small", "year": 2013, "family": "zf", "depth": 8, "recipe": "zf_small.small"}
        state = {"status": "failed", "reason": SENTENCE, "external_data": False}
        entries.append(
            dict.fromkeys(entries[0]) | known | state | {"changes": [], "curve": [], "choice": "", "source": ""}
        )
    return {
        "format": 1,
        "name": "digits",
        "data": {
            "name": "digits",
            "layout": "built in",
            "classes": [{"key": key, "name": name} for key, name in zip(keys, names, strict=True)],
            "counts": {"train": 1000, "test": of},
            "per_class_images": np.bincount(truth, minlength=classes).tolist(),
            "judged": "test",
            "notes": ["8 x 8 grey images, enlarged to 32 x 32"],
            "broken": [{"split": "train", "id": "7/broken.png", "reason": "cannot be decoded: the file ends early"}],
            "manifest": "sha256:" + "9f86d081884c7d65" * 4,
        },
        "budget": {"minutes": 4.0, "spent_minutes": 3.6},
        "machine": {
            "processor": "AMD EPYC 7763",
            "cores": 2,
            "memory_gib": 7.8,
            "python": "3.11.7",
            "torch": "2.13.0",
            "topfive": "0.1.0",
        },
        "started_at": "2026-11-21T10:00:00Z",
        "seed": 0,
        "entries": entries,
        "comparisons": comparisons,
        "pick": {
            "entry": best["entry"],
            "why": "It has the least error of the entries that fit the limits.",
            "command": f"topfive predict runs/digits/entries/{best['entry']} photo.jpg",
            "limits": {"max_mb": 50.0, "max_ms": None},
        },
        "hardest": hardest,
        "mistakes": mistakes(keys, truth, answers, best, picture(rng)),
    }


def ten_classes() -> dict[str, Any]:
    """Five trained entries, one judged with external data, one failed."""
    return make([str(i) for i in range(10)], [0.075, 0.031, 0.024, 0.02, 0.013, 0.011], of=797)


def three_classes() -> dict[str, Any]:
    """Two entries, and no top-5 error."""
    return make(["cat", "dog", "garden spider, Aranea diademata"], [0.22, 0.15], of=90, fail=False)


def hundred_classes() -> dict[str, Any]:
    """Long names, twelve entries, one failed."""
    kinds = ["common", "greater", "lesser", "spotted", "northern", "red-backed", "mountain", "water", "giant", "dwarf"]
    animals = ["sandpiper", "salamander", "hartebeest", "ptarmigan", "rock python", "guenon monkey", "terrier"]
    animals += ["mongoose", "lacewing", "axolotl"]
    error = [0.71, 0.66, 0.52, 0.44, 0.31, 0.12, 0.58, 0.47, 0.37, 0.42, 0.29, 0.36]
    return make([f"{kind} {animal}" for kind in kinds for animal in animals], error, of=5000)


BOARDS = {"ten": ten_classes, "three": three_classes, "hundred": hundred_classes}


@pytest.fixture(scope="session")
def make_board() -> Callable[..., dict[str, Any]]:
    return make


@pytest.fixture(scope="session")
def named_board() -> Callable[[str], dict[str, Any]]:
    """A fresh board by its name, to read: "ten", "three" or "hundred" (classes)."""
    return lambda name: BOARDS[name]()


@pytest.fixture
def board() -> dict[str, Any]:
    return ten_classes()


@pytest.fixture
def small_board() -> dict[str, Any]:
    return three_classes()
