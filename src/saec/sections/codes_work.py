"""Runs a model over samples, batch by batch, and writes what is measured of codes into a report."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from saec import figures
from saec.data import Dataset
from saec.data.batch import axes_of, chunks_by_length
from saec.data.kind import evenly
from saec.evaluation.codes import SWEPT, CodeMeasures, LowpassSweep, Spectrum, own_frames
from saec.evaluation.shifts import ShiftSensitivity, most_shifts
from saec.models import Model
from saec.progress import progress
from saec.sections.base import Content

AT_ONCE, FRAMES_AT_ONCE = 16, 2**14  # samples, and frames, of a batch
N_SWEPT, FRAMES_SWEPT = 64, 2**15  # most samples, and frames, that are filtered and moved, some 60 times each


def column_names(front: Any) -> list[str]:
    """Returns what the rows of all channels of a sample are called: as the data say, by Hz, or by number."""
    channels, height, _ = front.shape
    names, hertz = getattr(front, "columns", None), axes_of(front).hertz
    if names and len(names) == channels * height:
        return [str(name) for name in names]
    if hertz is not None and channels == 1 and len(hertz) == height:
        return [f"{hz:.0f} Hz" for hz in hertz[::-1]]
    return [f"column {number}" for number in range(channels * height)]


@dataclass(frozen=True)
class Evaluated:
    """Holds a model on its device, the samples that it is given, and the content that results go into."""

    model: Model
    data: Dataset
    chosen: np.ndarray  # numbers of the samples that are evaluated
    device: torch.device
    content: Content

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
    def frames(self) -> np.ndarray:
        """Returns each sample's own frames, (n,)."""
        n_frames = self.data.n_frames
        return np.full(len(self.data), self.data.shape[-1]) if n_frames is None else n_frames

    @cached_property
    def few(self) -> np.ndarray:
        """Returns numbers of samples, evenly spread, for what takes long."""
        n = int(FRAMES_SWEPT // self.frames[self.chosen].mean())
        return np.array(evenly(self.chosen, max(1, min(n, N_SWEPT))))

    @property
    def of_few(self) -> str:
        return f"{len(self.few):,} {self.data.samples_are}"

    def units(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns offset and factor (samples, columns) that lead back to what stands in the files, if any."""
        units = getattr(self.data.front, "units", None)
        return None if units is None else units(self.data.samples.files[rows].tolist())

    def batches(self, chosen: np.ndarray, what: str) -> Iterator[tuple[np.ndarray, Tensor, Tensor | None]]:
        """Yields numbers, values and lengths of samples, of similar length together, long ones first."""
        pieces = list(chunks_by_length(chosen, self.frames, AT_ONCE, FRAMES_AT_ONCE))
        for rows in progress(pieces, what, len(pieces), " batches"):
            raw = self.data.gather(rows, self.device)
            yield rows, self.data.front(raw), self.data.lengths(raw)

    @torch.no_grad()
    def of_samples(
        self, model: Model, seen: Tensor, lengths: Tensor | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Yields codes, target and what is decoded of each sample of a batch, None without a decoder."""
        codes = model.encode(seen, lengths)
        n_frames, n_steps = (None if n is None else n.tolist() for n in (lengths, model.n_steps(lengths)))
        rebuilt = [None] * len(seen)
        if model.decoder is not None:
            rebuilt = own_frames(model.decode(codes, lengths), n_frames)
        yield from zip(own_frames(codes, n_steps), own_frames(seen, n_frames), rebuilt, strict=True)

    def measured(self, model: Model, spectra: bool = True) -> tuple[CodeMeasures, np.ndarray]:
        """Returns measures of all samples, and the number of the sample that each of their rows is of."""
        measures = CodeMeasures(self.rate_hz or 1.0, model.time_pool, int(self.frames.max()), spectra)
        numbers = []
        for rows, *batch in self.batches(self.chosen, "measuring codes"):
            units = self.units(rows)
            for number, sample in enumerate(self.of_samples(model, *batch)):
                measures.add(*sample, None if units is None else units[1][number])
            numbers += rows.tolist()
        return measures, np.array(numbers)

    @torch.no_grad()
    def sweep(self, n: int) -> None:
        """Writes and draws errors after low-pass filters, the last one of half the rate of codes."""
        pool, rate = self.model.time_pool, self.rate_hz or 1.0
        if not n or self.model.decoder is None or self.frames.max() < 2 * pool:
            return
        sweep = LowpassSweep([rate / pool / 2 * k / n for k in range(1, n + 1)], rate, pool)
        for _, seen, lengths in self.batches(self.few, "filtering"):
            sweep.add(self.model, seen, lengths)
        columns = {f"mse, {words}": sweep.mse[key] for key, words in SWEPT.items()}
        table = pd.DataFrame({f"cutoff ({self.unit})": sweep.cutoffs} | columns)
        self.content.write(
            "codes_lowpass.csv", table, "errors after frequencies above a cutoff are taken away"
        )
        curves = {words: (sweep.cutoffs, sweep.mse[key]) for key, words in SWEPT.items()}
        title = f"Errors after a low-pass filter, {self.of_few}"
        words = (f"cutoff ({self.unit})", "mean squared error")
        self.content.draw("codes_lowpass.png", title, figures.lines, curves, title, *words, log_y=True)

    def move(self, wanted: int) -> float | None:
        """Writes and draws how codes change when the input moves, and returns the mean over shifts."""
        pool, remarks = self.model.time_pool, self.content.remarks
        n = min(wanted, most_shifts(-(-int(np.median(self.frames[self.few])) // pool), pool))
        if n < wanted:
            most = f"{n} at most" if n else "any number of them: no shift sensitivity"
            remarks.append(f"samples are too short to be moved by {wanted} frames: by {most}")
        if not n:
            return None
        measure = ShiftSensitivity(n, pool)
        for _, seen, lengths in self.batches(self.few, "moving"):
            measure.add(self.model.encode, seen, lengths)
        if short := len(self.few) - measure.n_samples:
            words = "are too short to be moved by so many frames and do not count in the shift sensitivity"
            remarks.append(f"{short:,} of {self.of_few} {words}: {n}")
        if np.isnan(measure.mean):
            remarks.append("codes do not change over time: no shift sensitivity")
            return None
        table = pd.DataFrame({"shift_frames": measure.shifts, "distance": measure.curve})
        self.content.write("codes_shifts.csv", table, "how codes differ from codes that only move along")
        title = f"Shift sensitivity of codes, {self.of_few}: {measure.mean:.3g} on average"
        words = ("input moved by (frames)", "squared difference / variance")
        curves = {"codes": (measure.shifts, measure.curve)}
        self.content.draw("codes_shifts.png", title, figures.lines, curves, title, *words)
        return measure.mean

    def spectra(self, measures: CodeMeasures) -> None:
        """Writes and draws the power spectral density of codes, and of the input beside it."""
        spectra = {name: of for name, of in measures.spectra.items() if of.n_frames}
        frequency = f"frequency ({self.unit})"
        tables = [
            pd.DataFrame({"series": name, frequency: of.frequencies, "density": of.density})
            for name, of in spectra.items()
        ]
        if "codes" not in spectra:
            self.content.remarks.append("codes have too few steps for a spectrum")
            return
        what = "power spectral density by Welch's method, the mean over all codes, and over all columns"
        self.content.write("codes_spectra.csv", pd.concat(tables), what)
        curves = {name: (of.frequencies[1:], _shares(of)) for name, of in spectra.items()}
        title = "Power spectra, the mean over all codes and over all columns"
        words = (frequency, "power density (integral 1)")
        self.content.draw("codes_spectra.png", title, figures.lines, curves, title, *words, log_y=True)


def _shares(spectrum: Spectrum) -> np.ndarray:
    """Returns densities of which the integral over all frequencies but 0 is one."""
    density = spectrum.density[1:]
    return density / max(density.sum() * spectrum.frequencies[1], np.finfo(float).tiny)
