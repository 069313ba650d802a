"""Is `auto` the right precision here? bf16 beside fp32: `python -m benchmarks.precision`, two minutes."""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch

from benchmarks import ours
from benchmarks.contenders import Setting
from benchmarks.contest import Entry, Row, contest, table
from benchmarks.pictures import write_images
from benchmarks.speed import facts
from saec.devices import resolve_device, resolve_precision

PRECISIONS = ("fp32", "bf16")
WORKS = {"training": ours.training, "encoding": ours.encoding}


def main() -> None:
    options = _options()
    print(", ".join(f"{key} {value}" for key, value in facts(options).items()), flush=True)
    auto = resolve_precision("auto", torch.device(options.device))
    with tempfile.TemporaryDirectory(prefix="saec_precision_", ignore_cleanup_errors=True) as folder:
        on = Setting(write_images(Path(folder), options.pictures, options.width), Path(folder), options)
        for model in ("same", "default"):
            for work in WORKS:
                rows = contest(
                    f"{work} {options.width}", entries(on, model, work), options.pairs, options.seconds
                )
                print(table(rows), verdict(rows, auto), "", sep="\n", flush=True)


def entries(on: Setting, model: str, work: str) -> list[Entry]:
    """The same work in either precision."""
    return [
        on.entry(
            f"{model}, {precision}", WORKS[work], getattr(on, model)(precision=precision), precision=precision
        )
        for precision in PRECISIONS
    ]


def verdict(rows: list[Row], auto: str) -> str:
    """Whether the precision that `auto` takes was the faster one."""
    faster = PRECISIONS[int(median(rows[1].ratios) > 1)]
    return (
        f"auto is {auto}, faster is {faster}: {'as it should be' if auto == faster else 'NOT the right rule'}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="GenBTP32_CH0256", help="beside the default session's")
    parser.add_argument("--pictures", type=int, default=16, help="so many 256 wide, fewer of wider ones")
    parser.add_argument("--width", type=int, default=256, help="columns")
    parser.add_argument("--pairs", type=int, default=3, help="rounds")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement, at least")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    options.device = str(resolve_device(options.device))
    return options


if __name__ == "__main__":
    main()
