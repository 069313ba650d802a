"""The section on reconstructions: how near the pictures that a run rebuilds are to the originals."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from saec import figures
from saec.config import Config
from saec.data import Cache, chunks
from saec.data.files import evenly
from saec.data.png import list_pictures
from saec.devices import computing, resolve_device, resolve_precision, to_device
from saec.evaluation.reconstruction import rebuilt_scores, sparsity
from saec.faults import Fault
from saec.progress import progress
from saec.registry import Strict
from saec.runs.find import find_trained
from saec.sections.base import SECTIONS, Content, Inputs
from saec.session import Count, Weights

AT_ONCE = 16
N_SHOWN = 8


class Rebuilding(Strict):
    """A run is scored by what it makes of so many pictures of a folder."""

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
        if not self.options:
            return []
        content = Content(f"Reconstructions by {self.options.run}", folder)
        table = score_rebuilt(self.options, self.config, folder)
        content.write("rebuilt.csv", table, "errors and sparsity, one row a picture")
        means = {name: float(table[name].mean()) for name in table.columns[1:]}
        content.tables[f"Means of {len(table):,} pictures"] = pd.DataFrame([means])
        content.add_figure("rebuilt_errors.png", "Squared errors, sorted")
        for which in ("best", "worst"):
            content.add_figure(f"rebuilt_{which}.png", f"The {which} of them")
        return [content]


def _require_decoder(options: Rebuilding, config: Config) -> None:
    source = find_trained(options.run, config)
    key = source.data.target.session_key
    if key not in Rebuilding.model_fields:
        raise Fault(f"{source.folder} has learnt from {key}: a run that takes images rebuilds them")
    if source.model(options.weights).decoder is None:
        raise Fault(f"{source.folder} has no decoder: nothing can be rebuilt")
    list_pictures(config.data_path(options.images))


@torch.no_grad()
def score_rebuilt(options: Rebuilding, config: Config, folder: Path) -> pd.DataFrame:
    """Returns one row a picture (file, mse, mae, cosine, ssim, sparsity); figures go into the folder."""
    source = find_trained(options.run, config)
    device = resolve_device(config.device)
    precision = resolve_precision("auto", device)
    model = to_device(source.model(options.weights), device, precision).eval()
    kind = source.data.model_copy(update={"limit": None})(config.data_path(options.images), Cache.of(config))
    data = kind.open().sized_for(*model.takes)
    chosen = np.array(evenly(range(len(data)), options.limit))

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
    table.insert(0, "file", data.names[chosen])
    errors = table["mse"].to_numpy()
    order = np.argsort(errors, kind="stable")
    for which, rows in (("best", order[:N_SHOWN]), ("worst", order[::-1][:N_SHOWN])):
        before, _, after = rebuild(chosen[rows])
        columns = {"original": before, "reconstruction": after, "error": np.abs(after - before)}
        names = [f"{table['file'][row]}  mse {errors[row]:.4f}" for row in rows]
        figures.panels(folder / f"rebuilt_{which}.png", columns, names, f"rebuilt {which}, by squared error")
    curves = {"pictures": (np.linspace(0, 100, len(order)), errors[order])}
    file, title = folder / "rebuilt_errors.png", "Squared errors by picture"
    figures.lines(file, curves, title, "share of pictures (%)", "mse")
    return table
