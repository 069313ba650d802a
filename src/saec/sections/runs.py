"""Compares trained runs by their losses."""

import logging
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BeforeValidator

from saec import figures
from saec.config import Config
from saec.faults import Fault, MissingFault, counted
from saec.registry import as_list
from saec.runs import Run
from saec.runs.find import LATEST, Seed, all_runs, find_run, find_trained
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.labels import MAGIC

LOG = logging.getLogger(__name__)
NOT_BEGUN = "runs have not finished an epoch and are left out"


@SECTIONS.register("runs")
class ComparedRuns:
    """Compares runs: by timestamp, folder, `latest:<session>`, or a pattern of folders' names."""

    position = 70

    def __init__(self, inputs: Inputs, *, runs: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()):
        named, self.left_out = inputs.check("runs", find_runs, runs, inputs.config) or ([], [])
        self.runs = [run for run in named if isinstance(run, Run)]  # as all are without `seeds`

    def describe(self) -> list[str]:
        return [f"run {run.folder.name}" for run in self.runs]

    def write(self, folder: Path) -> list[Content]:
        content = Content("Runs", folder, counted(self.left_out, NOT_BEGUN))
        histories = {run: run.load("last")["history"] for run in self.runs}
        curves = {
            f"{run.timestamp} {run.name}": ([row["epoch"] for row in of], [row["valid_loss"] for row in of])
            for run, of in histories.items()
        }
        words = (title := "Validation loss by epoch", "epoch", "validation loss")
        content.draw("runs.png", title, figures.lines, curves, *words, log_y=True)
        table = pd.DataFrame([_row(run, history) for run, history in histories.items()])
        table = table.sort_values(["objective", "best_valid_loss"], kind="stable", ignore_index=True)
        caption = "Runs; losses compare within one objective and one validation set"
        content.write("runs.csv", table, "one row a run", caption)
        return [content]


def find_runs(
    names: tuple[str, ...], config: Config, seeds: bool = False
) -> tuple[list[Run | Seed], list[str]]:
    """Returns the runs, and the names of those that have not finished an epoch and are left out; one must
    have. `seeds`: models of the reference may be named, too.
    """
    runs: dict[Run | Seed, None] = {}
    for name in names:
        if name.startswith(LATEST) or not set(MAGIC) & set(name):
            matching = [find_trained(name, config) if seeds else find_run(name, config.models)]
        else:
            matching = [run for run in all_runs(config.models) if Path(run.folder.name).match(name)]
        if not matching:
            raise MissingFault(f"no run in {config.models} is called {name}")
        runs |= dict.fromkeys(matching)
    begun = [run for run in runs if isinstance(run, Seed) or run.progress.epoch]
    left_out = sorted(run.folder.name for run in runs.keys() - set(begun))
    for remark in counted(left_out, NOT_BEGUN):
        LOG.warning("%s", remark)
    if names and not begun:
        raise Fault("none of these runs has finished an epoch")
    return begun, left_out


def _row(run: Run, history: list[dict[str, float]]) -> dict[str, Any]:
    session, progress = run.session, run.progress
    best = history[progress.best_epoch - 1]
    return {
        "run": run.folder.name,
        "session": run.name,
        "model": run.architecture.name,
        "objective": session.objective.name,
        "view": session.views.name,
        "optimizer": session.optimizer.name,
        "batch_size": session.training.batch_size,
        "seed": session.training.seed,
        "epochs": progress.epoch,
        "finished": progress.finished,
        "best_epoch": progress.best_epoch,
        "best_valid_loss": best["valid_loss"],
        "train_loss_there": best["train_loss"],
        "last_valid_loss": history[-1]["valid_loss"],
    }
