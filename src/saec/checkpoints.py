"""Checkpoints: state dicts and plain values, on the CPU, read without unpickling anything else."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch

from saec.faults import Fault
from saec.files import appearing

REMEDY = "restore it from a copy"


def write_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """All tensors become CPU tensors; the file appears whole or not at all.

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
    """Tensors on the CPU, whatever device they were saved from; `mmap` reads them when they are used.

    Raises:
        Fault: the file is damaged, or no checkpoint of a run.
    """
    if not is_zipfile(file):
        raise Fault(f"{file} is damaged (cut short, or never a checkpoint): {REMEDY}")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except (RuntimeError, OSError, UnpicklingError) as error:
        raise Fault(f"{file} is damaged ({str(error).splitlines()[0]}): {REMEDY}") from error
    if not isinstance(state, dict) or not {"model", "progress"} <= state.keys():
        raise Fault(f"{file} is no checkpoint of a run: {REMEDY}")
    return state


def _on_cpu(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.detach().cpu()
    if isinstance(state, dict):
        return {key: _on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_on_cpu(value) for value in state)
    return state
