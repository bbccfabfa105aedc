"""A folder of photos with every awkwardness."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from slow_judge import BROKEN, IMAGES, KEYS

from topfive.data import ImageSet, open_data


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., ImageSet]:
    """open_data on `keys` with IMAGES photos of many shapes in val/, some of them broken."""

    def make(keys: tuple[str, ...] = KEYS, broken: tuple[str, ...] = BROKEN) -> ImageSet:
        rng = np.random.default_rng(7)
        for split, count in (("train", 1), ("val", IMAGES)):
            for key in keys:
                folder = tmp_path / "photos" / split / key
                folder.mkdir(parents=True)
                for index in range(count):
                    shape = (*rng.integers(10, 40, 2), 3) if index != 3 else tuple(rng.integers(10, 40, 2))
                    image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
                    image.save(folder / f"{index}.jpg", quality=95)
        for number, id_ in enumerate(broken):
            path = tmp_path / "photos" / id_
            path.write_bytes(path.read_bytes()[:-60] if number % 2 else b"not an image")
        return open_data(tmp_path / "photos")

    return make
