"""Linear SVMs by averaged stochastic gradient descent: Xu 2011, arXiv:1107.2490; as the winners of 2010 and 2011 did.

Its few looks at the codes pay where these are kept at one bit a number and must be unpacked for each.
"""

import torch
from torch import Tensor

from topfive.progress import Countdown
from topfive.training.codes import KeptCodes
from topfive.training.hinge import add_products, hinge, objective, picked

BATCH = 32  # codes a step; near the minimum it comes by the number of its steps
STEPS = 1000  # at least
RATES = (1.0, 4.0, 16.0, 64.0)  # first steps that are tried; 1 is safe for codes of like length
TRIED = 4096  # codes that they are tried on, twice each


def fit_by_sgd(codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, c: float, passes: int, seed: int) -> Tensor:
    """As `fit_weights`, but only near the minimum: the mean of the weights in the latter half of a few passes.

    Over so few codes that `passes` would be fewer than STEPS steps, there are as many passes as these take. The first
    step is the best of RATES after two passes over TRIED codes, or as many over fewer.
    """
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    few, truth = picked(codes, order[:TRIED]), labels[order[:TRIED]]
    safe = 0.5 / (1 + float(few.square().sum(1).mean()))
    decay = 1 / (c * len(codes))  # of the objective divided by C N, whose hinges are a mean over the codes
    met = []
    for rate in RATES:
        found = _averaged(few, truth, start, decay, 2 * TRIED // len(few), rate * safe, seed)
        value = float(objective(found, few, truth, 1 / (decay * len(few)))[0])
        met.append((value if value == value else float("inf"), rate))
    passes = max(passes, -(-STEPS * BATCH // len(codes)))
    countdown = Countdown(f"c = {c:g}, averaged SGD", passes * -(-len(codes) // BATCH), "steps")
    return _averaged(codes, labels, start, decay, passes, min(met)[1] * safe, seed, countdown)


def _averaged(
    codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, decay: float, passes: int, rate: float, seed: int,
    countdown: Countdown | None = None,
) -> Tensor:  # fmt: skip
    """Averaged SGD; its step falls as (1 + decay x rate x t)^-3/4. decay: of the weights."""
    weights, mean, averaged = start.clone(), torch.zeros_like(start), 0
    generator, step = torch.Generator().manual_seed(seed), 0
    before = passes * -(-len(codes) // BATCH) // 2  # steps that are not averaged: they begin far away
    for _ in range(passes):
        for rows in torch.split(torch.randperm(len(codes), generator=generator), BATCH):
            size = rate * (1 + decay * rate * step) ** -0.75
            batch = picked(codes, rows)
            _, pull = hinge(weights, batch, labels[rows])
            weights.mul_(1 - size * decay)
            add_products(weights, pull, batch, 2 * size / len(rows))
            step += 1
            if countdown is not None:
                countdown.at(step)
            if step > before:
                averaged += 1
                mean += (weights - mean) / averaged
    return mean
