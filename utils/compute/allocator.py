"""The C library's allocator, set to keep large blocks. No torch import here.

glibc gives every block above a threshold back to the system as soon as it is free. A network on a CPU frees and takes
hundreds of megabytes in each pass, so the system maps and clears the same pages again and again: up to half of the
time. Blocks that are kept are used again as they are, for about as much memory as the largest pass needs.
"""

import ctypes
import os

KEEP_MEMORY = "HUMAN_POSE_KEEP_MEMORY"  # the environment variable; 0 leaves the allocator alone
# What a user may have set, by the C library's own means; it stays.
OTHERS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")

# The parameters' numbers in malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MMAP_THRESHOLDS = (1 << 30, 32 << 20)  # bytes; older versions of glibc take at most 32 MiB
TRIM_THRESHOLD = (1 << 31) - 1  # bytes, the largest int
TOP_PAD = 64 << 20  # bytes


def keep_large_blocks() -> bool:
    """Let glibc keep freed blocks of up to 1 GiB for the next use; True if it does.

    Command lines call this at their start. In Python call it before the first network is built; it acts on the whole
    process. False, and nothing changes, without glibc (macOS, Windows, musl), with `HUMAN_POSE_KEEP_MEMORY=0` in the
    environment, or where the environment sets glibc's thresholds itself (`MALLOC_..._`, `GLIBC_TUNABLES`).
    """
    if os.environ.get(KEEP_MEMORY) == "0" or _set_by_user() or not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    if not any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD) and mallopt(M_TOP_PAD, TOP_PAD))


def _set_by_user() -> bool:
    return any(name in os.environ for name in OTHERS) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False
