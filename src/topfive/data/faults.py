"""Find every broken image before training does."""

from collections.abc import Callable

from topfive.data.decode import decoding_pool
from topfive.data.imageset import Broken, Split
from topfive.errors import BadFile

AT_ONCE = 1024  # images handed to the pool together: bounds the memory of a set of millions


def find_broken(
    split: Split, workers: int | None = None, progress: Callable[[int], object] | None = None
) -> list[Broken]:
    """Every image of the split that cannot be decoded, in the split's order, with the sentence that says why.

    All images are decoded in full, in `workers` threads, one a core when left out. progress: called now and
    then with how many images have been seen. A split in memory has been decoded already and holds no broken image.
    """
    if split.pixels is not None:
        return []

    def check(index: int) -> Broken | None:
        try:
            split.image(index)
        except BadFile as error:
            return Broken(split.ids[index], str(error))
        return None

    broken: list[Broken] = []
    with decoding_pool(workers) as pool:
        for start in range(0, len(split), AT_ONCE):
            stop = min(start + AT_ONCE, len(split))
            broken += [found for found in pool.map(check, range(start, stop)) if found is not None]
            if progress is not None:
                progress(stop)
    return broken
