"""Writes and reads checkpoints: state dicts and plain values, as CPU tensors, without any code."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from saec.faults import Fault
from saec.files import DAMAGE, appearing, require_whole


def write_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Writes all tensors as CPU tensors; the file appears whole or not at all.

    Raises:
        Fault: it cannot be written, because the disk is full for example.
    """
    try:
        with appearing(file) as temporary:
            torch.save(_on_cpu(state), temporary)
    except RuntimeError as error:  # what torch makes of a full disk
        reason = str(error).splitlines()[0]
        raise Fault(f"{file} cannot be written ({reason}): is the disk full? The old one stays") from error


def read_checkpoint(file: Path, mmap: bool = False) -> dict[str, Any]:
    """Reads tensors to the CPU, from whatever device they were saved; `mmap` reads them when they are used.

    Raises:
        Fault: the file is damaged, or no checkpoint of a run.
    """
    try:
        require_whole(file, "data.pkl" if mmap else "", stored=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a damaged file holds
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Fault(f"{file} is damaged, or no checkpoint ({reason}): restore it from a copy") from error
    parts = ("model", "progress")
    if not isinstance(state, dict) or not all(isinstance(state.get(part), dict) for part in parts):
        raise Fault(f"{file} is no checkpoint of a run: restore it from a copy")
    return state


@contextmanager
def suitable(file: Path) -> Iterator[None]:
    """Makes a `Fault` of what a module raises that does not take the state of a checkpoint."""
    try:
        yield
    except Fault:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        words = "does not fit the session.yaml beside it, or is of another version"
        raise Fault(f"{file} {words} ({reason}): restore both from a copy") from error


def _on_cpu(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.detach().cpu()
    if isinstance(state, dict):
        return {key: _on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_on_cpu(value) for value in state)
    return state
