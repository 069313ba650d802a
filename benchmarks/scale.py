"""Extraction of very many pictures: what it costs beside encoding, and a plan for a billion of them.

`python -m benchmarks.scale --pictures 10000` makes that many hard links of real pictures, extracts them by
the script in a process of its own, kills it at half, goes on, calls it again, adds pictures, and removes all;
`python -m benchmarks.scale --plan scale.json` makes tables of a plan from what was measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.labelled import real_data
from benchmarks.memory import MODEL, untrained
from benchmarks.scale_plan import tables
from benchmarks.workers import Watch
from saec.config import ROOT, Config

HEIGHT, SMALL, FULL = 128, 16, 256  # pixels, the widths of pictures
N_ORIGINALS = 32
LINKS = 60_000  # of one file; ext4 allows 65,000
PER_FOLDER = 10_000
N_ADDED = 1_000
STEPS = ("listing", "decoding", "encoding", "filling", "writing files")
COLUMNS = "{:>9} {:<22} {:>8} {:>8} {:>8} " + " ".join(["{:>13}"] * len(STEPS))


def main() -> None:
    options = _options()
    if options.script:
        return work(options.script, options.words)
    if options.plan:
        return print(tables(json.loads(options.plan.read_text(encoding="utf-8"))))
    rows: list[dict[str, Any]] = []
    print(COLUMNS.format("pictures", "step", "seconds", "MB", "CPU s", *STEPS), flush=True)
    for n in options.pictures:
        with tempfile.TemporaryDirectory(prefix="saec_scale_", dir=options.folder) as folder:
            rows += measured(n, Path(folder), options)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def make_originals(folder: Path, n: int, full: bool) -> None:
    """Makes as many pictures as n links need: real ones as they are, or made small and grey."""
    folder.mkdir(parents=True)
    images = sorted((real_data() / ("xc/test" if full else "bird0") / "images").glob("*.png"))
    for number in range(max(N_ORIGINALS, -(-n // LINKS) + 1)):
        with Image.open(images[number]) as picture:
            made = picture if full else picture.convert("L").resize((SMALL, HEIGHT))
            made.save(folder / f"{number:03d}.png")


def link(folder: Path, n: int, first: int = 0) -> None:
    """Makes n names for the originals, `0003/rec00031_segm_0042.000.png`, so many in each folder."""
    files = sorted((folder.parent / "originals").iterdir())
    for number in range(first, first + n):
        below = folder / f"{number // PER_FOLDER:04d}"
        if number % PER_FOLDER == 0 or number == first:
            below.mkdir(parents=True, exist_ok=True)
        name = f"rec{number // 100:06d}_segm_{number % 100:04d}.000.png"
        os.link(files[number % len(files)], below / name)


def measured(n: int, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns one row a step, each printed as soon as it is there."""
    make_originals(folder / "originals", n, options.full)
    width, model = (FULL, "compact") if options.full else (SMALL, MODEL)
    started = time.perf_counter()
    link(folder / "pictures", n)
    print(f"{n:,} links made in {time.perf_counter() - started:.0f} s", flush=True)
    config = folder / "config.yaml"
    config.write_text(f"{{data: {folder}, models: {folder}/m, cache: {folder}/c, device: cpu, workers: 1}}")
    where = Config(data=folder, models=folder / "m", cache=folder / "c", device="cpu")
    session = {"run": untrained(where, (1, HEIGHT, width), model).timestamp, "out": str(folder / "out")}
    session |= {"data": {"images": "pictures", "recursive": True}, "reduction": None, "reconstructions": 0}
    (folder / "session.json").write_text(json.dumps(session), encoding="utf-8")
    words, rows = [folder / "session.json", "--config", config], []

    def step(what: str, *more: str, half: bool = False) -> None:
        about = {"pictures": n, "width": width, "step": what}
        rows.append(about | run(folder, [*words, *more], half))
        numbers = [rows[-1].get(key, 0) for key in ("seconds", "anonymous_mb", "cpu_s", *STEPS)]
        print(COLUMNS.format(f"{n:,}", what, *(f"{number:.1f}" for number in numbers)), flush=True)

    step("check", "--check")
    if options.kill:
        step("killed at half", half=True)
    step("goes on" if options.kill else "all")
    rows[-1] |= {where: size_of(folder / where) for where in ("out", "c")}
    print(f"out {rows[-1]['out']}, cache {rows[-1]['c']}", flush=True)
    step("nothing to do")
    link(folder / "pictures", N_ADDED, n)
    step("1,000 more")
    return rows


def size_of(folder: Path) -> dict[str, float]:
    """Returns the files in a folder and below it, and their bytes."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def run(folder: Path, words: list[Any], half: bool) -> dict[str, Any]:
    """Runs the script in a process of its own, to its end or killed when half of the batches are done."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    started = time.perf_counter()
    call = [sys.executable, "-m", "benchmarks.scale", "--script", report, *words]
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(list(map(str, call)), cwd=ROOT, stderr=log, stdout=log)
        while half and process.poll() is None and not _is_half(folder / "out"):
            time.sleep(0.02)
        if half and process.poll() is None:
            process.kill()
        code = process.wait()
    seconds = time.perf_counter() - started
    if not half and code:
        raise RuntimeError((folder / "log.txt").read_text()[-2000:])
    return {"seconds": seconds} | (json.loads(report.read_text()) if report.exists() else {})


def _is_half(out: Path) -> bool:
    done = next(out.glob(".*.part/done.npy"), None)
    try:
        return done is not None and np.load(done).mean() >= 0.5
    except (OSError, ValueError):  # it is being made
        return False


def work(report: Path, words: list[str]) -> None:
    """Is the process: the script with its functions timed."""
    import main_02_extract

    torch.set_num_threads(1)
    seconds, imported = timed(), time.process_time()
    with Watch() as watch:
        code = main_02_extract.main(words)
    cpu_s = time.process_time() - imported
    report.write_text(json.dumps(seconds | {"cpu_s": cpu_s, "anonymous_mb": watch.peak_mb}))
    sys.exit(code)


def timed() -> dict[str, float]:
    """Has functions add the seconds of CPU that they take, by the steps they belong to."""
    from saec.data import listed, store
    from saec.extraction import job
    from saec.extraction.sources import base, run

    seconds: dict[str, float] = defaultdict(float)

    def timing(step: str, function: Callable, clock: Callable[[], float] = time.process_time) -> Callable:
        @wraps(function)
        def called(*given: Any, **options: Any) -> Any:
            started = clock()
            try:
                return function(*given, **options)
            finally:
                seconds[step] += clock() - started

        return called

    listed.Listed.__init__ = timing("listing", listed.Listed.__init__)
    listed.Listed.sources.func = timing("listing", listed.Listed.sources.func)
    store.check = timing("decoding", store.check)
    run.RunSource.rows = timing("encoding", run.RunSource.rows, time.thread_time)
    base.Source.fill = timing("filling", base.Source.fill)
    job.ExtractionJob._make_files = timing("writing files", job.ExtractionJob._make_files)
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where the tree is made for the time being")
    parser.add_argument("--full", action="store_true", help="pictures 256 wide and the default model")
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="do not kill the first call")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--plan", type=Path, help="make the tables of a plan from such a file")
    parser.add_argument("--script", type=Path, help=argparse.SUPPRESS)  # what a process of its own does
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
