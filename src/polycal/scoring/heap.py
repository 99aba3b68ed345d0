"""Keep the main memory that one forward pass has used for the next one.

Every tensor of some megabytes is a piece of memory of its own, which the C library
gives back to the system when the tensor is gone. The next tensor's pages are new ones,
which the system fills with zeros first: a tenth of a CPU job's time.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_memory() -> bool:
    """Have this process keep freed memory to itself from now on.

    Returns:
        Whether the C library does so. Only glibc knows the request.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; no such call
        return False
    nothing_apart = mallopt(_MMAP_MAX, 0)
    nothing_given_back = mallopt(_TRIM_THRESHOLD, -1)
    return bool(nothing_apart and nothing_given_back)
