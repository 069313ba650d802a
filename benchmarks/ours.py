"""saec as a contender: its own store, loader, loop and extraction, as a session sets them going."""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.workers import Measure, Task, stretched
from saec.config import Config
from saec.data import Batch, Cache, Loader
from saec.devices import computing, resolve_device, resolve_precision, to_device
from saec.extraction import extract
from saec.runs import Progress, Run
from saec.session import TrainingSession, load_session
from saec.training.build import Training, build
from saec.training.loop import one_epoch
from saec.training.plan import check_training

PROFILED_S = 1.0


def first_pass(task: Task) -> Measure:
    """Files to batches on the device, decoded into a new store."""
    bench, caches = workbench(task), fresh(task.workspace / "caches")

    def one() -> int:
        cache = replace(Cache.of(bench.plan.config), folder=next(caches))
        data = bench.session.data(task.images, cache).open().on(bench.plan.device)
        loader = replace(bench.train, data=data.sized_for(bench.model.height, bench.model.time_pool))
        n = sum(len(batch) for batch in loader.training(0))
        _wait_for(bench.plan.device)
        return n

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)}


def later_passes(task: Task) -> Measure:
    """Store to batches on the device."""
    bench, epochs = workbench(task), itertools.count()

    def one() -> int:
        n = sum(len(batch) for batch in bench.train.training(next(epochs)))
        _wait_for(bench.plan.device)
        return n

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)}


def training(task: Task) -> Measure:
    """The loop as `train` runs it, cut off when the time is over."""
    bench, epochs = workbench(task), itertools.count()

    def learn(seconds: float) -> dict[str, float]:
        return one_epoch(bench, for_a_while(bench.train, epochs, seconds), "training", bench.learner)

    def measure(seconds: float) -> dict[str, float]:
        scores = learn(seconds)
        result = {key: scores[key] for key in ("pictures_per_s", "waiting")}
        if bench.plan.device.type == "cuda":
            result["busy"] = min(1.0, _kernel_seconds(learn) * result["pictures_per_s"])
        return result

    return measure


def extraction(task: Task) -> Measure:
    """`extract` from files to NPZ, with a cold cache and without a reduction."""
    folders, result = fresh(task.workspace / "extractions"), {}

    def one() -> int:
        folder = next(folders)
        session = {
            "run": str(task.run),
            "data": {"images": str(task.images)},
            "out": str(folder / "features"),
            "reduction": None,
            "reconstructions": 0,
            "precision": task.precision,
        }
        features = extract(session, config_of(task, cache=folder / "cache"))
        result.update(latents=features.roles["X"], pooled=features.roles["pooled"])
        return len(features.X)

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)} | result


def encoding(task: Task) -> Measure:
    """Batches to latents, nothing else."""
    bench, device = workbench(task), resolve_device(task.device)
    precision = resolve_precision(task.precision, device)
    encoder = to_device(bench.model, device, precision).eval().encoder
    seen = next(bench.train.training(0)).seen

    @torch.inference_mode()
    def one() -> int:
        with computing(device, precision):
            encoder(seen)
        _wait_for(device)
        return len(seen)

    return lambda seconds: {"pictures_per_s": stretched(one, seconds)}


def make_run(task: Task, seconds: float) -> Run:
    """A run of a training cut off after so many seconds: weights to encode with."""
    bench = workbench(task)
    one_epoch(bench, for_a_while(bench.train, itertools.count(), seconds), "training", bench.learner)
    return kept(bench)


def kept(bench: Training) -> Run:
    """The weights as they are, as a finished run."""
    run = Run.create(bench.plan.config.models, bench.session, bench.record())
    for name in ("best", "last"):
        run.save(name, bench.parts, Progress(epoch=1, best=0.1, best_epoch=1, finished=True), [])
    return run


def workbench(task: Task) -> Training:
    session = load_session(task.session, TrainingSession)
    return build(check_training(session, config_of(task, cache=task.workspace / "cache")))


def config_of(task: Task, cache: Path) -> Config:
    return Config(data=task.workspace, models=task.workspace / "models", cache=cache, device=task.device)


def for_a_while(
    loader: Loader, epochs: Iterator[int], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Batch]:
    """Training batches of epoch after epoch, at least one of them, for so many seconds by the clock."""
    end = clock() + seconds
    for epoch in epochs:
        for batch in loader.training(epoch):
            yield batch
            if clock() > end:
                return


def fresh(folder: Path) -> Iterator[Path]:
    """Empty folders; each is removed when the next one is asked for."""
    for count in itertools.count():
        workspace = folder / str(count)
        workspace.mkdir(parents=True)
        yield workspace
        shutil.rmtree(workspace)


def _kernel_seconds(learn: Any) -> float:
    """The GPU's own time for one picture; a profiler slows the CPU, which this does not count."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        started = time.perf_counter()
        rate = learn(PROFILED_S)["pictures_per_s"]
        seconds = time.perf_counter() - started
    kernels = [event for event in profiler.key_averages() if event.device_type == DeviceType.CUDA]
    return sum(kernel.self_device_time_total for kernel in kernels) / 1e6 / (rate * seconds)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
