"""Measures codes and what is decoded from them, one sample after the other, so that none stays in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saec.data.batch import own_columns
from saec.lowpass import filtered, lowpass_kernel
from saec.models.base import Model

SEGMENT = 128  # frames of a segment of Welch's method
FEWEST = 4  # frames that a spectrum needs
AT_ONCE = 2**22  # numbers of codes that something is computed of together
SWEPT = {"codes": "codes filtered", "input": "input filtered", "input_alone": "filter alone, without a model"}
ERRORS = ("mse", "mse_in_units")
EDGE = 4  # the first and the last of so many parts of a sample are not moved: what is beyond it counts there
Encode = Callable[[Tensor, Tensor | None], Tensor]  # samples and their lengths -> codes (batch, ..., steps)
Batches = Iterable[tuple[Tensor, Tensor | None]]  # (batch, channels, height, width), and lengths


class CodeMeasures:
    """Collects measures of samples: codes (codes, steps), target and what is decoded (columns, frames)."""

    def __init__(self, rate_hz: float, time_pool: int, n_longest: int):
        pools = {"codes": time_pool, "input": 1}  # frames of a step
        n_segment = {name: max(FEWEST, min(SEGMENT, -(-n_longest // pool))) for name, pool in pools.items()}
        self.welch = {name: (n_segment[name], rate_hz / pool) for name, pool in pools.items()}
        self.rows: list[dict[str, float]] = []
        self.totals: dict[str, tuple[np.ndarray, int]] = {}  # over all frames, and how many these are

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
        means = {"target": target.mean(axis=1, dtype=np.float64)}
        means["square"] = np.square(target).mean(axis=1, dtype=np.float64)
        if rebuilt is not None:
            means["mse"] = np.square(rebuilt.astype(np.float64) - target).mean(axis=1)
            means |= {} if factor is None else {"mse_in_units": means["mse"] * np.square(factor)}
        row = {"frames": target.shape[1], "numbers": codes.size} | code_scores(codes)
        self.rows.append(row | {name: float(means[name].mean()) for name in ERRORS if name in means})
        for name, series in (("codes", codes), ("input", target)):
            if series.shape[1] >= FEWEST:
                means[name] = density(series, *self.welch[name])
        for name, of in means.items():
            total, n_frames = self.totals.get(name, (np.zeros_like(of), 0))
            self.totals[name] = total + of * row["frames"], n_frames + row["frames"]

    def mean(self, name: str) -> np.ndarray:
        """Returns the mean over all frames of the samples that have this measure."""
        total, n_frames = self.totals[name]
        return total / n_frames

    @property
    def by_column(self) -> dict[str, np.ndarray]:
        """Returns the mean squared error of each column over all frames, (columns,), and in units of the
        files, where something leads back to them.
        """
        return {name: self.mean(name) for name in ERRORS if name in self.totals}

    @property
    def spectra(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns frequencies and the power spectral density of codes and of the input, where long enough."""
        grids = {name: np.fft.rfftfreq(n, 1 / rate) for name, (n, rate) in self.welch.items()}
        return {name: (at, self.mean(name)) for name, at in grids.items() if name in self.totals}

    @property
    def mse_of_mean(self) -> float:
        """Returns the mean squared error of answering with the mean of each column."""
        return float((self.mean("square") - self.mean("target") ** 2).mean())

    def summary(self) -> dict[str, float]:
        """Returns means over all frames (`mse`, `l1`), over all files (`mse_by_file`, ...), and shares."""
        table = pd.DataFrame(self.rows)
        return {
            "files": len(table),
            "frames": int(table["frames"].sum()),
            **{name: float(of.mean()) for name, of in self.by_column.items()},
            **({"mse_by_file": float(table["mse"].mean())} if "mse" in table else {}),
            "l1": float(np.average(table["l1"], weights=table["frames"])),
            "sparsity": float(table["zeros"].sum() / table["numbers"].sum()),
            "zeros_by_file": float(table["zeros"].mean()),
            "kurtosis_by_file": float(table["kurtosis"].mean()),  # of those that are numbers
        }


def density(series: np.ndarray, n_segment: int, rate_hz: float) -> np.ndarray:
    """Returns the mean power spectral density of series (series, frames) by Welch's method; means are left
    out.
    """
    from scipy.signal import welch  # a fifth of a second to import

    given = {"nperseg": min(series.shape[1], n_segment), "nfft": n_segment, "detrend": "constant"}
    return sum(welch(some, rate_hz, **given)[1].sum(axis=0) for some in pieces(series)) / len(series)


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


def lowpass_errors(
    model: Model, batches: Batches, cutoffs: Sequence[float], rate_hz: float
) -> dict[str, np.ndarray]:
    """Returns mean squared errors (cutoffs,) over all frames, after frequencies above cutoffs are taken
    from what the keys of `SWEPT` say.
    """
    rates = rate_hz / model.time_pool, rate_hz
    smoothing = [[lowpass_kernel(cutoff, rate) for rate in rates] for cutoff in cutoffs]
    total, n = np.zeros((len(cutoffs), len(SWEPT))), 0
    for seen, lengths in batches:
        codes, of_frames, of_steps = model.encode(seen, lengths), None, None
        own = torch.ones(len(seen), seen.shape[-1], dtype=torch.bool, device=seen.device)
        if lengths is not None and (n_steps := model.n_steps(lengths)) is not None:
            own = of_frames = own_columns(lengths, seen.shape[-1])
            of_steps = own_columns(n_steps, codes.shape[-1])
        for sums, (of_codes, of_input) in zip(total, smoothing, strict=True):
            smooth = filtered(seen, of_input, of_frames)
            by_codes = model.decode(filtered(codes, of_codes, of_steps), lengths)
            by_input = model.decode(model.encode(smooth, lengths), lengths)
            for number, answer in enumerate((by_codes, by_input, smooth)):
                errors = (answer.float() - seen.float()).square() * own[:, None, None]
                sums[number] += float(errors.cpu().sum(dtype=torch.float64))  # some GPUs have no doubles
        n += int(own.sum()) * seen.shape[1] * seen.shape[2]
    return dict(zip(SWEPT, (total / n).T, strict=True))


@torch.no_grad()
def shift_distances(
    encode: Encode, batches: Batches, n_shifts: int, time_pool: int
) -> tuple[np.ndarray, int]:
    """Compares codes of the input moved by s frames with the codes of the unmoved input s / time_pool later.

    Between steps codes are interpolated linearly. The same steps, in the middle of each sample, are compared
    for all shifts.

    Returns:
        For each shift the mean squared difference over the variance of the codes over time: 0 where codes do
        nothing but move along, 2 where they are as different as unrelated ones, not a number where they are
        constant; and the number of samples that are long enough to be compared.
    """
    errors, variance, n_samples = np.zeros(n_shifts), 0.0, 0
    for seen, lengths in batches:
        codes = encode(seen, lengths).flatten(1, -2).float()  # (batch, codes, steps)
        n_all = [codes.shape[-1]] * len(codes)
        if lengths is not None:
            n_all = (-(-lengths // time_pool)).tolist()
        compared = [(row, *middle(n, n_shifts, time_pool)) for row, n in enumerate(n_all)]
        compared = [(row, first, n) for row, first, n in compared if n > 0]
        for row, first, n in compared:
            own = codes[row, :, first : first + n].cpu().double()
            variance += float((own - own.mean(1, keepdim=True)).square().sum())
        n_samples += len(compared)
        for shift in range(1, n_shifts + 1) if compared else ():
            later = encode(*moved(seen, lengths, shift)).flatten(1, -2).float()
            whole, rest = divmod(shift, time_pool)
            for row, first, n in compared:
                there, after = (codes[row, :, at : at + n] for at in (first + whole, first + whole + 1))
                off = later[row, :, first : first + n] - there.lerp(after, rest / time_pool)
                errors[shift - 1] += float(off.square().cpu().sum(dtype=torch.float64))
    return errors / (variance or np.nan), n_samples


def middle(n_steps: int, n_shifts: int, time_pool: int) -> tuple[int, int]:
    """Returns the first of the steps of a sample that are compared, and their number."""
    edge = max(1, n_steps // EDGE)
    return edge, n_steps - 2 * edge - -(-n_shifts // time_pool)


def most_shifts(n_steps: int, time_pool: int) -> int:
    """Returns by how many frames a sample of so many steps of codes can be moved, so that a quarter of them,
    and two at least, are compared.
    """
    return max(0, n_steps - 2 * max(1, n_steps // EDGE) - max(2, n_steps // 4)) * time_pool


def moved(seen: Tensor, lengths: Tensor | None, shift: int) -> tuple[Tensor, Tensor | None]:
    """Returns samples from frame `shift` on, as wide as before, and their lengths.

    Behind them stand zeros, or the last frame again where all frames are the samples' own.
    """
    if lengths is not None:
        return F.pad(seen[..., shift:], (0, shift))[..., : seen.shape[-1]], (lengths - shift).clamp(min=1)
    last = seen[..., -1:].expand(*seen.shape[:-1], shift)
    return torch.cat([seen[..., shift:], last], dim=-1)[..., : seen.shape[-1]], None
