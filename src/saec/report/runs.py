"""Runs side by side: one table, and their losses over one another."""

from pathlib import Path
from typing import Any

import pandas as pd

from saec import charts
from saec.runs import Run


def compare_runs(runs: list[Run], folder: Path) -> pd.DataFrame:
    """One row a run, the best first within its objective; `runs.png` overlays validation losses."""
    rows, curves = [], {}
    for run in runs:
        state = run.load("last")
        history = state["history"]
        rows.append(_row(run, history))
        curves[f"{run.timestamp} {run.name}"] = (
            [row["epoch"] for row in history],
            [row["valid_loss"] for row in history],
        )
    positive = all(min(losses) > 0 for _, losses in curves.values())
    charts.lines(
        folder / "runs.png", curves, "Validation loss by epoch", "epoch", "validation loss", log_y=positive
    )
    table = pd.DataFrame(rows)
    return table.sort_values(["objective", "best_valid_loss"], kind="stable", ignore_index=True)


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
