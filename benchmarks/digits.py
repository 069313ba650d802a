"""Scores classifiers on new speakers: `python -m benchmarks.digits --workspace FOLDER --results FILE`.

Jobs, each over the seeds: `classify` learns from three speakers and asks for three others; `combine` puts
features of that classifier, of one that learnt without labels, and hand-crafted ones together, speaker by
speaker of these three; `transfer` takes a classifier of five speakers to the sixth, with few labels, beside
learning from scratch; `tracks` follows a recording stitched from digits. What came of a job is written at
once, and not done again.
"""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from sklearn.metrics import f1_score

from benchmarks.digits_table import tables
from benchmarks.jobs import Row, parsed, worked, written
from benchmarks.labelled import DEVELOPED_ON, SCORED_ON
from benchmarks.spoken import RECIPES, SPEAKERS, WEIGHTS, few_labels, session, stitched, write_table
from saec import evaluate, extract, train
from saec.config import Config
from saec.devices import describe, resolve_device
from saec.runs import Run

N_LABELS = (5, 20, 100)
TRANSFERRED = {"epochs": 60, "batch_size": 8}
WITHOUT_LABELS = {
    "views": "pair",
    "objective": {"name": "contrastive"},
    "training": {"epochs": 60, "batch_size": 64},
}
COMBINATIONS = {
    "classifier and hand-crafted": ["classifier", "hand-crafted"],
    "all three": ["classifier", "without labels", "hand-crafted"],
}
SCORING = {
    "pixels": False,
    "evaluations": [{"name": "svm", "n_splits": 3, "n_repeats": 1, "curve": []}],
    "inspect": False,
    "explorer": None,
    "table": None,
}


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    logging.getLogger("saec").setLevel(logging.ERROR)
    for job, seed, rows, _ in worked(options, JOBS):
        print(f"{job}, seed {seed}: {rows}", flush=True)
    device = describe(resolve_device(options.device))
    print(f"\n{device}, {options.threads} threads", tables(written(options.results)), sep="\n\n")


def classify(seed: int, config: Config) -> Iterator[Row]:
    for recipe in RECIPES:
        run = classifier(recipe, seed, config)
        table = write_table(config.data / "scored.csv", dict.fromkeys(SCORED_ON, "test"))
        predicted = predictions(run, table, config, WEIGHTS[recipe])
        yield {"recipe": recipe, "macro_f1": macro_f1(predicted), "epochs": run.progress.epoch}


def combine(seed: int, config: Config) -> Iterator[Row]:
    """Each speaker is classified by what was learnt from the other two, from whom no encoder has learnt."""
    table = write_table(config.data / "scored.csv", dict.fromkeys(SCORED_ON, ""))
    learnt = write_table(config.data / "developed.csv", dict.fromkeys(DEVELOPED_ON, "train"))
    unlabelled = session("ours", learnt, seed, **WITHOUT_LABELS)
    sources = {"classifier": classifier("ours", seed, config), "without labels": train(unlabelled, config)}
    files = {}
    for method, run in sources.items():
        files[method] = _pooled(run, table, config)
    crafted = {
        "extractor": {"name": "handcrafted", "sample_rate": 8000},
        "overwrite": True,
        "reduction": None,
    }
    made = extract(crafted | {"data": {"sounds": str(table)}, "out": str(config.data / "crafted")}, config)
    files["hand-crafted"] = str(made.roles["pooled"])
    scores: dict[str, float] = {}
    for name, methods in COMBINATIONS.items():
        together = {"name": name, "use": methods, "C": [1.0, 10.0], "gamma": ["scale", "0.1*scale"]}
        scoring = SCORING | {"features": files, "sounds": [str(table)], "combine": together}
        result = evaluate(scoring, config).scores
        result = result[result["score"] == "macro_f1"]
        scores |= dict(zip(result["method"], result["value"].astype(float), strict=True))
    yield from ({"method": method, "macro_f1": value} for method, value in scores.items())


def transfer(seed: int, config: Config) -> Iterator[Row]:
    sixth = SCORED_ON[seed % len(SCORED_ON)]
    five = {speaker: "train" for speaker in SPEAKERS if speaker != sixth}
    parent = train(session("ours", write_table(config.data / f"without_{sixth}.csv", five), seed), config)
    for n in N_LABELS:
        learnt, others_chosen = few_labels(sixth, n, seed)
        few, others = (
            write_table(config.data / f"{sixth}_{n}_{part}.csv", {sixth: ""}, chosen)
            for part, chosen in (("learnt", learnt), ("scored", others_chosen))
        )
        starts = {
            "scratch": {"start": "scratch"},
            "all weights": {"start": _from(parent, 0)},
            "head alone": {"start": _from(parent, "all_but_head")},
        }
        for name, start in starts.items():
            changes = start | {"training": TRANSFERRED, "data": {"valid": str(few)}}
            run = train(session("ours", few, seed, **changes), config)
            predicted = predictions(run, others, config, WEIGHTS["ours"])
            yield {"labels": n, "start": name, "macro_f1": macro_f1(predicted)}


def tracks(seed: int, config: Config) -> Iterator[Row]:
    speaker = SCORED_ON[seed % len(SCORED_ON)]
    sound, truth = stitched(config.data / f"stitched_{seed}", speaker, seed)
    parent = classifier("ours", seed, config)
    cut = {"run": str(parent.folder), "weights": WEIGHTS["ours"]}
    cut["data"] = {"sounds": str(sound), "segment_s": 0.4, "step_s": 0.1}
    cut |= {"overwrite": True, "reduction": None}
    made = extract(cut | {"out": str(sound.parent)}, config)
    table = made.roles["predictions"]
    report = evaluate({"predictions": {"file": str(table), "truth": str(truth)}}, config)
    scores = pd.read_csv(report.folder / "predicted_scores.csv")
    yield {"scores": scores.to_dict("records"), "report": str(report.folder)}


JOBS = {"classify": classify, "combine": combine, "transfer": transfer, "tracks": tracks}


def classifier(recipe: str, seed: int, config: Config) -> Run:
    """Learnt from the three speakers, once a seed."""
    kept = config.data / f"{recipe}_{seed}.txt"
    if kept.exists():
        return Run(Path(kept.read_text(encoding="utf-8")))
    table = write_table(config.data / "developed.csv", dict.fromkeys(DEVELOPED_ON, "train"))
    run = train(session(recipe, table, seed), config)
    kept.write_text(str(run.folder), encoding="utf-8")
    return run


def predictions(run: Run, table: Path, config: Config, weights: str) -> pd.DataFrame:
    out = config.data / "predicted" / f"{run.folder.name}_{table.stem}"
    extraction = {"run": str(run.folder), "data": {"sounds": str(table)}, "weights": weights, "out": str(out)}
    made = extract(extraction | {"reduction": None, "reconstructions": 0, "overwrite": True}, config)
    return pd.read_csv(made.roles["predictions_files"], dtype=str)


def macro_f1(predicted: pd.DataFrame) -> float:
    return float(f1_score(predicted["label"], predicted["predicted"], average="macro", zero_division=0))


def _pooled(run: Run, table: Path, config: Config) -> str:
    out = config.data / "features" / run.folder.name
    extraction = {"run": str(run.folder), "weights": WEIGHTS["ours"], "pooling": "weighted_stats"}
    extraction["data"] = {"sounds": str(table)}
    made = extract(
        extraction | {"reduction": None, "reconstructions": 0, "overwrite": True, "out": str(out)}, config
    )
    return str(made.roles["pooled"])


def _from(parent: Run, freeze: int | str) -> Row:
    return {"weights_of": str(parent.folder), "freeze": freeze}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    return parsed(parser)


if __name__ == "__main__":
    main()
