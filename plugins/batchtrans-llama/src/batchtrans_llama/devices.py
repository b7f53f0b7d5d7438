"""Whether there is a GPU that torch could use, told without importing torch, which takes seconds."""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, version


def cuda_is_likely() -> bool:
    """Whether torch would find a CUDA device: false if there is surely none, since torch is missing, is a build for
    processors, or the driver sees no device. A build for another kind of GPU (ROCm) has to be asked itself."""
    try:
        build = version("torch").partition("+")[2]
    except PackageNotFoundError:
        return False
    if build.startswith("cpu"):
        return False
    return build.startswith("rocm") or _driver_devices() > 0


def _driver_devices() -> int:
    """The number of devices that the CUDA driver shows to this process, CUDA_VISIBLE_DEVICES considered."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
