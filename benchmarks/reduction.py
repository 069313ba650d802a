"""UMAP to four dimensions, ours beside a fit of umap-learn for each and one more for X_2D.

Both ways run in fresh processes, in turn, as a user's second run finds the machine: the first pair warms what
is kept on the disk and does not count. `python -m benchmarks.reduction --pairs 3 --json reduction.json`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from saec.config import ROOT

DIMS, N_NEIGHBORS = (2, 4, 8, 16), 10
N_KINDS, N_FACTORS = 40, 24
N_SCORED = 3_000  # rows that trustworthiness is counted on: it takes (rows x rows)


def main() -> None:
    options = arguments()
    if options.way:
        return work(options.way, options.npz, options.out)
    with tempfile.TemporaryDirectory() as folder:
        npz = options.npz or made(Path(folder) / "rows.npz", options.rows, options.features)
        timed = {way: [] for way in WAYS}
        for _ in range(1 + options.pairs):
            for way, seconds in timed.items():
                seconds.append(run(way, npz, Path(folder) / f"{way}.npz"))
        trust = {way: scored(npz, Path(folder) / f"{way}.npz") for way in WAYS}
        shape = list(np.load(npz)["X"].shape)
    result = summary({way: seconds[1:] for way, seconds in timed.items()}, trust) | {"shape": shape}
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how often both ways are timed")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--npz", type=Path, help="pooled features (X) to take instead of made ones")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # what a fresh process does
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def made(file: Path, n: int, n_features: int) -> Path:
    """Rows in heaps: few factors behind many features, and noise."""
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=2, size=(N_KINDS, N_FACTORS))
    factors = centres[np.arange(n) % N_KINDS] + rng.normal(size=(n, N_FACTORS))
    rows = factors @ rng.normal(size=(N_FACTORS, n_features)) + rng.normal(size=(n, n_features))
    np.savez(file, X=rows.astype(np.float32))
    return file


def plain(rows: np.ndarray) -> dict[str, np.ndarray]:
    """A fit for each dimension, and one more for the map: unseeded, all cores."""
    from sklearn.preprocessing import StandardScaler
    from umap import UMAP

    def fit(d: int) -> np.ndarray:
        scaled = StandardScaler().fit_transform(rows)
        umap = UMAP(n_neighbors=N_NEIGHBORS, n_components=d, metric="euclidean", n_jobs=-1)
        return StandardScaler().fit_transform(umap.fit_transform(scaled))

    return {str(d): fit(d) for d in DIMS} | {"X_2D": fit(2)}


def ours(rows: np.ndarray) -> dict[str, np.ndarray]:
    from saec.reduction import reduce_dims

    return {str(d): values for d, values in reduce_dims(rows, DIMS, N_NEIGHBORS, seed=0).items()}


WAYS: dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]] = {"plain": plain, "ours": ours}


def work(way: str, npz: Path, out: Path) -> None:
    warnings.simplefilter("ignore")
    np.savez(out, **WAYS[way](np.load(npz)["X"]))


def run(way: str, npz: Path, out: Path) -> float:
    """Seconds from the start of a process to its end."""
    started = time.perf_counter()
    words = ["-m", "benchmarks.reduction", "--way", way, "--npz", str(npz.absolute()), "--out", str(out)]
    subprocess.run([sys.executable, *words], check=True, cwd=ROOT)
    return time.perf_counter() - started


def scored(npz: Path, values: Path) -> dict[str, float]:
    """Trustworthiness of each embedding, by its name."""
    from sklearn.manifold import trustworthiness
    from sklearn.preprocessing import StandardScaler

    rows = StandardScaler().fit_transform(np.load(npz)["X"])
    chosen = np.unique(np.linspace(0, len(rows) - 1, N_SCORED, dtype=int))
    with np.load(values) as embeddings:
        return {
            name: float(trustworthiness(rows[chosen], embeddings[name][chosen], n_neighbors=N_NEIGHBORS))
            for name in embeddings
        }


def summary(timed: dict[str, list[float]], trust: dict[str, dict[str, float]]) -> dict:
    ratios = [one / other for one, other in zip(timed["ours"], timed["plain"], strict=True)]
    return {
        "seconds": timed,
        "median_s": {way: statistics.median(seconds) for way, seconds in timed.items()},
        "ratio": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
        "trustworthiness": trust,
    }


def show(result: dict) -> None:
    print(f"{'x'.join(map(str, result['shape']))}, {len(result['seconds']['ours'])} pairs")
    for way, seconds in result["seconds"].items():
        print(f"{way:6} {result['median_s'][way]:7.1f} s  ({min(seconds):.1f} to {max(seconds):.1f})")
    ratio = result["ratio"]
    print(f"ratio  {ratio['median']:7.2f}    ({ratio['lowest']:.2f} to {ratio['highest']:.2f})")
    for d in map(str, DIMS):
        one, other = (result["trustworthiness"][way][d] for way in WAYS)
        print(f"trustworthiness in {d:>2} dimensions: plain {one:.4f}, ours {other:.4f}, {other - one:+.4f}")


if __name__ == "__main__":
    main()
