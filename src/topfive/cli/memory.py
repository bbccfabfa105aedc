"""How the process asks the system for memory."""

import ctypes

# mallopt's names for two limits, from glibc's <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
REUSED = 256 << 20  # bytes; larger blocks, as whole image sets and codes, go back to the system when they are freed
KEPT_FREE = 1 << 30


def reuse_maps() -> bool:
    """Let freed blocks of up to 256 MiB be used again, and say whether the system's C library does so.

    By itself glibc asks the system for each block above 32 MiB anew, as the maps of a photo network are, and the system
    clears its pages one by one at the first touch: docs/architecture.md, "Speed", has the figures.
    """
    try:
        library = ctypes.CDLL(None)
        # A glibc that refuses the first is left as it is: the second alone would fix the first at 128 KiB.
        return bool(library.mallopt(M_MMAP_THRESHOLD, REUSED) and library.mallopt(M_TRIM_THRESHOLD, KEPT_FREE))
    except (AttributeError, OSError, TypeError):  # not glibc; on Windows there is no library to ask
        return False
