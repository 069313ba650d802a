"""Runs a model over samples, batch by batch, and writes what is measured of codes into a report."""

import math
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from saec import figures
from saec.data.batch import FrontEnd
from saec.data.kind import evenly
from saec.devices import to_device
from saec.evaluation.codes import (
    SWEPT,
    CodeMeasures,
    kernels,
    lowpass_errors,
    most_shifts,
    own_frames,
    shift_distances,
)
from saec.faults import number_of
from saec.files import write_json
from saec.models import Model
from saec.models.conv1d import Movements
from saec.runs import Run
from saec.sections import codes_figures
from saec.sections.evaluated import Evaluated, ranked

N_FEW, FRAMES_FEW = 64, 2**15  # most samples, and frames, that go through a model some 60 times
MEANING = "mse: squared errors of what the model sees; mse_in_units: of the files' own values"
DIGITS = 9  # of distances, which are 0 then for codes that are the same but for rounding
ALPHA = "best_alpha_"  # before the value of alpha, in the name of the best weights of that value
PER_SAMPLE = ["file", "frames", "mse", "mse_in_units", "sparsity", "zeros", "l1", "kurtosis"]
SCORES = {"mse": "mean squared error", "l1": "size of codes (L1)", "sparsity": "share of zeros"}
Encoded = tuple[int, np.ndarray, np.ndarray, np.ndarray | None]


def column_names(front: FrontEnd) -> list[str]:
    """Returns what the rows of all channels of a sample are called: as the data say, by Hz, or by number."""
    channels, height, _ = front.shape
    names, hertz = front.axes.names, front.axes.hertz
    if len(names) == channels * height:
        return list(names)
    if hertz is not None and channels == 1 and len(hertz) == height:
        return [f"{hz:.0f} Hz" for hz in hertz[::-1]]
    return [f"column {number}" for number in range(channels * height)]


class EncodedSamples(Evaluated):
    """Writes what is measured of the codes of samples into a content."""

    @property
    def rate_hz(self) -> float | None:
        """Returns the frames a second, None where nothing says it."""
        axes, width = self.data.axes, self.data.shape[-1]
        return axes.frames_hz or (width / axes.seconds if axes.seconds else None)

    @property
    def unit(self) -> str:
        """Returns that of frequencies."""
        return "Hz" if self.rate_hz else "cycles a frame"

    @cached_property
    def few(self) -> np.ndarray:
        """Returns numbers of samples, evenly spread, for what goes through a model again and again."""
        n = int(FRAMES_FEW // self.data.n_frames[self.chosen].mean())
        return np.array(evenly(self.chosen, max(1, min(n, N_FEW))))

    @property
    def of_few(self) -> str:
        words = f"of {len(self.chosen):,} " if len(self.few) < len(self.chosen) else ""
        return number_of(len(self.few), words + self.data.samples_are)

    def units(self, number: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns offset and factor (columns,) that lead back to what stands in a sample's file, if any."""
        units = getattr(self.data.front, "units", None)
        if units is None:
            return None
        offset, factor = (of[0] for of in units([str(self.data.samples.files[number])]))
        return offset, factor

    @torch.no_grad()
    def encoded(self, model: Model, chosen: np.ndarray, what: str) -> Iterator[Encoded]:
        """Yields number, codes, target and what is decoded of each sample, None without a decoder."""
        for rows, seen, lengths in self.batches(chosen, what):
            codes = model.encode(seen, lengths)
            decoded: Iterable[np.ndarray | None] = [None] * len(rows)
            if model.decoder is not None:
                decoded = own_frames(model.decode(codes, lengths).float(), lengths)
            of_each = own_frames(codes, model.n_steps(lengths))
            yield from zip(rows.tolist(), of_each, own_frames(seen, lengths), decoded, strict=True)

    def measured(self, model: Model, chosen: np.ndarray) -> tuple[CodeMeasures, pd.DataFrame]:
        """Returns measures of samples, and a table of them by the samples' numbers."""
        measures = CodeMeasures(self.rate_hz or 1.0, model.time_pool, int(self.data.n_frames.max()))
        numbers = []
        for number, codes, target, rebuilt in self.encoded(model, chosen, "measuring codes"):
            units = self.units(number)
            measures.add(codes, target, rebuilt, units[1] if units else None)
            numbers.append(number)
        return measures, pd.DataFrame(measures.rows, index=numbers).sort_index()

    def write_samples(self, measures: CodeMeasures, table: pd.DataFrame) -> None:
        """Writes one row a sample, and one row a column of the data."""
        table = table.assign(file=self.data.samples.names[table.index])
        table = table[[name for name in PER_SAMPLE if name in table]]
        self.content.write("codes.csv", table, "errors, sparsity and kurtosis of codes, one row a sample")
        if measures.by_column:
            columns = pd.DataFrame({"column": column_names(self.data.front), **measures.by_column})
            what = "Errors by column, over all frames"
            self.content.write("codes_columns.csv", columns, "errors by column", f"{what}; {MEANING}")

    def write_weights(self, summary: dict[str, float]) -> None:
        """Writes and draws the kernels of convolutions, and `metrics.json`, in which their norms are, too."""
        content, layers = self.content, list(kernels(self.model))
        norms = pd.DataFrame({"layer": name, "frobenius_norm": float(of.norm())} for name, of in layers)
        what = "Frobenius norms of the kernels of convolutions"
        content.write("weight_norms.csv", norms, what, f"{what}, the encoder's, then the decoder's")
        numbers = {key: value if math.isfinite(value) else None for key, value in summary.items()}
        ours = {"mse_by_frame": numbers.pop("mse", None), "sparsity_share": numbers.pop("sparsity")}
        metrics = {
            "mse": numbers.get("mse_by_file"),
            "sparsity": numbers["zeros_by_file"],
            "weight_norms": list(norms.get("frobenius_norm", ())),
            "ours": ours | numbers,
        }
        write_json(content.folder / "metrics.json", metrics)
        what = "means of all samples; sparsity is the mean number of zeros of a sample"
        content.files["metrics.json"] = what
        names = column_names(self.data.front)
        for name, kernel in layers[:1]:
            caption = f"Kernels of the first layer ({name}), the largest first"
            content.draw("codes_weights.png", caption, codes_figures.weights, kernel.numpy(), caption, names)
        for of in (of for of in self.model.modules() if isinstance(of, Movements)):
            caption = "Movements, in the order of their codes: what a code of 1 adds to the columns over time"
            movements = of.kernel.detach().float().cpu().transpose(0, 1).flip(-1).numpy()
            given = (codes_figures.weights, movements, caption, names, False)
            content.draw("codes_movements.png", caption, *given)

    def write_training(self, run: Run) -> None:
        """Draws losses by epoch, and writes and draws scores of each alpha, where there were several."""
        state = run.load("last")
        history, best = state["history"], state["progress"]["best_epoch"]
        caption = "Losses by epoch: training and validation together, and each alone"
        self.content.draw("codes_losses.png", caption, figures.history, history, best, None, apart=True)
        table, how = self._by_weights(run), f"of the best weights of each alpha, on {self.of_few}"
        if table.empty:
            table, how = by_history(history), "by the run's history, on its validation samples"
        if len(table) > 1:
            what = f"Error, size and sparsity of codes by alpha, {how}"
            self.content.write("codes_alpha.csv", table, what, what)
            scores = [name for name in SCORES if table[name].notna().any()]
            curves = {"": {"": (table["alpha"], table[scores].to_numpy().T)}}
            given = (curves, [SCORES[name] for name in scores], what, "alpha")
            self.content.draw("codes_alpha.png", what, codes_figures.stacked, *given)

    def _by_weights(self, run: Run) -> pd.DataFrame:
        """Returns what is measured with the weights that were kept of each alpha."""
        rows = []
        for file in run.folder.glob(f"{ALPHA}*.pt"):
            model = to_device(run.model(file.stem), self.device, "fp32").eval()
            summary = self.measured(model, self.few)[0].summary()
            rows.append({"alpha": float(file.stem.removeprefix(ALPHA))} | summary)
        return pd.DataFrame(rows, columns=["alpha", *SCORES]).sort_values("alpha", ignore_index=True)

    def write_spectra(self, measures: CodeMeasures) -> None:
        """Writes and draws the power spectral density of codes, and of the input beside it."""
        spectra, x_label = measures.spectra, f"frequency ({self.unit})"
        if "codes" not in spectra:
            self.content.remarks.append("codes have too few steps for a spectrum")
            return
        series = [{"series": name, x_label: at, "density": of} for name, (at, of) in spectra.items()]
        table = pd.concat(map(pd.DataFrame, series))
        tiny = np.finfo(float).tiny
        curves = {
            name: (at[1:], of[1:] / max(of[1:].sum() * at[1], tiny)) for name, (at, of) in spectra.items()
        }
        what = "power spectral density by Welch's method, the mean over all codes, and over all columns"
        title = "Power spectra, the mean over all codes and over all columns"
        words = (title, x_label, "power density (integral 1)")
        self._write_curves("codes_spectra", table, what, curves, words, log_y=True)

    @torch.no_grad()
    def write_lowpass(self, n: int) -> None:
        """Writes and draws errors after low-pass filters, the last one of half the rate of codes."""
        pool, rate = self.model.time_pool, self.rate_hz or 1.0
        if not n or self.model.decoder is None or self.data.n_frames.max() < 2 * pool:
            return
        cutoffs = [rate / pool / 2 * k / n for k in range(1, n + 1)]
        batches = ((seen, lengths) for _, seen, lengths in self.batches(self.few, "filtering"))
        errors = lowpass_errors(self.model, batches, cutoffs, rate)
        x_label = f"cutoff ({self.unit})"
        table = pd.DataFrame({x_label: cutoffs} | {f"mse, {SWEPT[key]}": y for key, y in errors.items()})
        what = "errors after frequencies above a cutoff are taken away"
        self.content.write("codes_lowpass.csv", table, what)
        pairs = {key: [y, y * np.nan] for key, y in errors.items()}
        pairs["input_alone"].reverse()  # it goes to zero, and would make the others one flat line
        curves = {words: (cutoffs, pairs[key]) for key, words in SWEPT.items()}
        title, rows = f"Mean squared errors after a low-pass filter, {self.of_few}", ("model", "filter alone")
        given = {"": curves}, rows, title, x_label
        self.content.draw("codes_lowpass.png", title, codes_figures.stacked, *given)

    def write_shifts(self, wanted: int) -> float | None:
        """Writes and draws how codes change when the input moves, and returns the mean over shifts."""
        pool, remarks = self.model.time_pool, self.content.remarks
        n = min(wanted, most_shifts(-(-int(np.median(self.data.n_frames[self.few])) // pool), pool))
        if n < wanted:
            most = f"{n} at most" if n else "any number of them: no shift sensitivity"
            remarks.append(f"samples are too short to be moved by {wanted} frames: by {most}")
        if not n:
            return None
        batches = ((seen, lengths) for _, seen, lengths in self.batches(self.few, "moving"))
        curve, n_samples = shift_distances(self.model.encode, batches, n, pool)
        if short := len(self.few) - n_samples:
            words = "are too short to be moved by so many frames and do not count in the shift sensitivity"
            remarks.append(f"{short:,} of {self.of_few} {words}: {n}")
        if np.isnan(curve.mean()):
            remarks.append("codes do not change over time: no shift sensitivity")
            return None
        curve = curve.round(DIGITS)
        table = pd.DataFrame({"shift_frames": np.arange(1, n + 1), "distance": curve})
        title = f"Shift sensitivity of codes, {self.of_few}: {curve.mean():.3g} on average"
        axes = (title, "input moved by (frames)", "squared difference / variance")
        what = "how codes differ from codes that only move along"
        self._write_curves("codes_shifts", table, what, {"": (table["shift_frames"], curve)}, axes)
        return float(curve.mean())

    def _write_curves(
        self, name: str, table: pd.DataFrame, what: str, curves: dict, words: tuple, log_y: bool = False
    ) -> None:
        self.content.write(f"{name}.csv", table, what)
        self.content.draw(f"{name}.png", words[0], figures.lines, curves, *words, log_y=log_y)

    def draw_samples(self, table: pd.DataFrame, columns: list[int]) -> None:
        """Draws the best, middle and worst sample beside what is decoded, and codes of the middle one.

        Those of less than half the usual frames are left out: a few frames show nothing.
        """
        table = table[table["frames"] >= table["frames"].median() / 2]
        rows = ranked(table["mse"].to_numpy() if "mse" in table else np.arange(len(table)))
        numbers = {which: int(table.index[row[0]]) for which, row in rows.items()}
        names, rate, shown = column_names(self.data.front), self.rate_hz or 1.0, {}
        time_axis = "time (s)" if self.rate_hz else "time (frames)"
        for number, which in {number: which for which, number in numbers.items()}.items():
            _, codes, target, rebuilt = next(self.encoded(self.model, np.array([number]), "drawing"))
            name, n_frames = str(self.data.samples.names[number]), target.shape[1]
            if rebuilt is not None:
                offset, factor = self.units(number) or np.array([[0.0], [1.0]])
                drawn = (one * factor[:, None] + offset[:, None] for one in (target, rebuilt))
                curves = zip(("truth", "prediction"), drawn, strict=True)
                times = np.arange(n_frames) / rate
                key = f"{which}: {name}" if len(table) > 1 else name
                shown[key] = {label: (times, values[columns]) for label, values in curves}
            if number == numbers["middle"]:
                words = (f"Codes of {name}, the strongest at the top, below the input", time_axis)
                given = (target, codes, names, n_frames / rate, words)
                self.content.draw("codes_encoding.png", words[0], codes_figures.encoding, *given)
        if shown:
            caption = "Truth and prediction over time: best, middle and worst sample, without very short ones"
            traces = (shown, [names[column] for column in columns], caption, time_axis)
            self.content.draw("codes_traces.png", caption, codes_figures.stacked, *traces)


def by_history(history: list[dict[str, float]]) -> pd.DataFrame:
    """Returns the validation scores of the best epoch of each alpha, where the run had any."""
    table = pd.DataFrame(history)
    table = table.rename(columns={f"valid_{name}": name for name in ("alpha", *SCORES)})
    if "alpha" not in table or "mse" not in table:
        return pd.DataFrame()
    table = table.loc[table.groupby("alpha")["valid_loss"].idxmin()]
    return table.reindex(columns=["alpha", *SCORES]).sort_values("alpha", ignore_index=True)
