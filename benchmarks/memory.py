"""Memory and time by the number of pictures, few and many: `python -m benchmarks.memory`, some minutes.

A few made pictures lie in a folder under many names, as hard links. Each step is a process of its own: it is
timed once all is imported, and its anonymous memory is looked at again and again (on Linux; pages of mapped
files do not count). The model has never been trained, which changes neither.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.pictures import write_pictures
from benchmarks.workers import Watch
from saec.config import Config
from saec.extraction import ExtractionSession, extract, plan_extraction
from saec.runs import Progress, Run
from saec.session import TrainingSession, load_session
from saec.training import plan_training

N_MADE, HEIGHT, WIDTH = 50, 128, 32
PER_RECORDING = 50
MODEL = {"name": "compact", "widths": [4, 4, 4], "latent": 32, "time_halvings": 2}
REDUCTION = {"dims": [2]}
COLUMNS = "{:>9} {:<28} {:>9} {:>14}"


def main() -> None:
    options = _options()
    rows: list[dict[str, Any]] = []
    print(COLUMNS.format("pictures", "step", "seconds", "anonymous MB"), flush=True)
    with tempfile.TemporaryDirectory(prefix="saec_memory_", dir=options.folder) as folder:
        made = write_pictures(Path(folder) / "made", N_MADE, WIDTH)
        for n in options.numbers:
            workspace = Path(folder) / str(n)
            link(made, workspace / "images", n)
            rows += measured(n, workspace, options)
    few, many = (
        max(row["anonymous_mb"] for row in rows if row["pictures"] == n and row["step"] != "with reduction")
        for n in (min(options.numbers), max(options.numbers))
    )
    print(f"{many - few:.0f} MB more for {max(options.numbers):,} pictures than for {min(options.numbers):,}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def link(made: Path, folder: Path, n: int) -> None:
    """n names `rec<i>_segm_<SSSS.mmm>.png` for the pictures that are made."""
    folder.mkdir(parents=True)
    files = sorted(made.iterdir())
    for number in range(n):
        name = f"rec{number // PER_RECORDING:05d}_segm_{number % PER_RECORDING:04d}.000.png"
        try:
            os.link(files[number % N_MADE], folder / name)
        except OSError:
            shutil.copy2(files[number % N_MADE], folder / name)


def measured(n: int, workspace: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a step, printed as soon as it is there."""
    config = Config(
        data=workspace, models=workspace / "models", cache=workspace / "cache", device=options.device
    )
    run = untrained(config)
    steps: list[tuple[str, Callable, dict]] = [
        ("check, first", check_extraction, {}),
        ("extraction, first", extraction, {}),
        ("check, second", check_extraction, {}),
        ("extraction, second", extraction, {}),
        ("check of a training", check_training, {}),
        ("extraction from the store", extraction, {"variant": "store"}),
        ("extraction, streamed", extraction, {"variant": "streamed"}),
    ]
    if options.reduction:
        steps.append(("with reduction", extraction, {"variant": "reduced", "reduction": REDUCTION}))
    rows = []
    for what, step, changes in steps:
        changes = {"run": run.timestamp} | changes
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            seconds, peak = process.submit(watched, step, config, changes).result()
        rows.append({"pictures": n, "step": what, "seconds": seconds, "anonymous_mb": peak})
        print(COLUMNS.format(f"{n:,}", what, f"{seconds:.1f}", f"{peak:.0f}"), flush=True)
    return rows


def untrained(
    config: Config, shape: tuple[int, int, int] = (1, HEIGHT, WIDTH), model: dict | str | None = None
) -> Run:
    """A run whose weights are as they were drawn."""
    session = training_session() | ({"model": model} if model else {})
    session = load_session(session, TrainingSession).named("memory")
    run = Run.create(config.models, session, {"input_shape": list(shape)})
    for name in ("best", "last"):
        progress = Progress(epoch=1, best=0.1, best_epoch=1, finished=True)
        run.save(name, {"model": session.model(shape)}, progress, [])
    return run


def training_session() -> dict[str, Any]:
    return {"data": {"kind": "images", "train": "images", "valid": 0.1}, "model": MODEL}


def watched(step: Callable, config: Config, changes: dict[str, Any]) -> tuple[float, float]:
    """Seconds and MB of a step, in this process."""
    torch.set_num_threads(1)
    with Watch() as watch:
        started = time.perf_counter()
        step(config, changes)
        seconds = time.perf_counter() - started
    return seconds, watch.peak_mb


def check_extraction(config: Config, changes: dict[str, Any]) -> None:
    plan_extraction(_extraction_session(changes), config).estimate()


def check_training(config: Config, changes: dict[str, Any]) -> None:
    plan_training(load_session(training_session(), TrainingSession), config).estimate()


def extraction(config: Config, changes: dict[str, Any]) -> None:
    if changes.get("variant") == "streamed":
        config = config.model_copy(update={"cache": config.data / "no_cache", "cache_gb": 1e-6})
    extract(_extraction_session(changes), config)


def _extraction_session(changes: dict[str, Any]) -> ExtractionSession:
    plain = {"data": {"images": "images"}, "reduction": None, "reconstructions": 4}
    plain["out"] = changes.get("variant")  # variants in one folder would share what they have in common
    return load_session(plain | changes, ExtractionSession)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, nargs="+", default=[1_000, 100_000], help="of pictures")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, help="where the pictures are put for the time being")
    parser.add_argument("--reduction", action="store_true", help="measure one more step, with a reduction")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
