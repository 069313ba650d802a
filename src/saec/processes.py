"""Knows which of the processes that work together this one is, as torchrun tells it."""

import os
import time

GIVEN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # by torchrun
PATIENCE_S = 5
DONE, FAULT, INTERRUPTED = 0, 2, 130  # exit codes; 1, a bug, is what Python ends with


def _given(name: str, alone: int) -> int:
    return int(os.environ[name]) if all(map(os.environ.get, GIVEN)) else alone


def rank() -> int:
    """Returns the number of this process among those that work together; the first one alone writes."""
    return _given("RANK", 0)


def world_size() -> int:
    """Returns how many processes work together."""
    return _given("WORLD_SIZE", 1)


def local_rank() -> int:
    """Returns the number of this process among those on this machine."""
    return _given("LOCAL_RANK", 0)


def local_world_size() -> int:
    """Returns how many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if world_size() > 1 else 1


def let_first_speak() -> None:
    """Waits where another process has most likely the same to say: when it has ended, torchrun ends this."""
    if rank():
        time.sleep(PATIENCE_S)
