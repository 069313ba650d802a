"""Each contender works in a process of its own, which is kept alive and called in turn to measure."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
from typing import Any

import torch

SAMPLED_EVERY_S = 0.02
MB = 1e6


@dataclass(frozen=True)
class Task:
    """What a contender works on; the session is a training's, in the spelling that the contender reads."""

    session: dict[str, Any]
    images: Path
    workspace: Path  # where it may write
    device: str
    n_threads: int
    precision: str = "auto"
    run: Path | None = None  # whose weights encode


Measure = Callable[[float], dict[str, Any]]  # for so many seconds at least, to `pictures_per_s` and more
Setup = Callable[[Task], Measure]


class Worker:
    """A process with one contender in it."""

    def __init__(self, setup: Setup, task: Task):
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # whoever waits leaves the cores to others
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, setup, task))
        self.process.start()
        theirs.close()

    def measure(self, seconds: float) -> dict[str, Any]:
        """Raises EOFError where the contender has failed; its own message stands above."""
        self.pipe.send(seconds)
        return self.pipe.recv()

    def peaks(self) -> dict[str, float]:
        """The most memory that was taken, in MB; the process ends."""
        self.pipe.send(None)
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.close()
        self.process.join()


def _serve(pipe: Connection, setup: Setup, task: Task) -> None:
    """Nothing is set up before the first call, so that nobody works while another one is measured."""
    logging.basicConfig(level=logging.ERROR)
    torch.set_num_threads(task.n_threads)
    with Watch() as watch:
        try:
            seconds = pipe.recv()
            measure = setup(task)
            while seconds is not None:
                pipe.send(measure(seconds))
                seconds = pipe.recv()
        except EOFError:
            return
    on_gpu = torch.cuda.max_memory_allocated() if task.device.startswith("cuda") else 0
    pipe.send({"anonymous_mb": watch.peak_mb, "gpu_mb": on_gpu / MB})


class Watch(Thread):
    """Looks at this process's anonymous memory again and again; files that are mapped do not count."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0.0
        self.over = Event()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.wait(SAMPLED_EVERY_S):
            self.peak_mb = max(self.peak_mb, anonymous_mb())


def anonymous_mb() -> float:
    """0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 / MB for line in lines if line.startswith("RssAnon:"))


def stretched(work: Callable[[], int], seconds: float) -> float:
    """Repeats the work, which says how many pictures it did, for so long; pictures a second."""
    started, n = time.perf_counter(), 0
    while True:
        n += work()
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return n / elapsed
