"""Whether there is a GPU that torch could use, told without importing torch, which takes seconds."""

from __future__ import annotations

import ctypes
import os
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


def threads() -> int:
    """One for each processor that this process may use, or as many as OMP_NUM_THREADS allows."""
    if (limit := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(limit) > 0:
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: str) -> str:
    """What the driver calls a CUDA device (``cuda``, ``cuda:1``); its own name again where there is no driver."""
    number, name = int(device.partition(":")[2] or 0), ctypes.create_string_buffer(256)
    handle = ctypes.c_int(0)
    if _driver_devices() <= number:
        return device
    driver = ctypes.CDLL("libcuda.so.1")
    if driver.cuDeviceGet(ctypes.byref(handle), number) or driver.cuDeviceGetName(name, len(name), handle):
        return device
    return name.value.decode("utf-8", "replace")


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
