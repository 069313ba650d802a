"""Chooses the device and the precision by rules, not by measurements."""

import ctypes
import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import Literal, TypeVar

import torch
from torch import nn

from saec.faults import Fault
from saec.processes import local_rank, local_world_size, world_size

M = TypeVar("M", bound=nn.Module)

Precision = Literal["auto", "fp32", "bf16"]
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from the C library's malloc.h


def resolve_device(name: str) -> torch.device:
    """Returns the device by its name; `auto` takes the first of CUDA, Apple's GPU, CPU. Of several processes
    on one machine each has a GPU of its own.

    Raises:
        Fault: there is no such device.
    """
    n_here = local_world_size()
    if name == "auto":
        by_apple = torch.backends.mps.is_available() and n_here == 1  # that GPU is one for all
        name = "cuda" if torch.cuda.is_available() else "mps" if by_apple else "cpu"
    if n_here > 1 and name not in ("cuda", "cpu"):
        raise Fault(f"device {name} is one for {n_here} processes: choose auto or cpu, or start one process")
    device = torch.device(f"cuda:{local_rank()}" if world_size() > 1 and name == "cuda" else name)
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    there = f"is not there ({counts[device.type]} of that kind found)"
    if (device.index or 0) >= counts[device.type]:
        remedy = "choose auto or cpu, or install the PyTorch build for your GPU"
        if local_rank():
            remedy = "start as many processes on a machine as it has GPUs, or choose cpu"
        raise Fault(f"device {device} {there}: {remedy}")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """Returns the precision; `auto` is bf16 on CUDA from sm_80 and on CPUs with AVX512-BF16 or AMX."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        able = _cpu()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"


def computing(device: torch.device, precision: str) -> AbstractContextManager:
    """Returns the context in which a model is run, in which fp32 means fp32, whatever was run before."""
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def to_device(module: M, device: torch.device, precision: str, learning: bool = False) -> M:
    """Moves a module to the device, in the memory layout that its convolutions are fastest in.

    On a CPU in fp32 channels last is faster, but the gradients of convolutions at full resolution take up
    to three times as long in it. fp32 means fp32: by default CUDA convolutions would round to 10 bits (TF32).
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
    if device.type == "cpu":
        _keep_freed_memory()
    if precision == "bf16" or (device.type == "cpu" and not (learning and _is_fine(module))):
        return module.to(device).to(memory_format=torch.channels_last)
    return module.to(device)


def _is_fine(module: nn.Module) -> bool:
    """Returns whether its first convolution works at full resolution."""
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)
    return first is not None and first.stride == (1, 1)


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return str(_cpu().get("cpu_name", "CPU"))
    return "Apple GPU"


def _cpu() -> dict[str, object]:
    """Returns what the processor can do; nothing where torch is too old to tell."""
    return getattr(torch.cpu, "get_capabilities", dict)()


@cache
def _keep_freed_memory() -> None:
    """Keeps the memory of freed tensors for the next ones, where glibc would return it to the system.

    Getting it again, page by page, costs a sixth of the time of a training step.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
