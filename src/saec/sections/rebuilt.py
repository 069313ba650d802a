"""Evaluates what runs rebuild, of what they were trained with and of new samples, and how unusual each is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from saec import figures
from saec.config import Config
from saec.data.batch import FrontEnd
from saec.data.kind import Kind, Location
from saec.extraction.data import LOCATIONS, ExtractionData
from saec.faults import Fault, collect_faults, counted, number_of
from saec.gallery import compared
from saec.models import Model
from saec.objectives import ERRORS
from saec.registry import as_list
from saec.runs import Run
from saec.runs.find import Seed
from saec.runs.run import SPLIT
from saec.samples import Samples
from saec.sections import codes_figures
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.evaluated import Evaluated, checked, ranked, remarks_on_learnt, same_location
from saec.sections.runs import NOT_BEGUN, find_runs
from saec.session import Count, Weights
from saec.similarity import SIMILARITIES
from saec.tables import without_formulas

N_SHOWN, N_UNUSUAL = 8, 10  # samples of a figure, and rows of a table
LARGEST = 1e-6  # of a sample's largest latent: smaller ones count as zero
TRAIN, VALID = "train", "valid"
Choice = Callable[[Samples], np.ndarray]


class Rebuilding(ExtractionData):
    """Names runs, and a folder of samples; without one, they rebuild what they were trained with."""

    fewest: ClassVar[int] = 0
    run: str | Annotated[tuple[str, ...], Field(min_length=1)]
    weights: Weights = "best"
    limit: Count = 500


Part = tuple[Rebuilding, Kind, Choice]  # how samples are rebuilt, the samples, and which of them


@SECTIONS.register("rebuilt")
class Rebuilt:
    """Writes scores, one row a sample, their means, one row a run, and the best and the worst of them."""

    position = 80

    def __init__(self, inputs: Inputs, *, rebuilt: Rebuilding | None = None):
        self.config, self.remarks = inputs.config, list[str]()
        self.parts: dict[Run | Seed, dict[str, Part]] = {}
        if rebuilt is None:
            return
        runs = inputs.check("rebuilt.run", find_runs, as_list(rebuilt.run), inputs.config, True)
        for trained in runs[0] if runs else ():
            model = inputs.check("rebuilt.run", _with_decoder, trained, rebuilt.weights)
            locations = model and inputs.check("rebuilt", _locations, rebuilt, trained, inputs.config)
            self.parts[trained] = self._planned(rebuilt, trained, model, locations or {}, inputs.faults)
        self.remarks += counted(runs[1], NOT_BEGUN) if runs else []

    def _planned(
        self,
        options: Rebuilding,
        trained: Run | Seed,
        model: Model | None,
        locations: dict[str, Location],
        faults: list[str],
    ) -> dict[str, Part]:
        """Returns samples by what they are called; beside a named folder, those of the training may lack."""
        parts: dict[str, Part] = {}
        key = trained.data.target.session_key
        for split, location in locations.items():
            data, mine, is_own = options, faults, split in (TRAIN, VALID)
            if is_own:
                data = data.model_copy(update=dict.fromkeys(LOCATIONS) | {key: location})
                mine = faults if VALID in locations else []
            choose = partial(_side, trained, split)
            opened = checked(mine, f"rebuilt.{data.key}", data, trained, model, self.config)
            kind = opened and collect_faults(mine, f"rebuilt.{data.key}", _with_some, *opened, choose)
            if kind:
                parts[split] = options, kind, choose
            elif mine is not faults:
                self.remarks.append(f"no percentiles of the training samples' errors: {mine[-1]}")
            if kind and not is_own:
                given = (trained, kind, data, None, self.config)
                self.remarks += collect_faults(faults, "rebuilt", remarks_on_learnt, *given) or []
        return parts

    def describe(self) -> list[str]:
        return [f"rebuilt by {run.folder.name}: {', '.join(of)}" for run, of in self.parts.items()]

    def write(self, folder: Path) -> list[Content]:
        runs = [run.folder.name for run in self.parts]
        words = runs[0] if len(runs) == 1 else f"{len(runs)} runs"
        content = Content(f"Reconstructions by {words}", folder, list(dict.fromkeys(self.remarks)))
        tables, means, curves = [], [], {}
        for trained, parts in self.parts.items():
            learnt, name = np.array([]), trained.folder.name
            for split, (options, kind, choose) in parts.items():
                given = (options, trained, kind, choose, self.config, content)
                evaluated = Evaluated.opened(*given, precision="auto")
                table, of_mean = _measured(evaluated, trained)
                errors = np.sort(table["mse"])
                learnt = errors if split == TRAIN else learnt
                table["percentile"] = 100 * np.searchsorted(learnt, table["mse"]) / (len(learnt) or np.nan)
                table = table.assign(split=split, run=name)
                numbers = table.drop(columns="file").select_dtypes("number").mean()
                counts = {"run": name, "split": split, "n": len(table)}
                means.append(counts | numbers.to_dict() | {"mse_of_mean": of_mean})
                if split == TRAIN and VALID not in parts:
                    continue
                tables.append(table)
                curves[f"{split} {name}"] = np.linspace(0, 100, len(errors)), errors
                ending = f"_{split}" if VALID in parts else ""
                _draw(evaluated, table, ending + (f"_{trained.timestamp}" if len(runs) > 1 else ""))
            self._find(content, means[-1], table, evaluated.data.samples_are)
        axes = (title := "Squared errors by sample, sorted", "share of samples (%)", "mse")
        content.draw("rebuilt_errors.png", title, figures.lines, curves, *axes)
        content.write("rebuilt.csv", pd.concat(tables), "scores and percentiles, one row a sample")
        caption = "Means; runs compare on the same samples, mse_of_mean is what their mean would have"
        content.write("rebuilt_means.csv", table := pd.DataFrame(means), "means, one row a run", caption)
        content.findings.append(_sentence(table[table["split"] != TRAIN], len(runs)))
        content.remarks[:] = dict.fromkeys(content.remarks)
        return [content]

    def _find(self, content: Content, mean: dict, table: pd.DataFrame, what: str) -> None:
        """Shows the most unusual samples, and doubts a run that rebuilds no better than their mean does."""
        run, split = mean["run"], mean["split"]
        columns = [name for name in ("file", "mse", "ssim", "percentile") if table[name].notna().all()]
        caption = f"The most unusual {what} ({split}) for {run}: those with the largest errors"
        content.tables[caption] = table.nlargest(N_UNUSUAL, "mse")[columns]
        if mean["mse"] >= mean["mse_of_mean"]:
            words = f"{run} rebuilds {split} with a squared error of {mean['mse']:.3g}"
            content.doubts.append(f"{words}, no better than their mean, {mean['mse_of_mean']:.3g}")


def _with_decoder(trained: Run | Seed, weights: str) -> Model:
    model = trained.model(weights)
    if model.decoder is None:
        raise Fault(f"{trained.folder} has no decoder: nothing can be rebuilt")
    return model


def _locations(options: Rebuilding, trained: Run | Seed, config: Config) -> dict[str, Location]:
    """Returns where samples lie, by what they are called: a side of the training, or the key of a folder."""
    data, own = trained.data, {}
    if isinstance(trained, Run):
        own = {TRAIN: data.train, VALID: data.train if data.has_part else data.valid}
    if not (options.key or own):
        raise Fault(f"{trained.folder} does not say what it was trained with: name a folder of `images`")
    if not options.key:
        return own
    is_parted = own and data.has_part and ((trained.folder / SPLIT).is_file() or _groups(trained))
    if is_parted and same_location(options.location, data.train, config):
        return own
    return {side: own[side] for side in own if side == TRAIN} | {options.key: options.location}


def _groups(run: Run | Seed) -> list[str]:
    return run.record.get(VALID, {}).get("groups", []) if isinstance(run, Run) else []


def _side(run: Run | Seed, split: str, samples: Samples) -> np.ndarray:
    """Returns the numbers of all samples, or of those on a side of the training: as its table says, which
    older runs lack, or by the groups that were set aside.
    """
    file = run.folder / SPLIT
    if split in (TRAIN, VALID) and file.is_file():
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        names = without_formulas(pd.DataFrame({"file": samples.names}))["file"]
        return np.flatnonzero(names.isin(table["file"][table["split"] == split]))
    if split in (TRAIN, VALID) and run.data.has_part:
        return np.flatnonzero(np.isin(samples.groups, _groups(run)) == (split == VALID))
    return np.arange(len(samples))


def _with_some(kind: Kind, front: FrontEnd, choose: Choice) -> Kind:
    """Returns the same samples; raises a `Fault` where none of those that are chosen can be rebuilt."""
    if front.is_ragged:
        raise Fault(f"{kind.samples_are} have lengths of their own: evaluate the run with `codes`")
    if not len(choose(kind.samples)):
        raise Fault(f"{kind.folder} has none of the {kind.samples_are} that the run's {SPLIT} names")
    return kind


def _measured(evaluated: Evaluated, trained: Run | Seed) -> tuple[pd.DataFrame, float]:
    """Returns one row a sample, and the mean squared error of answering with the mean of the others."""
    tables, total, squares = [], torch.tensor(0.0), 0.0
    error = ERRORS.get(getattr(trained.session.objective, "loss", "")) if isinstance(trained, Run) else None
    for rows, seen, _ in evaluated.batches(evaluated.chosen, "rebuilding"):
        codes, rebuilt = evaluated.rebuilt(seen)
        pairs = zip(rebuilt.split(1), seen.split(1), strict=True)
        scores = {"file": evaluated.data.samples.names[rows]} | scored(evaluated.data.front, seen, rebuilt)
        scores["sparsity"] = sparsity(codes.float())
        if error:
            scores["loss"] = [float(error(*pair)) for pair in pairs]
        tables.append(pd.DataFrame(scores, index=rows))
        values = seen.cpu().double()  # some GPUs have no doubles
        total, squares = total + values.sum(0), squares + float(values.square().sum())
    n = len(evaluated.chosen)
    variance = squares / n / total.numel() - float((total / n).square().mean())
    of_mean = variance * (n / (n - 1)) ** 2 if n > 1 else np.nan
    return pd.concat(tables).sort_index(), of_mean


def scored(front: FrontEnd, seen: Tensor, rebuilt: Tensor) -> dict[str, np.ndarray]:
    """Returns mse, mae, cosine, psnr and ssim, each (n,), of samples (n, channels, height, width).

    Where values have no fixed range, the last two are of shades, for which that of each sample is stretched.
    """
    if front.in_units:
        return rebuilt_scores(seen, rebuilt.clamp(0, 1))
    pairs = zip(seen, rebuilt, strict=True)
    shades = zip(*((front.show(one), front.show(other, one)) for one, other in pairs), strict=True)
    of_shades = rebuilt_scores(*(torch.from_numpy(np.stack(of)).clamp(0, 1) for of in shades))
    return rebuilt_scores(seen, rebuilt) | {name: of_shades[name] for name in ("psnr", "ssim")}


def rebuilt_scores(original: Tensor | np.ndarray, rebuilt: Tensor | np.ndarray) -> dict[str, np.ndarray]:
    """Returns mse, mae, cosine, psnr and ssim, each (n,), of (n, channels, height, width) in [0, 1]."""
    pair = [torch.as_tensor(values) for values in (original, rebuilt)]
    errors = (pair[1] - pair[0]).flatten(1)
    scores = {"mse": errors.square().mean(1), "mae": errors.abs().mean(1)}
    scores |= {name: of(*pair) for name, of in SIMILARITIES.items()}
    return {name: of.cpu().numpy() for name, of in scores.items()}


def sparsity(latents: Tensor | np.ndarray) -> np.ndarray:
    """Returns (n,) the share of each sample's latents that are zero beside its largest one."""
    sizes = torch.as_tensor(latents).flatten(1).abs()
    return (sizes <= LARGEST * sizes.amax(1, keepdim=True)).float().mean(1).cpu().numpy()


def _draw(evaluated: Evaluated, table: pd.DataFrame, ending: str) -> None:
    """Draws the best, middle and worst samples, and the latents of the one in the middle."""
    content, data = evaluated.content, evaluated.data
    split, run = table["split"].iloc[0], table["run"].iloc[0]
    for which, rows in ranked(table["mse"].to_numpy(), N_SHOWN).items():
        raw = data.gather(table.index[rows].to_numpy(), evaluated.device)
        seen = data.front(raw)
        codes, rebuilt = evaluated.rebuilt(seen)
        names = [
            f"{row.file}  mse {row.mse:.4f}"
            + (f", above {row.percentile:.0f}% of training" if row.percentile >= 0 else "")
            for row in table.iloc[rows].itertuples()
        ]
        title = f"rebuilt {which} of {split}, by squared error"
        shown = {"original": data.original(raw), "reconstruction": rebuilt}
        caption = f"The {which} of {number_of(len(table), data.samples_are)} ({split}) by {run}"
        content.draw(f"rebuilt_{which}{ending}.png", caption, compared, data, names, title, seen, shown)
        if which == "middle":
            one = len(rows) // 2
            what = f"{table['file'].iloc[rows[one]]} and its latents, channels with the largest first"
            given = (data.front.show(seen[one]), codes[one].float().cpu().numpy(), what)
            content.draw(f"rebuilt_latents{ending}.png", what, codes_figures.latents, *given)


def _sentence(means: pd.DataFrame, n_runs: int) -> str:
    """Returns the finding for the top of the report."""
    best = means.loc[means["mse"].idxmin()]
    words = f"{best['run']} rebuilds {best['n']:,} samples ({best['split']}) with a mean squared error of "
    words += f"{best['mse']:.3g}, SSIM {best['ssim']:.3f} and PSNR {best['psnr']:.1f} dB"
    words += f"; answering with their mean would have {best['mse_of_mean']:.3g}" if best["n"] > 1 else ""
    return (f"Of {n_runs} runs, that with the smallest error: " if n_runs > 1 else "") + words + "."
