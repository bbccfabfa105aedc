"""Where float32 is kept although the network runs under autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast is off on `device`; inputs still have to be made float32 by `.float()`.

    Where autocast is off already it is an empty context, so that exported programs carry no trace of it.
    """
    if device.type != "meta" and torch.is_autocast_enabled(device.type):  # the meta device has no autocast to ask about
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
