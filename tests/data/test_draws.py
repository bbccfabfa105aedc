"""Keyed draws: a function of (seed, epoch, id, column) and of nothing else, and good random numbers at that."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from topfive.data.draws import GOLDEN, id_keys, mix, step_seed, uniform

MANY = id_keys([f"train/n{i % 100:08d}/{i}.JPEG" for i in range(20_000)])
WORD = (1 << 64) - 1
seeds = st.integers(-(2**63), 2**64 - 1)
epochs = st.integers(0, 2**31)
names = st.lists(st.text(max_size=12), min_size=1, max_size=8)


def splitmix64(state: int) -> int:
    """`next` of the reference C program (Vigna, splitmix64.c, public domain), in Python's unbounded integers."""
    z = (state + 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def test_mix_gives_the_published_sequence_of_splitmix64() -> None:
    states = np.array([1234567], np.uint64) + np.arange(5, dtype=np.uint64) * np.uint64(GOLDEN)
    assert mix(states).tolist() == [  # rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64, seed 1234567
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(seed=seeds, epoch=epochs, ids=names, n=st.integers(0, 4))
@settings(deadline=None, max_examples=50)
def test_a_draw_is_the_hash_that_the_module_describes(seed: int, epoch: int, ids: list[str], n: int) -> None:
    run = splitmix64(splitmix64(splitmix64(seed & WORD) ^ epoch))
    for id_, row in zip(ids, uniform(seed, epoch, id_keys(ids), n).tolist(), strict=True):
        own = splitmix64(run ^ int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest(), "little"))
        assert row == [(splitmix64((own + (column + 1) * GOLDEN) & WORD) >> 11) / 2**53 for column in range(n)]


def test_keys_are_those_of_b2sum() -> None:
    """printf %s NAME | b2sum -l 64, read as little-endian. These keys must never change: runs resume by them."""
    named = {
        "a.jpg": "fe47f0026e12a789",
        "train/n01440764/n01440764_10026.JPEG": "630095175699276e",
        "фото 1.png": "5870e2018bce8627",
        "": "e4a6a0577479b2b4",
    }
    assert [int(key).to_bytes(8, "little").hex() for key in id_keys(list(named))] == list(named.values())
    assert id_keys([]).shape == (0,)


@given(seed=seeds, epoch=epochs, ids=names, n=st.integers(0, 9), more=st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_a_column_does_not_depend_on_how_many_are_drawn(
    seed: int, epoch: int, ids: list[str], n: int, more: int
) -> None:
    keys = id_keys(ids)
    assert uniform(seed, epoch, keys, n + more)[:, :n].tolist() == uniform(seed, epoch, keys, n).tolist()


@given(seed=seeds, epoch=epochs, ids=names, data=st.data())
@settings(deadline=None, max_examples=50)
def test_a_row_does_not_depend_on_its_neighbours_or_their_order(
    seed: int, epoch: int, ids: list[str], data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(ids) - 1), max_size=8))
    all_, some = uniform(seed, epoch, id_keys(ids), 3), uniform(seed, epoch, id_keys([ids[i] for i in chosen]), 3)
    assert some.tolist() == [all_[i].tolist() for i in chosen]


def test_draws_lie_in_the_half_open_unit_interval() -> None:
    draws = uniform(0, 0, MANY, 9)
    assert (draws.shape, draws.dtype) == ((20_000, 9), np.float64)
    assert 0 <= draws.min() < 1e-4
    assert 1 - 1e-4 < draws.max() < 1


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (0, 1), (1, 0), (12345, 89), (-1, 3)])
def test_each_column_is_uniform(seed: int, epoch: int) -> None:
    for column in uniform(seed, epoch, MANY, 9).T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
        low_bits = (column * 2**53).astype(np.int64) % 256
        assert stats.chisquare(np.bincount(low_bits, minlength=256)).pvalue > 1e-4


def independent(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """No linear relation, no shift that both share, and every cell of a 16 x 16 grid equally likely."""
    assert abs(stats.pearsonr(a, b).statistic) < 4 / np.sqrt(len(a))
    assert stats.kstest((a - b) % 1, "uniform").pvalue > 1e-4
    cells = (a * 16).astype(int) * 16 + (b * 16).astype(int)
    assert stats.chisquare(np.bincount(cells, minlength=256)).pvalue > 1e-4


def test_columns_epochs_seeds_and_ids_that_lie_side_by_side_are_independent() -> None:
    draws = uniform(0, 0, MANY, 9)
    for column in range(8):
        independent(draws[:, column], draws[:, column + 1])
    for epoch in (1, 2, 256):
        independent(draws[:, 0], uniform(0, epoch, MANY, 1)[:, 0])
    for seed in (1, 2, -1, 2**32):
        independent(draws[:, 0], uniform(seed, 0, MANY, 1)[:, 0])
    independent(draws[:-1, 0], draws[1:, 0])


def test_seed_and_epoch_are_not_interchangeable() -> None:
    independent(uniform(1, 2, MANY, 1)[:, 0], uniform(2, 1, MANY, 1)[:, 0])
    independent(uniform(3, 3, MANY, 1)[:, 0], uniform(4, 4, MANY, 1)[:, 0])


def test_ids_that_differ_in_one_bit_draw_apart() -> None:
    keys = np.arange(20_000, dtype=np.uint64)  # far more regular than any hash of a name
    draws = uniform(0, 0, keys, 2)
    assert stats.kstest(draws[:, 0], "uniform").pvalue > 1e-4
    independent(draws[::2, 0], draws[1::2, 0])
    independent(draws[:, 0], draws[:, 1])


def test_step_seeds_are_distinct_and_fit_a_generator() -> None:
    found = [step_seed(s, step, rank) for s in range(3) for step in range(1000) for rank in range(3)]
    assert len(set(found)) == len(found)
    assert min(found) >= 0 and max(found) < 2**63
    assert stats.kstest(np.array(found) / 2**63, "uniform").pvalue > 1e-4
    torch.Generator().manual_seed(max(found))
    assert step_seed(7, 100) == step_seed(7, 100, rank=0) == splitmix64(splitmix64(splitmix64(7) ^ 100)) >> 1
