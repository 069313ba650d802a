"""The sections beside those on features: nearest pictures, runs, reconstructions, folders of pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from saec import figures
from saec.config import Config
from saec.data import Cache, Dataset, chunks
from saec.data.decoding import evenly
from saec.devices import computing, resolve_device, resolve_precision, to_device
from saec.evaluation.reconstruction import rebuilt_scores, sparsity
from saec.files import as_file_name
from saec.inspection import Inspection, inspect
from saec.progress import progress
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.report.similar import find_similar
from saec.runs import Run
from saec.runs.find import find_trained
from saec.session import Rebuilding, Search
from saec.tables import write_table

MOST_ROWS = 20  # of a table on the page; files have all of them


def similar_section(judged: JudgedSet, asked: Search, config: Config, folder: Path) -> Section:
    section = Section(f"Nearest to {asked.to}, set {judged.name}")
    name = f"similar_{as_file_name(judged.name)}"
    table = find_similar(judged, asked, config, folder / f"{name}.png")
    write_table(folder / f"{name}.csv", table)
    section.files[f"{name}.csv"] = "nearest pictures: method, query, rank, file, label, distance"
    section.tables[f"Nearest pictures: the first {MOST_ROWS} of {len(table):,} rows"] = table.head(MOST_ROWS)
    section.drawn(folder, f"{name}.png", "What was asked for, and what is nearest to it, from left to right")
    return section


def runs_section(runs: list[Run], folder: Path) -> Section:
    section = Section("Runs")
    table = compare_runs(runs, folder)
    write_table(folder / "runs.csv", table)
    section.files["runs.csv"] = "one row a run"
    section.tables["Runs; losses compare within one objective and one validation set"] = table
    section.drawn(folder, "runs.png", "Validation loss by epoch")
    return section


def rebuilt_section(asked: Rebuilding, config: Config, folder: Path) -> Section:
    section = Section(f"Reconstructions by {asked.run}")
    table, means = judge_rebuilt(asked, config, folder)
    write_table(folder / "rebuilt.csv", table)
    section.files["rebuilt.csv"] = "errors and sparsity, one row a picture"
    section.tables[f"Means of {len(table):,} pictures"] = pd.DataFrame([means])
    section.drawn(folder, "rebuilt_errors.png", "Squared errors, sorted")
    for what in ("best", "worst"):
        section.drawn(folder, f"rebuilt_{what}.png", f"The {what} of them")
    return section


def folder_section(images: Path, number: int, config: Config, folder: Path) -> Section:
    """What is in a folder of pictures, and what to look at before training."""
    found = inspect(images, config.n_workers)
    section = Section(f"Pictures of {images}", found.remarks())
    stem = f"pictures_{number + 1}" if number else "pictures"
    section.tables["Pictures"] = _summary(found)
    recordings = pd.DataFrame(found.recordings.most_common(), columns=["recording", "pictures"])
    write_table(folder / f"{stem}_recordings.csv", recordings)
    section.files[f"{stem}_recordings.csv"] = "pictures by recording"
    section.tables["Recordings with the most pictures"] = recordings.head(MOST_ROWS)
    if found.alike:
        alike = pd.DataFrame(found.alike, columns=["file", "like", "correlation"])
        write_table(folder / f"{stem}_alike.csv", alike)
        section.files[f"{stem}_alike.csv"] = "pictures that are all but the same"
    figures.histogram(
        folder / f"{stem}_grey_values.png", found.levels, "Grey values", "grey value (0 to 255)", "pixels"
    )
    section.drawn(folder, f"{stem}_grey_values.png", "Grey values of all pixels of all pictures")
    return section


def _summary(found: Inspection) -> pd.DataFrame:
    sizes = ", ".join(f"{size} ({n:,})" for size, n in found.sizes.most_common(5))
    modes = ", ".join(f"{mode} ({n:,})" for mode, n in found.modes.most_common(5))
    rows = {
        "pictures": f"{len(found.names):,}",
        "cannot be read": f"{len(found.unreadable):,}",
        "size on disk": f"{found.n_bytes / 1e6:,.1f} MB",
        "width x height (pixels)": sizes,
        "modes": modes,
        "recordings": f"{len(found.recordings):,}",
        "blank": f"{len(found.blank):,}",
        "all but the same as another": f"{len(found.alike):,}",
    }
    return pd.DataFrame({"what": rows.keys(), "found": rows.values()})


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
    figures.lines(
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


AT_ONCE = 16
N_SHOWN = 8


@torch.no_grad()
def judge_rebuilt(asked: Rebuilding, config: Config, folder: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """One row a picture (file, mse, mae, cosine, ssim, sparsity), and means; figures go into the folder."""
    source = find_trained(asked.run, config)
    device = resolve_device(config.device)
    precision = resolve_precision("auto", device)
    model = to_device(source.model(asked.weights), device, precision).eval()
    kind = source.data.model_copy(update={"limit": None})(config.data_path(asked.images), Cache.of(config))
    data = kind.open().fitted(*model.takes)
    chosen = np.array(evenly(range(len(data)), asked.limit))

    def through(pictures: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Latents, and what comes back."""
        with computing(device, precision):
            latents = model.encoder(pictures)
            back = model.decoder(latents).float().clamp(0, 1)
        return latents.float().cpu().numpy(), back.cpu().numpy()

    pieces, scores = list(chunks(chosen, AT_ONCE)), []
    for rows in progress(pieces, "rebuilding", len(pieces), " batches"):
        original = data.prepare(data.gather(rows, device))
        latents, back = through(original)
        found = rebuilt_scores(original.cpu().numpy(), back)
        scores.append(pd.DataFrame(found | {"sparsity": sparsity(latents)}))
    table = pd.concat(scores, ignore_index=True)
    table.insert(0, "file", data.names[chosen])
    _show(table, data, chosen, through, device, folder)
    means = {name: float(table[name].mean()) for name in table.columns[1:]}
    return table, means


def _show(
    table: pd.DataFrame,
    data: Dataset,
    chosen: np.ndarray,
    through: Callable[[torch.Tensor], tuple[np.ndarray, np.ndarray]],
    device: torch.device,
    folder: Path,
) -> None:
    """Pictures with the least and with the largest error, and how errors are spread."""
    order = np.argsort(table["mse"].to_numpy(), kind="stable")
    for what, places in (("best", order[:N_SHOWN]), ("worst", order[::-1][:N_SHOWN])):
        original = data.prepare(data.gather(chosen[places], device))
        before, (_, after) = original.cpu().numpy(), through(original)
        columns = {"original": before, "reconstruction": after, "error": np.abs(after - before)}
        names = [
            f"{data.names[row]}  mse {table['mse'][at]:.4f}"
            for row, at in zip(chosen[places], places, strict=True)
        ]
        title = f"rebuilt {what}, by squared error"
        figures.panels(folder / f"rebuilt_{what}.png", columns, names, title)
    curves = {"pictures": (np.linspace(0, 100, len(order)), np.sort(table["mse"].to_numpy()))}
    figures.lines(
        folder / "rebuilt_errors.png", curves, "Squared error by picture", "share of pictures (%)", "mse"
    )
