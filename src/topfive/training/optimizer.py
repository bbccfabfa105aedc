"""The optimizer of a recipe, and its state as named tensors."""

import torch
from torch import Tensor, nn

from topfive.recipes.stages import Optimizer


def build_optimizer(classifier: nn.Module, settings: Optimizer) -> torch.optim.SGD:
    """SGD with momentum over all parameters; with `decay_norm_and_bias = false` vectors are not pulled towards 0.

    The slopes of PReLU never are: 0 would make them ReLUs (He et al. 2015, arXiv:1502.01852, sec. 2.1).
    """
    slopes = {id(part.weight) for part in classifier.modules() if isinstance(part, nn.PReLU)}
    decayed, free = list[nn.Parameter](), list[nn.Parameter]()
    for parameter in (p for p in classifier.parameters() if p.requires_grad):
        pulled = id(parameter) not in slopes and (parameter.ndim > 1 or settings.decay_norm_and_bias)
        (decayed if pulled else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
    )


def momenta(classifier: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """The momentum of each parameter that has one, by the parameter's name."""
    return {
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in classifier.named_parameters()
        if optimizer.state[parameter].get("momentum_buffer") is not None
    }


def set_momenta(classifier: nn.Module, optimizer: torch.optim.SGD, stored: dict[str, Tensor]) -> None:
    """Put momenta back, each in the memory layout of its parameter."""
    for name, parameter in classifier.named_parameters():
        if name in stored:
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(stored[name])
