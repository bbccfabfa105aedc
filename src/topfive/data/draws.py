"""Random numbers that belong to an image, not to a worker, rank or batch (law 4).

A draw is a function of (seed, epoch, image id, column) alone: a counter-based hash, SplitMix64's output function
(Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") applied once a coordinate. So any part of
any epoch can be drawn again, in any order, on any machine, without replaying what came before.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

CHOOSING = 1999  # the seed that divides judged images, apart from those of runs
GOLDEN = 0x9E3779B97F4A7C15
WRAP = (1 << 64) - 1


def id_keys(ids: Sequence[str]) -> Keys:
    """One 64-bit key an image id, (N,), stable for ever: the first eight bytes of its BLAKE2b."""
    digests = b"".join(hashlib.blake2b(id_.encode(), digest_size=8).digest() for id_ in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def mix(words: Keys) -> Keys:
    """SplitMix64's finaliser, element by element: every input bit moves every output bit."""
    words = words + np.uint64(GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def uniform(seed: int, epoch: int, ids: Keys, n: int) -> NDArray[np.float64]:
    """Draws in [0, 1), (N, n): row i depends on (seed, epoch, ids[i]) only, column j never on n.

    >>> keys = id_keys(["a.jpg", "b.jpg"])
    >>> bool((uniform(0, 3, keys, 5)[1:, :2] == uniform(0, 3, keys[1:], 2)).all())
    True
    """
    run = mix(mix(np.array([seed & WRAP], np.uint64)) ^ np.uint64(epoch & WRAP))
    rows = mix(mix(run) ^ ids)
    columns = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    return (mix(rows[:, None] + columns) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The generator seed of one optimizer step on one rank, for dropout; in [0, 2^63)."""
    word = mix(mix(mix(np.array([seed & WRAP], np.uint64)) ^ np.uint64(step)) ^ np.uint64(rank))
    return int(word[0] >> np.uint64(1))


def choosing(ids: Sequence[str]) -> NDArray[np.bool_]:
    """The half of a judged split that may choose something, (N,): a temperature, a threshold; the other half judges it.

    By the images' ids alone, so the same for every model, and an image that is added moves no other (laws 4 and 10).
    """
    return uniform(CHOOSING, 0, id_keys(ids), 1)[:, 0] < 0.5
