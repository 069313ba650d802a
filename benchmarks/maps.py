"""Rows placed on a kept map beside a map fitted on all, and indexes of neighbours beside looking at all rows.

Rows are spoken digits (`SAEC_REAL_DATA`): log-mel pictures of 32 x 16 pixels, each cut, stretched, moved and
covered with noise by chance, as often as it takes. `python -m benchmarks.maps place --rows 20000 --fit 10000`
holds out rows, or with `--new recordings` all rows of some recordings; `python -m benchmarks.maps search`.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import librosa
import numpy as np
import soundfile
from scipy.ndimage import map_coordinates
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from saec.files import map_npz, write_npz
from saec.reduction import index, search
from saec.reduction.kept import Map

BANDS, FRAMES = 32, 16
N_NEIGHBORS, N_SCORED = 10, 2_000
AT_ONCE = 200  # rows whose distances to all others are compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["place", "search"])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--fit", type=int, default=10_000, help="rows that the kept map is fitted on")
    parser.add_argument("--new", choices=["rows", "recordings"], default="rows")
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 4])
    parser.add_argument(
        "--others", action="store_true", help="also a network that learns the map; other indexes"
    )
    parser.add_argument("--umap", action="store_true", help="also umap-learn, which takes long")
    options = parser.parse_args()
    rows, labels, recordings = digits(options.rows)
    if options.what == "place":
        place(rows, labels, recordings, options)
    else:
        find(rows)
        if options.others:
            contend(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"most memory: {peak:.1f} GB, of which {rows.nbytes / 1e9:.2f} are the rows")


def digits(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns rows (n, 512), what was spoken, and the number of the recording that each is of."""
    files = sorted(Path(os.environ["SAEC_REAL_DATA"], "fsdd").glob("*.wav"))
    pictures = [_log_mel(file) for file in files]
    rng, rows, recordings = np.random.default_rng(0), np.empty((n, BANDS * FRAMES), np.float32), np.arange(n)
    recordings %= len(files)
    for row, picture in zip(rows, (pictures[one] for one in recordings), strict=True):
        length = picture.shape[1]
        first, last = rng.uniform([-0.08, 0.92], [0.08, 1.08]) * (length - 1)
        frames = np.linspace(first, last, FRAMES) + rng.normal(scale=0.01 * length)
        bands = np.arange(BANDS) * rng.uniform(0.95, 1.05) + rng.normal(scale=0.4)
        cut = map_coordinates(picture, np.meshgrid(bands, frames, indexing="ij"), order=1, mode="nearest")
        noise = rng.uniform(-6, -3) + rng.normal(scale=0.3, size=cut.shape)
        row[:] = np.log10(10 ** (cut + rng.normal(scale=0.3)) + 10**noise).ravel()
    return rows, np.array([file.name[0] for file in files])[recordings], recordings


def _log_mel(file: Path) -> np.ndarray:
    sound, rate = soundfile.read(file, dtype="float32")
    mel = librosa.feature.melspectrogram(y=sound, sr=rate, n_fft=256, hop_length=80, n_mels=BANDS, fmin=80)
    return np.log10(np.maximum(mel, 1e-8))


def place(rows: np.ndarray, labels: np.ndarray, recordings: np.ndarray, options: argparse.Namespace) -> None:
    """Fits on all rows, then on some, and places the others on that in several ways."""
    rng, dims = np.random.default_rng(0), tuple(options.dims)
    if options.new == "rows":
        fitted = np.sort(rng.choice(len(rows), options.fit, replace=False))
    else:
        some = rng.permutation(np.unique(recordings))
        fitted = np.flatnonzero(np.isin(recordings, some[: len(some) * options.fit // len(rows)]))
    new = np.setdiff1d(np.arange(len(rows)), fitted)
    scored = np.sort(rng.choice(new, min(N_SCORED, len(new)), replace=False))
    Map.fit(rows[:200], (2,), N_NEIGHBORS, 0)  # compiles
    score = scorer(StandardScaler().fit_transform(rows), labels, recordings, scored)
    kept, seconds = timed(Map.fit, rows[fitted], dims, N_NEIGHBORS, 0)
    print(f"fitted on {len(fitted):,}: {seconds:.0f} s")

    def show(way: str, d: int, placed: np.ndarray, seconds: float) -> None:
        positions = np.empty((len(rows), d), np.float32)
        positions[fitted], positions[new] = kept.positions[d], placed
        print(f"{way}, {d} dimensions: {score(positions)}, {seconds:.1f} s", flush=True)

    placed, seconds = timed(kept.place, rows[new])
    for d in dims:
        show(f"{len(new):,} placed", d, placed[d], seconds)
    standard = ((rows[new] - kept.mean) / kept.scale).astype(np.float32)
    for d in dims if options.others else ():
        network = MLPRegressor(
            hidden_layer_sizes=(256, 256), early_stopping=True, max_iter=100, random_state=0
        )
        _, seconds = timed(network.fit, kept.rows, kept.positions[d])
        show("by a network learnt on the map", d, network.predict(standard), seconds)
    if options.umap:
        from umap import UMAP

        for d in dims:
            umap = UMAP(n_neighbors=N_NEIGHBORS, n_components=d, random_state=0, n_jobs=1).fit(kept.rows)
            placed, seconds = timed(umap.transform, standard)
            kept.positions[d] = umap.embedding_
            show("by umap-learn's transform, on its own map", d, placed, seconds)
    everything, seconds = timed(Map.fit, rows, dims, N_NEIGHBORS, 0)
    for d in dims:
        print(f"fitted on all {len(rows):,}, {d} dimensions: {score(everything.layouts[d])}, {seconds:.0f} s")


def timed(call: Callable, *given: object) -> tuple:
    started = time.perf_counter()
    result = call(*given)
    return result, time.perf_counter() - started


def scorer(
    rows: np.ndarray, labels: np.ndarray, recordings: np.ndarray, scored: np.ndarray
) -> Callable[[np.ndarray], str]:
    """Returns what scores positions: trustworthiness of the scored rows among all, and labels around them."""
    n, k = len(rows), N_NEIGHBORS

    def score(positions: np.ndarray) -> str:
        penalty, right = 0, []
        for some in np.array_split(scored, max(1, len(scored) // AT_ONCE)):
            apart, near = (_squared(of, some) for of in (rows, positions))
            nearest = np.argpartition(near, k, axis=1)[:, :k]
            theirs = np.take_along_axis(apart, nearest, axis=1)
            ranks = [1 + np.searchsorted(np.sort(one), mine) for one, mine in zip(apart, theirs, strict=True)]
            penalty += np.maximum(np.array(ranks) - k, 0).sum()
            near[recordings[some][:, None] == recordings] = np.inf
            nearest = np.argpartition(near, k, axis=1)[:, :k]
            right.append((labels[nearest] == labels[some][:, None]).mean(axis=1))
        trust = 1 - 2 * penalty / (len(scored) * k * (2 * n - 3 * k - 1))
        share = np.concatenate(right).mean()
        return f"trustworthiness {trust:.4f}, neighbours of other recordings right {share:.3f}"

    return score


def _squared(rows: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Returns squared distances (some, rows); those to themselves are infinite."""
    squares = np.square(rows).sum(axis=1)
    squared = squares[some][:, None] + squares - 2 * rows[some] @ rows.T
    squared[np.arange(len(some)), some] = np.inf
    return squared


def find(rows: np.ndarray) -> None:
    """Times searches with and without an index, and what it takes to make one and to add to it."""
    n_old = len(rows) * 9 // 10
    with tempfile.TemporaryDirectory() as folder, patch.object(index, "FROM_ROWS", 0):
        file = Path(folder) / "rows.npz"
        for what, n in (("made of", n_old), ("added to, now", len(rows))):
            write_npz(file, X=rows[:n], N=np.arange(n).astype(str))
            _, seconds = timed(index.index_of, file, map_npz(file, "X"))
            size = file.with_suffix(".index").stat().st_size / 1e6
            print(f"an index {what} {n:,} rows: {seconds:.1f} s, {size:.0f} MB", flush=True)
        mapped = map_npz(file, "X")
        for n_queries in (1, 1_000):
            own = np.linspace(0, len(rows) - 1, n_queries).astype(int)
            given = [mapped[own]], [mapped], 10, own
            (exact, _), all_s = timed(search, *given)
            (near, _), index_s = timed(search, *given, file)
            recall = recall_of(near, exact)
            print(
                f"{n_queries:,} queries: {all_s:.2f} s, with the index {index_s:.2f} s, recall {recall:.4f}"
            )


def recall_of(near: np.ndarray, exact: np.ndarray) -> float:
    return float(np.mean([len({*one} & {*other}) / len(one) for one, other in zip(exact, near, strict=True)]))


def usearch(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from usearch.index import Index

    graph = Index(ndim=rows.shape[1], **index.HNSW)
    graph.add(np.arange(len(rows), dtype=np.uint64), rows)
    return lambda queries: graph.search(queries, N_NEIGHBORS).keys.astype(int)


def faiss_hnsw(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    import faiss

    graph = faiss.IndexHNSWFlat(rows.shape[1], 16)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 100, 128
    graph.add(rows)
    return lambda queries: graph.search(queries, N_NEIGHBORS)[1]


def faiss_ivf(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    import faiss

    n_lists, half = int(4 * len(rows) ** 0.5), faiss.ScalarQuantizer.QT_fp16
    quantizer = faiss.IndexFlatL2(rows.shape[1])
    lists = faiss.IndexIVFScalarQuantizer(quantizer, rows.shape[1], n_lists, half)
    lists.train(rows[: 40 * n_lists])
    lists.add(rows)
    lists.nprobe = 16

    def search_lists(queries: np.ndarray, _: object = quantizer) -> np.ndarray:  # which must not go before
        return lists.search(queries, N_NEIGHBORS)[1]

    return search_lists


def voyager(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from voyager import Index, Space

    graph = Index(Space.Euclidean, rows.shape[1], M=16, ef_construction=100)
    graph.add_items(rows)
    return lambda queries: graph.query(queries, N_NEIGHBORS, query_ef=128)[0].astype(int)


def pynndescent(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from pynndescent import NNDescent

    graph = NNDescent(rows, n_neighbors=15, random_state=0)
    graph.prepare()
    return lambda queries: graph.query(queries, N_NEIGHBORS)[0]


def contend(rows: np.ndarray) -> None:
    """Times indexes of the packages that are installed, on standardised rows in memory."""
    rows = StandardScaler().fit_transform(rows)
    queries = rows[:: len(rows) // 1_000] + np.float32(0.05)
    exact = NearestNeighbors(n_neighbors=N_NEIGHBORS, algorithm="brute").fit(rows).kneighbors(queries)[1]
    for make in (usearch, faiss_hnsw, faiss_ivf, voyager, pynndescent):
        if find_spec(make.__name__.partition("_")[0]):
            answer, made_s = timed(make, rows)
            near, search_s = timed(answer, queries)
            words = f"{make.__name__}: made in {made_s:.1f} s, {len(queries):,} queries {search_s:.2f} s"
            print(f"{words}, recall {recall_of(near, exact):.4f}", flush=True)


if __name__ == "__main__":
    main()
