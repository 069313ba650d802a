"""Measures codes and what is decoded from them, one sample after the other, so that none stays in memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from saec.data.batch import own_columns
from saec.lowpass import filtered, lowpass_kernel
from saec.models.base import Model

SEGMENT = 128  # frames of a segment of Welch's method
FEWEST = 4  # frames that a spectrum needs
AT_ONCE = 2**22  # numbers of codes that something is computed of together
SWEPT = {"codes": "codes filtered", "input": "input filtered", "input_alone": "filter alone, without a model"}


class Spectrum:
    """Averages power spectral densities by Welch's method, over samples by their frames."""

    def __init__(self, rate_hz: float, n_longest: int):
        self.rate_hz, self.n_segment = rate_hz, max(FEWEST, min(SEGMENT, n_longest))
        self.frequencies = np.fft.rfftfreq(self.n_segment, 1 / rate_hz)
        self.sums = np.zeros(len(self.frequencies))
        self.n_frames = 0

    @property
    def density(self) -> np.ndarray:
        """Returns the mean density of a series, (frequencies,); not a number where no sample was added."""
        return self.sums / (self.n_frames or np.nan)

    def add(self, series: np.ndarray) -> None:
        """Adds (series, frames) of one sample, unless it is too short; means of series are left out."""
        from scipy.signal import welch  # a fifth of a second to import

        n = series.shape[1]
        if n >= FEWEST:
            given = {"nperseg": min(n, self.n_segment), "nfft": self.n_segment, "detrend": "constant"}
            for some in pieces(series):
                self.sums += welch(some, self.rate_hz, **given)[1].sum(axis=0) * n / len(series)
            self.n_frames += n


class CodeMeasures:
    """Adds up measures of samples: codes (codes, steps), target and what is decoded (columns, frames)."""

    def __init__(self, rate_hz: float, time_pool: int, n_longest: int, spectra: bool = True):
        self.rows: list[dict[str, float]] = []
        self.squares: dict[str, np.ndarray] = {}  # of errors, summed over frames, (columns,) by score
        self.sums: np.ndarray = np.zeros((2, 1))  # of the target and its squares over frames, (2, columns)
        pools = {"codes": time_pool, "input": 1} if spectra else {}  # frames of a step
        self.spectra = {name: Spectrum(rate_hz / pool, -(-n_longest // pool)) for name, pool in pools.items()}

    def add(
        self,
        codes: np.ndarray,
        target: np.ndarray,
        rebuilt: np.ndarray | None,
        factor: np.ndarray | None = None,
    ) -> None:
        """Adds a sample; `rebuilt` is None where there is no decoder. `factor` (columns,) makes units of the
        sample's file of what the model sees, where that is possible.
        """
        row = {"frames": target.shape[1], "numbers": codes.size} | code_scores(codes)
        if rebuilt is not None:
            squares = {"mse": np.square(rebuilt.astype(np.float64) - target)}
            if factor is not None:
                squares["mse_in_units"] = squares["mse"] * np.square(factor)[:, None]
            for name, of in squares.items():
                self.squares[name] = self.squares.get(name, 0.0) + of.sum(axis=1)
                row[name] = float(of.mean())
            self.sums = self.sums + [one.sum(axis=1, dtype=np.float64) for one in (target, np.square(target))]
        self.rows.append(row)
        series = {"codes": codes, "input": target}
        for name, spectrum in self.spectra.items():
            spectrum.add(series[name])

    @property
    def by_column(self) -> dict[str, np.ndarray]:
        """Returns the mean squared error of each column over all frames, (columns,), and in units of the
        files, where something leads back to them.
        """
        n_frames = sum(row["frames"] for row in self.rows)
        return {name: of / n_frames for name, of in self.squares.items()}

    @property
    def mse_of_mean(self) -> float:
        """Returns the mean squared error of answering with the mean of each column."""
        mean, square = self.sums / sum(row["frames"] for row in self.rows)
        return float((square - mean**2).mean())

    def summary(self) -> dict[str, float]:
        """Returns means over all frames (`mse`, `l1`), over all files (`mse_by_file`, ...), and shares."""
        table = pd.DataFrame(self.rows)
        return {
            "files": len(table),
            "frames": int(table["frames"].sum()),
            **{name: float(of.mean()) for name, of in self.by_column.items()},
            **({"mse_by_file": float(table["mse"].mean())} if self.squares else {}),
            "l1": float(np.average(table["l1"], weights=table["frames"])),
            "sparsity": float(table["zeros"].sum() / table["numbers"].sum()),
            "zeros_by_file": float(table["zeros"].mean()),
            "kurtosis_by_file": float(table["kurtosis"].mean()),  # of those that are numbers
        }


def pieces(rows: np.ndarray) -> list[np.ndarray]:
    """Returns rows in pieces, of which what is computed needs little memory."""
    return np.array_split(rows, min(len(rows), 1 + rows.size // AT_ONCE))


def code_scores(codes: np.ndarray) -> dict[str, float]:
    """Returns share and number of exact zeros, mean size and kurtosis of codes (codes, steps)."""
    zeros = codes.size - int(np.count_nonzero(codes))
    sizes = sum(float(np.abs(some).sum(dtype=np.float64)) for some in pieces(codes))
    return {
        "sparsity": zeros / codes.size,
        "zeros": zeros,
        "l1": sizes / codes.size,
        "kurtosis": kurtosis(codes),
    }


def kurtosis(values: np.ndarray) -> float:
    """Returns the excess kurtosis: 0 of a normal distribution; not a number where all values are the same."""
    mean = values.mean(dtype=np.float64)
    squares = (np.square(some - mean) for some in pieces(values))
    second, fourth = np.sum([(of.sum(), np.square(of).sum()) for of in squares], axis=0) / values.size
    return float(fourth / second**2 - 3) if second > 0 else float("nan")


def kernels(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields the kernel of each convolution by its layer's name, the encoder's, then the decoder's."""
    for name, weight in model.named_parameters():
        if weight.ndim > 2:
            yield name.removesuffix(".weight"), weight.detach().float().cpu()


def own_frames(values: Tensor, lengths: Tensor | None) -> Iterator[np.ndarray]:
    """Yields each sample of (batch, channels, height, width) as (columns, own frames)."""
    rows = values.flatten(1, 2).float().cpu().numpy()
    for row, n in zip(rows, [None] * len(rows) if lengths is None else lengths.tolist(), strict=True):
        yield row[:, :n]


class LowpassSweep:
    """Adds up squared errors after frequencies above cutoffs are taken from the codes, or from the input."""

    def __init__(self, cutoffs: Sequence[float], rate_hz: float, time_pool: int):
        self.cutoffs = np.asarray(cutoffs, dtype=float)
        rates = rate_hz / time_pool, rate_hz
        self.kernels = [[lowpass_kernel(cutoff, rate) for rate in rates] for cutoff in cutoffs]
        self.sums = np.zeros((len(cutoffs), len(SWEPT)))
        self.n = 0

    @property
    def mse(self) -> dict[str, np.ndarray]:
        """Returns the mean squared error over all frames by what is filtered, (cutoffs,) each."""
        return dict(zip(SWEPT, (self.sums / max(1, self.n)).T, strict=True))

    def add(self, model: Model, seen: Tensor, lengths: Tensor | None) -> None:
        """Adds a batch (batch, channels, height, width); all answers are compared with it unfiltered."""
        codes, of_frames, of_steps = model.encode(seen, lengths), None, None
        own = torch.ones(len(seen), seen.shape[-1], dtype=torch.bool, device=seen.device)
        if lengths is not None:
            own = of_frames = own_columns(lengths, seen.shape[-1])
            of_steps = own_columns(model.n_steps(lengths), codes.shape[-1])
        for sums, (of_codes, of_input) in zip(self.sums, self.kernels, strict=True):
            smooth = filtered(seen, of_input, of_frames)
            by_codes = model.decode(filtered(codes, of_codes, of_steps), lengths)
            by_input = model.decode(model.encode(smooth, lengths), lengths)
            for number, answer in enumerate((by_codes, by_input, smooth)):
                errors = (answer.float() - seen.float()).square() * own[:, None, None]
                sums[number] += float(errors.cpu().sum(dtype=torch.float64))  # some GPUs have no doubles
        self.n += int(own.sum()) * seen.shape[1] * seen.shape[2]
