"""`topfive show` of hand-made entries: the stages with their sizes, and the arguments that one can set."""

import json

import pytest

from topfive.cli.show import show


def test_stages_have_dimensions_and_bytes() -> None:
    text = show(["sift_bow_2009"], None, as_json=False)
    assert "sift.describe  DenseSift(patch=16, step=8, root=False)    961 x 128  123,008  492,032" in text
    rows = json.loads(show(["sift_bow_2009"], None, as_json=True))["stages"]
    assert [row["name"] for row in rows] == ["sift.describe", "sift.code", "svm"]
    assert rows[1]["output"] == [21, 1000]
    assert (rows[1]["bytes"], rows[1]["learned"], rows[1]["learned_bytes"]) == (84_000, 128_000, 512_000)


@pytest.mark.parametrize(
    ("name", "said", "argument"),
    [
        ("kmeans_2011", "image=32, words=1600, patch=6, step=1", ("words", 1600)),
        ("sift_bow_2009", "kernel=hellinger (linear, hellinger, chi2, intersection)", ("kernel", "hellinger")),
        ("sparse_coding_2010", "encoder=threshold (lasso, omp, threshold), penalty=0.15, atoms=10", ("penalty", 0.15)),
        ("xrce_2011", "components=256, step=8, colour=True", ("components", 256)),
        ("nec_2010", "vector_words=64, sets=all (all, llc, super_vector)", ("sets", "all")),
    ],
)
def test_arguments_have_defaults_and_choices(name: str, said: str, argument: tuple[str, object]) -> None:
    [line] = [line for line in show([name], None, as_json=False).splitlines() if "--set model.KEY=VALUE" in line]
    assert line.endswith(said)
    key, default = argument
    assert json.loads(show([name], None, as_json=True))["arguments"][key] == default


def test_networks_have_arguments_and_no_stages() -> None:
    shown = json.loads(show(["alexnet"], None, as_json=True))
    assert shown["stages"] == []
    assert shown["choices"] == {"init": ["paper", "he"]}
