"""What encodes fastest on this CPU: PyTorch as it is, folded, compiled, ONNX Runtime, OpenVINO.

`python -m benchmarks.backends --threads 2 --json backends.json`. Backends work in turn (A B C A B C ...) on
the same pictures with as many threads; those whose package is missing are skipped, and bf16 where the CPU
does not compute in it. Ratios are to what extraction does by `auto`, round by round. Errors are mean absolute
differences of latents from eager fp32, over the mean absolute latent. `start` is what a backend costs once.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks.encoders import BACKENDS, CPU, Encode
from saec.devices import describe, resolve_precision
from saec.models import MODELS, Model

AUTO = {"fp32": "folded_channels_last", "bf16": "folded_bf16"}  # what extraction does, by precision


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    about = {"device": describe(CPU), "threads": options.threads, "torch": torch.__version__}
    print(about, f"batch {options.batch}, pictures 128 x {options.width}", sep="\n", flush=True)
    results = {name: measured(name, options) for name in options.models}
    if options.json:
        options.json.write_text(json.dumps(about | {"models": results}, indent=1), encoding="utf-8")


@torch.inference_mode()
def measured(name: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Rates, errors and costs by backend; the table is printed."""
    model, example = trained_like(name, options)
    expected = model.encoder(example)
    auto = resolve_precision("auto", CPU)
    able = [backend for backend in BACKENDS if auto == "bf16" or not backend.__name__.endswith("bf16")]
    started = {backend.__name__: begun(backend, model, example) for backend in able}
    there = {backend: result for backend, result in started.items() if result}
    seconds: dict[str, list[float]] = {backend: [] for backend in there}
    for _ in range(options.rounds):
        for backend, (encode, _) in there.items():
            seconds[backend].append(_seconds(encode, example))
    print(f"\n{name:22} {'pictures/s':>10} {'x auto':>7} {'(least, most)':>14} {'error':>8} {'start s':>8}")
    return {
        backend: _row(backend, encode, start, seconds[backend], seconds[AUTO[auto]], example, expected)
        for backend, (encode, start) in there.items()
    }


def trained_like(name: str, options: argparse.Namespace) -> tuple[Model, Tensor]:
    """A model whose statistics are not those of a fresh one, and a batch."""
    torch.manual_seed(0)
    example = torch.rand(options.batch, 1, 128, options.width)
    model = MODELS.parse(name)((1, 128, options.width)).train()
    model.encoder(example[:8])
    return model.eval(), example


def begun(backend: Callable, model: Model, example: Tensor) -> tuple[Encode, float] | None:
    """The backend after its first batch, and the seconds that took; None where a package is missing."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")  # of the packages' own internals
            encode = backend(model, example.clone())
    except ImportError as error:
        print(f"{backend.__name__} is skipped: {error}")
        return None
    encode(example)
    return encode, time.perf_counter() - started


def _seconds(encode: Encode, example: Tensor) -> float:
    started = time.perf_counter()
    encode(example)
    return time.perf_counter() - started


def _row(
    backend: str,
    encode: Encode,
    start: float,
    seconds: list[float],
    auto: list[float],
    example: Tensor,
    expected: Tensor,
) -> dict[str, float]:
    """Of one backend, from its seconds and those of what `auto` would take."""
    ratios = [theirs / own for own, theirs in zip(seconds, auto, strict=True)]
    error = float((encode(example).float() - expected).abs().mean() / expected.abs().mean())
    rate = len(example) / median(seconds)
    around = f"({min(ratios):.2f}, {max(ratios):.2f})"
    print(
        f"{backend:22} {rate:10.1f} {median(ratios):7.2f} {around:>14} {error:8.1e} {start:8.1f}", flush=True
    )
    return {
        "pictures_per_s": rate,
        "times_auto": median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "error": error,
        "start_s": start,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["compact", "GenBTP32_CH0256"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
