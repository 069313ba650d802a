"""Are codes what traces were made of? `python -m benchmarks.traces --workspace FOLDER --results FILE`.

Jobs, each over the seeds: `gestures` are codes of made gestures by the session `movements`, at each alpha;
`unpenalised` are those without a penalty, `baselines` codes by scikit-learn, their settings chosen on
validation files; `digits` are trajectories of 13 MFCC of spoken digits: their codes at each alpha, and digits
of unseen speakers by them. What came of a job is written at once, and not done again.
"""

import argparse
import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from benchmarks.gestures import Gestures, write_gestures
from benchmarks.jobs import Row, parsed, worked, written
from benchmarks.traces_baselines import MODELS, baselines
from benchmarks.traces_digits import digits_by, handcrafted_features, write_trajectories
from benchmarks.traces_scored import recovery
from benchmarks.traces_table import tables
from saec import evaluate, extract, train
from saec.config import ROOT, Config
from saec.devices import describe, resolve_device
from saec.features import Codes
from saec.runs import Run

N_FILES = {"train": 120, "valid": 12, "test": 12}
SECONDS = (1.0, 15.0)
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)  # on the path, at which codes are scored
OF_DIGITS = (
    {"alpha_epochs": 65, "alpha_max": 0.5},
    {"epochs": 40, "batch_size": 64},
)  # files are half a second long


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    logging.getLogger("saec").setLevel(logging.ERROR)
    for job, seed, _, seconds in worked(options, JOBS):
        print(f"{job}, seed {seed}: {seconds:.0f} s", flush=True)
    device = describe(resolve_device(options.device))
    print(f"\n{device}, {options.threads} threads", tables(written(options.results)), sep="\n\n")


def by_scikit_learn(seed: int, config: Config) -> Iterator[Row]:
    """Each kind with all its settings, on traces scaled file by file."""
    made = gestures_of(seed, config)
    traces = {part: [scaled(one.trace) for one in files] for part, files in made.items()}
    for name in MODELS:
        for settings, encode in baselines(name, traces["train"], seed):
            codes = {part: [encode(one) for one in traces[part]] for part in ("valid", "test")}
            result = recovery((codes["valid"], made["valid"]), (codes["test"], made["test"]))
            yield {"contender": name, **settings, **result, "sparsity": zeros_of(codes["test"])}


def by_session(which: str, seed: int, config: Config) -> Iterator[Row]:
    """Codes of a run at each alpha, and their errors on the test files."""
    made = gestures_of(seed, config)
    folders = {part: config.data / f"gestures_{seed}" / part for part in made}
    run = train(sessions(folders["train"], str(folders["valid"]), seed)[which], config)
    for row, weights in along_the_path(run, folders["test"], config):
        codes = {p: codes_of(run, folders[p], weights, config) for p in ("valid", "test")}
        result = recovery((codes["valid"], made["valid"]), (codes["test"], made["test"]))
        yield {"contender": which, **row, **result}


def digits(seed: int, config: Config) -> Iterator[Row]:
    """Codes of trajectories by runs on three speakers; digits of three others."""
    folder = write_trajectories(config.data / "trajectories")
    for name, raw in sessions(folder / "learnt", 0.1, seed, *OF_DIGITS).items():
        run = train(raw, config)
        for row, weights in along_the_path(run, folder / "scored", config):
            features = extraction(run, folder / "scored", weights, config)
            yield {"contender": name, **row, "macro_f1": digits_by(features)}
    yield {"contender": "136 hand-crafted", "macro_f1": digits_by(handcrafted_features(config))}


JOBS = {
    "gestures": partial(by_session, "path"),
    "unpenalised": partial(by_session, "unpenalised"),
    "baselines": by_scikit_learn,
    "digits": digits,
}


def gestures_of(seed: int, config: Config) -> dict[str, list[Gestures]]:
    return write_gestures(config.data / f"gestures_{seed}", seed, N_FILES, SECONDS)


def session_of() -> Row:
    """Returns the session that ships."""
    file = ROOT / "session_params" / "training" / "movements.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def sessions(
    folder: Path, valid: str | float, seed: int, objective: Row | None = None, training: Row | None = None
) -> dict[str, Row]:
    """Returns the session that ships, on these files and with these changes, and one without a penalty."""
    raw = session_of()
    raw |= {"name": folder.parent.name, "data": raw["data"] | {"train": str(folder), "valid": valid}}
    raw["training"] |= {"seed": seed, "precision": "fp32"} | (training or {})
    path, unpenalised = raw["objective"] | (objective or {}), {"name": raw["objective"]["name"], "alpha": 0.0}
    return {"path": raw | {"objective": path}, "unpenalised": raw | {"objective": unpenalised}}


def along_the_path(run: Run, folder: Path, config: Config) -> list[tuple[Row, str]]:
    """Returns alpha, error and share of zeros on the folder's files, at alphas to score; and the weights."""
    codes = {"run": str(run.folder), "data": {"arrays": str(folder)}, "cutoffs": 0, "shifts": 0}
    report = evaluate({"codes": codes, "explorer": None, "table": None}, config)
    file = report.folder / "codes_alpha.csv"
    if not file.exists():
        metrics = json.loads((report.folder / "metrics.json").read_text(encoding="utf-8"))["ours"]
        return [
            ({"alpha": 0.0, "mse": metrics["mse_by_frame"], "sparsity": metrics["sparsity_share"]}, "best")
        ]
    table = pd.read_csv(file)
    nearest = dict.fromkeys(int((table["alpha"] - alpha).abs().argmin()) for alpha in ALPHAS)
    rows = [table.loc[row, ["alpha", "mse", "sparsity"]].to_dict() for row in nearest]
    return [(row, f"best_alpha_{row['alpha']:.4g}") for row in rows]


def extraction(run: Run, folder: Path, weights: str, config: Config) -> Any:
    out = config.data / "codes" / run.folder.name / folder.name
    what = {"run": str(run.folder), "data": {"arrays": str(folder)}, "weights": weights, "out": str(out)}
    return extract(
        what | {"pooling": "mean_std", "reduction": None, "reconstructions": 0, "overwrite": True}, config
    )


def codes_of(run: Run, folder: Path, weights: str, config: Config) -> list[np.ndarray]:
    codes = Codes.load(extraction(run, folder, weights, config).roles["codes"])
    return [np.array(codes[row]) for row in range(len(codes))]


def scaled(trace: np.ndarray) -> np.ndarray:
    return (trace - trace.mean(axis=0)) / trace.std(axis=0)


def zeros_of(codes: list[np.ndarray]) -> float:
    return float(np.mean(np.concatenate(codes) == 0))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    return parsed(parser)


if __name__ == "__main__":
    main()
