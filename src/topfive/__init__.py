"""topfive: the whole ImageNet Challenge on your own images. Names are imported where they are first used."""

import importlib
from typing import Any

__version__ = "0.1.0"

HOMES = {
    "open_data": "topfive.data",
    "build": "topfive.models",
    "load": "topfive.models",
    "train": "topfive.training",
    "evaluate": "topfive.evaluation",
    "contest": "topfive.leaderboard.contest",
}
__all__ = ["__version__", *HOMES]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'topfive' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
