"""What to look at in recordings, and what to choose by it, before training."""

from collections import Counter

import pandas as pd

from saec.faults import listing
from saec.sound.durations import Durations

UNEVEN = 3  # times the median, from which the longest recordings are too long to be taken whole
FEWEST = 2  # recordings that a class needs to be on both sides of a split


def remarks_on(found: Durations, table: pd.DataFrame) -> list[str]:
    """What to look at, and what to choose, before training."""
    lists = {
        "cannot be read": [f"{name} {why}" for name, why in found.unreadable.items()],
        "are silent: no sample but 0": [name for name, one in found.heard.items() if one.silent],
        "are clipped: samples in a row at full scale": [
            name for name, one in found.heard.items() if one.clipped
        ],
    }
    remarks = [
        f"{len(names):,} recordings {what}:\n{listing(names)}" for what, names in lists.items() if names
    ]
    if len(table):
        remarks += [*_on_sound(table), *_on_classes(table)]
    return remarks


def _on_sound(table: pd.DataFrame) -> list[str]:
    remarks = []
    rates, channels = Counter(table["rate_hz"]), Counter(table["channels"])
    if len(rates) > 1:
        remarks.append(
            f"recordings have {len(rates)} sampling rates, {counted(rates)}: choose the lowest, sample_rate: "
            f"{min(rates)}, or the top of some spectra holds nothing"
        )
    if len(channels) > 1:
        remarks.append(
            f"recordings have different numbers of channels, {counted(channels)}: the mean of them is taken, "
            "if no channel is chosen"
        )
    median, long = table["duration_s"].quantile([0.5, 0.95])
    if long > UNEVEN * median:
        remarks.append(
            f"lengths are very uneven: one in twenty is longer than {long:.3g} s, half are shorter than "
            f"{median:.3g} s: cut recordings into segments, such as segment_s: {median:.2g}"
        )
    return remarks


def _on_classes(table: pd.DataFrame) -> list[str]:
    counts = Counter(table["class"])
    without = counts.pop("", 0)
    remarks = []
    if counts and without:
        remarks.append(f"{without:,} recordings lie in no class folder and have no label")
    if len(counts) == 1:
        remarks.append(f"there is one class only, {next(iter(counts))}: nothing can be told apart")
    few = [f"{name}: {n}" for name, n in sorted(counts.items()) if n < FEWEST]
    if few:
        remarks.append(
            f"{len(few)} classes have fewer than {FEWEST} recordings that can be read and cannot be on both "
            f"sides of a split: add recordings, or leave the classes out:\n{listing(few)}"
        )
    return remarks


def counted(found: Counter) -> str:
    """Each value with how often it is there, the most frequent first."""
    return ", ".join(
        f"{one:,} ({n:,})" if isinstance(one, int) else f"{one} ({n:,})" for one, n in found.most_common()
    )
