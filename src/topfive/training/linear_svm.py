"""One-vs-rest linear SVMs: which solver, and which c."""

import logging
from typing import NamedTuple

import torch
from torch import Tensor

from topfive.errors import Diverged
from topfive.recipes.stages import Svm
from topfive.training.averaged_sgd import fit_by_sgd
from topfive.training.codes import KeptCodes
from topfive.training.hinge import margins_of
from topfive.training.newton import fit_weights

log = logging.getLogger("topfive")

WORSE = 2  # values of c in a row that were worse than the best, after which larger ones are not tried


class Chosen(NamedTuple):
    """The best c, weights of its SVM (classes, D + 1) to start from, and its margins (held out, classes) in order."""

    c: float
    weights: Tensor
    margins: Tensor


def choose_c(codes: Tensor | KeptCodes, labels: Tensor, folds: Tensor, stage: Svm, classes: int, seed: int) -> Chosen:
    """The c whose SVMs are wrong about fewest images that they have not seen.

    folds: (N,), the fold in which each code is held out, -1 for none. The smallest of the best, since a smaller c is
    the simpler machine. They are tried from the smallest on, and those after WORSE in a row that were worse than the
    best are not: Newton's method takes longer the larger c is. Without held-out codes the smallest of all, weights of 0
    and no margins.
    """
    start = torch.zeros(classes, codes.shape[1] + 1)
    best, fewest = Chosen(stage.costs[0], start, torch.zeros(0, classes)), len(codes) + 1
    judged = [fold for fold in range(int(folds.max()) + 1) if 0 < (folds == fold).sum() < len(codes)]
    if not judged:
        return best
    held_out, starts, worse = folds >= 0, dict.fromkeys(judged, start), 0
    for c in stage.costs:
        margins = torch.zeros(int(held_out.sum()), classes)
        for fold in judged:
            known, unknown = folds != fold, folds == fold
            starts[fold] = solve(codes[known], labels[known], starts[fold], c, stage, seed)
            margins[unknown[held_out]] = margins_of(codes[unknown], starts[fold])
        wrong = int((margins.argmax(1) != labels[held_out]).sum())
        worse = worse + 1 if wrong > fewest else 0
        if wrong < fewest:
            best, fewest = Chosen(c, starts[judged[-1]], margins), wrong
        if len(stage.costs) > 1:
            by = ", held out" if len(judged) == 1 else f" in {len(judged)} folds"
            log.info("  c = %g: %d of %d codes wrong%s", c, wrong, int(held_out.sum()), by)
        if worse == WORSE:
            break
    return best


def solve(
    codes: Tensor | KeptCodes, labels: Tensor, start: Tensor, c: float, stage: Svm, seed: int
) -> Tensor:  # fmt: skip
    """The weights by the stage's solver. Raises Diverged where they are not finite."""
    if by_sgd(stage, packed=isinstance(codes, KeptCodes)):
        weights = fit_by_sgd(codes, labels, start, c, stage.passes, seed)
    else:
        weights = fit_weights(codes, labels, start, c, stage.iterations)
    if not bool(weights.isfinite().all()):
        raise Diverged(
            f"training: the SVM's weights are not finite at c = {c:g}; give a smaller c, or standardise = true"
        )
    return weights


def by_sgd(stage: Svm, packed: bool) -> bool:
    """Whether the stage is solved by averaged SGD: where it leaves that open, for codes that are kept packed."""
    return packed if stage.solver == "auto" else stage.solver == "sgd"
