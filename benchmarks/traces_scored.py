"""Scores codes by the gestures that traces were made of: how well they follow activations and their peaks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import convolve1d
from scipy.optimize import linear_sum_assignment
from scipy.signal import find_peaks

from benchmarks.gestures import RATE_HZ, Gestures

MOVED = np.arange(-12, 13)  # frames: when within a movement its activation stands in a code is a convention
SMOOTHED = (0, 7, 13)  # frames of a Hann window that codes are smoothed by; gestures are as long as that
HEIGHTS = np.arange(0.1, 0.9, 0.1)  # of the largest values of a code, which peaks are above
TOLERANCE_S = 0.05
APART_S = 0.08


@dataclass(frozen=True)
class Match:
    """Says which half (positive or negative values) of which code stands for a primitive, and what moves it.

    Its peaks are those above a share `height` of its largest values.
    """

    half: int
    frames: int
    height: float = 0.0

    def follow(self, halves: np.ndarray) -> np.ndarray:
        """Returns (frames,), what the code says of the activation."""
        return np.roll(halves[:, self.half], -self.frames)


def recovery(
    valid: tuple[list[np.ndarray], list[Gestures]], test: tuple[list[np.ndarray], list[Gestures]]
) -> dict[str, float]:
    """Returns the mean correlation and F1 of primitives on the test files, by matches on validation files.

    Each primitive is matched with a half of a code, no half with two, so that the sum of correlations is
    largest. How much codes are smoothed is chosen on validation files, too: the same for all.
    """
    truth = together([one.activations for one in valid[1]])
    tried = {n: matched(halves(valid[0], n), truth) for n in SMOOTHED}
    scores = {n: float(np.mean([score for _, score in tried[n]])) for n in SMOOTHED}
    smoothed = max(SMOOTHED, key=scores.get)
    seen = halves(valid[0], smoothed)
    matches = [
        replace(match, height=_best_height(match.follow(seen), _peaks(valid[1], k)))
        for k, (match, _) in enumerate(tried[smoothed])
    ]
    seen, truth = halves(test[0], smoothed), together([one.activations for one in test[1]])
    followed = [match.follow(seen) for match in matches]
    correlations = [float(_correlations(one[:, None], truth[:, [k]])[0, 0]) for k, one in enumerate(followed)]
    f1 = [
        f1_of_peaks(peaks_above(one, match.height), _peaks(test[1], k))
        for k, (one, match) in enumerate(zip(followed, matches, strict=True))
    ]
    return {
        "recovery": float(np.mean(correlations)),
        "worst": min(correlations),
        "f1": float(np.mean(f1)),
        "valid": scores[smoothed],
        "smoothed": smoothed,
    }


def halves(files: Sequence[np.ndarray], smoothed: int) -> np.ndarray:
    """Returns the positive and the negative half of codes of all files, (frames, 2 codes)."""
    codes = together(files)
    if smoothed:
        window = np.hanning(smoothed + 2)
        codes = convolve1d(codes, window / window.sum(), axis=0)
    return np.concatenate([np.maximum(codes, 0), np.maximum(-codes, 0)], axis=1)


def together(files: Sequence[np.ndarray]) -> np.ndarray:
    """Returns all frames of files (frames, n), with zeros between files, over which nothing is moved."""
    return np.concatenate([np.pad(of, ((MOVED[-1], MOVED[-1]), (0, 0))) for of in files]).astype(np.float32)


def matched(codes: np.ndarray, truth: np.ndarray) -> list[tuple[Match, float]]:
    """Returns a match for each column of the truth, and its correlation, of (frames, n) both."""
    scores = np.stack([_correlations(truth, np.roll(codes, -frames, axis=0)) for frames in MOVED])
    best, most = scores.argmax(axis=0), scores.max(axis=0)  # (primitives, halves)
    rows, columns = linear_sum_assignment(most, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(Match(half, int(MOVED[best[k, half]])), float(most[k, half])) for k, half in pairs]


def f1_of_peaks(found: np.ndarray, truth: np.ndarray) -> float:
    """Returns the F1 of peaks (frames, in order): one of each within the tolerance makes a pair."""
    hits, at = 0, 0
    for frame in truth:
        while at < len(found) and found[at] < frame - TOLERANCE_S * RATE_HZ:
            at += 1
        if at < len(found) and found[at] <= frame + TOLERANCE_S * RATE_HZ:
            hits, at = hits + 1, at + 1
    return 2 * hits / max(len(found) + len(truth), 1)


def peaks_above(values: np.ndarray, height: float) -> np.ndarray:
    """Returns the frames of peaks of a code, above a share of its largest values."""
    top = np.quantile(values, 0.999)
    return find_peaks(values, height=height * top, distance=round(APART_S * RATE_HZ))[0] if top > 0 else []


def _best_height(values: np.ndarray, truth: np.ndarray) -> float:
    return float(max(HEIGHTS, key=lambda height: f1_of_peaks(peaks_above(values, height), truth)))


def _peaks(files: Sequence[Gestures], primitive: int) -> np.ndarray:
    """Returns the frames of peaks in all files together."""
    starts = np.cumsum([0, *(len(one.trace) + 2 * MOVED[-1] for one in files)]) + MOVED[-1]
    return np.concatenate([one.peaks[primitive] + at for one, at in zip(files, starts, strict=False)])


def _correlations(truth: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Returns (columns of truth, columns of codes); 0 where one has no deviation."""
    a, b = (of - of.mean(axis=0) for of in (truth, codes))
    norms = np.linalg.norm(a, axis=0)[:, None] * np.linalg.norm(b, axis=0)
    return np.divide(a.T @ b, norms, out=np.zeros(norms.shape, a.dtype), where=norms > 0)
