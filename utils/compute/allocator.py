"""Configure the C library's allocator to keep large blocks. Imports no torch.

glibc returns every block above a threshold to the system as soon as it is freed. A network on a CPU frees and allocates
hundreds of megabytes per pass, so the system maps and clears the same pages repeatedly: up to half of the run time.
Kept blocks are reused as they are; memory use is about that of the largest pass.
"""

import os

KEEP_MEMORY = "HUMAN_POSE_KEEP_MEMORY"  # the environment variable; 0 leaves the allocator alone
# glibc's own settings; if the user has set one, nothing is changed.
OTHERS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_")

# Parameter numbers from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MMAP_THRESHOLDS = (1 << 30, 32 << 20)  # bytes; older versions of glibc take at most 32 MiB
TRIM_THRESHOLD = (1 << 31) - 1  # bytes, the largest int
TOP_PAD = 64 << 20  # bytes


def keep_large_blocks() -> bool:
    """Let glibc keep freed blocks of up to 1 GiB for reuse. Returns whether it does.

    Command lines call this at startup. In Python, call it before building the first network; it affects the whole
    process. Returns False, with no change, without glibc (macOS, Windows, musl), with `HUMAN_POSE_KEEP_MEMORY=0` in the
    environment, or if the environment sets glibc's thresholds (`MALLOC_..._`, `GLIBC_TUNABLES`).
    """
    if os.environ.get(KEEP_MEMORY) == "0" or _set_by_user() or not _is_glibc():
        return False
    import ctypes  # noqa: PLC0415 - slow, and --help imports this module

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
