"""What a run makes of pictures: errors and sparsity picture by picture, the best and the worst of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from saec import charts, figures
from saec.config import Config
from saec.data import Cache, Dataset, chunks
from saec.data.folder import evenly
from saec.devices import computing, placed, resolve_device, resolve_precision
from saec.evaluation.reconstruction import rebuilt_scores, sparsity
from saec.progress import progress
from saec.session import Rebuilding
from saec.sources import find_source

AT_ONCE = 16
N_SHOWN = 8


@torch.no_grad()
def judge_rebuilt(asked: Rebuilding, config: Config, folder: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """One row a picture (file, mse, mae, cosine, ssim, sparsity), and means; figures go into the folder."""
    source = find_source(asked.run, config)
    device = resolve_device(config.device)
    precision = resolve_precision("auto", device)
    model = placed(source.model(asked.weights), device, precision).eval()
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
    charts.lines(
        folder / "rebuilt_errors.png", curves, "Squared error by picture", "share of pictures (%)", "mse"
    )
