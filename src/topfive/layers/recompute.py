"""Deep stacks of blocks that fit into memory: Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Sequential):
    """Blocks of which training keeps only the inputs; what lies within is computed again for the gradients.

    It takes about a third more time. Batch normalization would see each batch twice; its running statistics are updated
    the first time alone, so that the training is the same to the bit. A compiled network computes nothing again but
    what its compiler chooses to.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W). Returns what the blocks give one after another."""
        again = self.training and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        for block in self:
            if again:
                maps = checkpoint(block, maps, use_reentrant=False, context_fn=partial(first_and_again, block))
            else:
                maps = block(maps)
        return maps


def first_and_again(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The contexts of a block's two forward passes."""
    return nullcontext(), still(block)


@contextmanager
def still(block: nn.Module) -> Iterator[None]:
    """Within it the batch normalization of a block leaves its running statistics alone; where it is frozen it does so
    anyway."""
    norms = {part: part.momentum for part in block.modules() if isinstance(part, nn.BatchNorm2d) and part.training}
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked -= 1
