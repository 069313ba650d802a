"""Compares trained runs, and scores how near the pictures are that a run reconstructs."""

import logging
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import BeforeValidator

from saec import figures
from saec.config import Config
from saec.data import Cache, chunks
from saec.data.kind import evenly
from saec.devices import computing, resolve_device, resolve_precision, to_device
from saec.faults import Fault, MissingFault, counted
from saec.gallery import panels
from saec.progress import progress
from saec.registry import Strict, as_list
from saec.runs import Run
from saec.runs.find import LATEST, all_runs, find_run, find_trained
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.labels import MAGIC, picture_folder
from saec.session import Count, Weights
from saec.similarity import SIMILARITIES

LOG = logging.getLogger(__name__)
AT_ONCE = 16
N_SHOWN = 8
NOT_BEGUN = "runs have not finished an epoch and are left out"
LARGEST = 1e-6  # of a picture's largest latent: smaller ones count as zero


@SECTIONS.register("runs")
class ComparedRuns:
    """Compares runs: by timestamp, folder, `latest:<session>`, or a pattern of folders' names."""

    position = 70

    def __init__(self, inputs: Inputs, *, runs: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()):
        self.runs, self.left_out = inputs.check("runs", _find_runs, runs, inputs.config) or ([], [])

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


def _find_runs(names: tuple[str, ...], config: Config) -> tuple[list[Run], list[str]]:
    """Finds the runs, and names those that have not finished an epoch and are left out; one must have."""
    runs: dict[Run, None] = {}
    for name in names:
        if name.startswith(LATEST) or not set(MAGIC) & set(name):
            matching = [find_run(name, config.models)]
        else:
            matching = [run for run in all_runs(config.models) if Path(run.folder.name).match(name)]
        if not matching:
            raise MissingFault(f"no run in {config.models} is called {name}")
        runs |= dict.fromkeys(matching)
    begun = [run for run in runs if run.progress.epoch]
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


class Rebuilding(Strict):
    """Scores a run by what it makes of so many pictures of a folder."""

    run: str
    images: str
    weights: Weights = "best"
    limit: Count = 500


@SECTIONS.register("rebuilt")
class Rebuilt:
    """Writes errors and sparsity, one row a picture, and the best and the worst of them."""

    position = 80

    def __init__(self, inputs: Inputs, *, rebuilt: Rebuilding | None = None):
        self.options, self.config = rebuilt, inputs.config
        if rebuilt:
            inputs.check("rebuilt", _require_decoder, rebuilt, inputs.config)

    def describe(self) -> list[str]:
        return [f"rebuilt by {self.options.run}"] if self.options else []

    def write(self, folder: Path) -> list[Content]:
        content = Content(f"Reconstructions by {self.options.run}", folder)
        table = _score_rebuilt(self.options, self.config, content)
        content.write("rebuilt.csv", table, "errors and sparsity, one row a picture")
        means = table.drop(columns="file").mean().to_frame().T
        content.tables[f"Means of {len(table):,} pictures"] = means
        return [content]


def _require_decoder(options: Rebuilding, config: Config) -> None:
    source = find_trained(options.run, config)
    key = source.data.target.session_key
    if key not in Rebuilding.model_fields:
        raise Fault(f"{source.folder} has learnt from {key}: a run that takes images rebuilds them")
    if source.model(options.weights).decoder is None:
        raise Fault(f"{source.folder} has no decoder: nothing can be rebuilt")
    picture_folder(options.images, config)


@torch.no_grad()
def _score_rebuilt(options: Rebuilding, config: Config, content: Content) -> pd.DataFrame:
    """Returns one row a picture (file, mse, mae, cosine, psnr, ssim, sparsity), and draws the figures."""
    source = find_trained(options.run, config)
    device = resolve_device(config.device)
    precision = resolve_precision("auto", device)
    model = to_device(source.model(options.weights), device, precision).eval()
    kind = source.data.for_all()(picture_folder(options.images, config), Cache.of(config))
    data = kind.open().sized_for(*model.takes)
    chosen = np.array(evenly(range(len(data)), options.limit))
    content.remarks += counted(data.about["left_out"], "pictures cannot be used and are left out")
    if len(chosen) < len(data):
        content.remarks.append(f"{len(chosen):,} of {len(data):,} pictures, evenly spread (`limit`)")

    def rebuild(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns pictures, their latents, and what the decoder makes of these."""
        pictures = data.front(data.gather(rows, device))
        with computing(device, precision):
            latents = model.encoder(pictures)
            rebuilt = model.decoder(latents).float().clamp(0, 1)
        return tuple(array.float().cpu().numpy() for array in (pictures, latents, rebuilt))

    pieces, scores = list(chunks(chosen, AT_ONCE)), []
    for rows in progress(pieces, "rebuilding", len(pieces), " batches"):
        pictures, latents, rebuilt = rebuild(rows)
        scores.append(pd.DataFrame(rebuilt_scores(pictures, rebuilt) | {"sparsity": sparsity(latents)}))
    table = pd.concat(scores, ignore_index=True)
    table.insert(0, "file", data.samples.names[chosen])
    errors = table["mse"].to_numpy()
    order = np.argsort(errors, kind="stable")
    curves, words = {"pictures": (np.linspace(0, 100, len(order)), errors[order])}, "share of pictures (%)"
    title = "Squared errors by picture"
    content.draw("rebuilt_errors.png", "Squared errors, sorted", figures.lines, curves, title, words, "mse")
    for which, rows in (("best", order[:N_SHOWN]), ("worst", order[::-1][:N_SHOWN])):
        before, _, after = rebuild(chosen[rows])
        columns = {"original": before, "reconstruction": after, "error": np.abs(after - before)}
        names = [f"{table['file'][row]}  mse {errors[row]:.4f}" for row in rows]
        title = f"rebuilt {which}, by squared error"
        content.draw(f"rebuilt_{which}.png", f"The {which} of them", panels, columns, names, title, data.axes)
    return table


def rebuilt_scores(original: np.ndarray, rebuilt: np.ndarray) -> dict[str, np.ndarray]:
    """Returns mse, mae, cosine, psnr and ssim, each (n,), of (n, channels, height, width) in [0, 1]."""
    errors = rebuilt - original.astype(float)
    pair = [torch.from_numpy(np.asarray(pictures, dtype=np.float64)) for pictures in (original, rebuilt)]
    return {
        "mse": np.square(errors).mean((1, 2, 3)),
        "mae": np.abs(errors).mean((1, 2, 3)),
        **{name: of(*pair).numpy() for name, of in SIMILARITIES.items()},
    }


def sparsity(latents: np.ndarray) -> np.ndarray:
    """Returns (n,) the share of each picture's latents that are zero beside its largest one."""
    sizes = np.abs(latents.reshape(len(latents), -1))
    return (sizes <= LARGEST * sizes.max(1, keepdims=True)).mean(1)
