"""The section on trained runs: one row a run, and their losses by epoch."""

import logging
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BeforeValidator

from saec import figures
from saec.config import Config
from saec.faults import Fault, MissingFault
from saec.runs import Run
from saec.runs.find import LATEST, all_runs, find_run
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.read_sets import MAGIC, as_list

LOG = logging.getLogger(__name__)


@SECTIONS.register("runs")
class ComparedRuns:
    """Compares runs: by timestamp, folder, `latest:<session>`, or a pattern of folders' names."""

    position = 70

    def __init__(self, inputs: Inputs, *, runs: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()):
        self.runs = inputs.check("runs", _find_runs, runs, inputs.config) or []

    def describe(self) -> list[str]:
        return [f"run {run.folder.name}" for run in self.runs]

    def write(self, folder: Path) -> list[Content]:
        if not self.runs:
            return []
        content = Content("Runs", folder)
        histories = {run: run.load("last")["history"] for run in self.runs}
        curves = {
            f"{run.timestamp} {run.name}": ([row["epoch"] for row in of], [row["valid_loss"] for row in of])
            for run, of in histories.items()
        }
        positive = all(min(losses) > 0 for _, losses in curves.values())
        file, title = folder / "runs.png", "Validation loss by epoch"
        figures.lines(file, curves, title, "epoch", "validation loss", log_y=positive)
        content.add_figure("runs.png", title)
        table = pd.DataFrame([_row(run, history) for run, history in histories.items()])
        table = table.sort_values(["objective", "best_valid_loss"], kind="stable", ignore_index=True)
        content.write("runs.csv", table, "one row a run")
        content.tables["Runs; losses compare within one objective and one validation set"] = table
        return [content]


def _find_runs(names: tuple[str, ...], config: Config) -> list[Run]:
    """Finds the runs; those that have not finished an epoch are left out.

    Raises:
        MissingFault: a name or a pattern matches none.
        Fault: none has finished an epoch.
    """
    runs: dict[Run, None] = {}
    for name in names:
        if name.startswith(LATEST) or not set(MAGIC) & set(name):
            runs[find_run(name, config.models)] = None
            continue
        matching = [run for run in all_runs(config.models) if Path(run.folder.name).match(name)]
        if not matching:
            raise MissingFault(f"no run in {config.models} is called {name}")
        runs |= dict.fromkeys(matching)
    begun = [run for run in runs if run.progress.epoch]
    for run in runs.keys() - set(begun):
        LOG.warning("%s has not finished an epoch and is left out", run.folder.name)
    if names and not begun:
        raise Fault("none of these runs has finished an epoch")
    return begun


def _row(run: Run, history: list[dict[str, float]]) -> dict[str, Any]:
    session, progress = run.session, run.progress
    best = history[progress.best_epoch - 1]
    return {
        "run": run.folder.name,
        "session": run.name,
        "model": session.model.name,
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
