"""The section on recordings: what there is before any training, and what to choose by it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from saec import figures
from saec.config import Config
from saec.faults import Fault, MissingFault, listing
from saec.progress import duration
from saec.report.section import Section
from saec.sound.durations import Durations, look_through
from saec.sound.listed import TABLES, Listed, header, list_sound
from saec.tables import write_table

OVERLAID = 10  # classes up to which the figure tells them apart
ALL = "all"


@dataclass(frozen=True)
class Sounds:
    """The recordings below one folder, of several class folders, or of a table."""

    folders: tuple[Path, ...]  # or the one table
    listed: list[Listed]

    @property
    def place(self) -> str:
        return ", ".join(map(str, self.folders))

    def __str__(self) -> str:
        return f"to look through: {len(self.listed):,} recordings of {self.place}"


def find_sounds(asked: tuple[str, ...], config: Config) -> Sounds:
    """What the session names: a folder of recordings, several class folders, or one table.

    Raises:
        MissingFault: there is no such folder or table, or no recording in one.
        Fault: two class folders have one name, or no recording can be opened.
    """
    folders = tuple(config.data_path(place) for place in asked)
    for folder in folders:
        is_table = len(folders) == 1 and folder.is_file() and folder.suffix.lower() in TABLES
        if not folder.is_dir() and not is_table:
            what = "is a file" if folder.exists() else "is not there"
            raise MissingFault(
                f"{folder} {what}: a folder of recordings is expected, or a list of class folders, "
                f"or one table of recordings ({' or '.join(TABLES)})"
            )
    listed = list_sound(folders[0] if len(folders) == 1 else folders)
    sounds = Sounds(folders, listed)
    if not any(header(one.path) for one in listed):
        raise Fault(
            f"none of the {len(listed):,} recordings of {sounds.place} can be opened as sound, such as "
            f"{listed[0].name}: look whether they were copied whole"
        )
    return sounds


def sounds_section(sounds: Sounds, n_workers: int, folder: Path) -> Section:
    """`sounds_durations.csv` and `.png` go into the folder, and a table of those that cannot be read."""
    found = look_through(sounds.listed, n_workers)
    table = _table(found)
    section = Section(f"Recordings of {sounds.place}", remarks_on(found, table))
    section.tables["Recordings"] = _summary(found, table)
    if found.unreadable:
        bad = pd.DataFrame(found.unreadable.items(), columns=["file", "reason"])
        write_table(folder / "sounds_unreadable.csv", bad)
        section.files["sounds_unreadable.csv"] = "recordings that cannot be read, and why"
        section.tables["Recordings that cannot be read"] = bad
    if len(table):
        write_table(folder / "sounds_durations.csv", table)
        section.files["sounds_durations.csv"] = "one row a recording"
        section.tables["Durations in seconds"] = _durations(table)
        _draw(table, section, folder)
    return section


def _table(found: Durations) -> pd.DataFrame:
    """file, class, duration_s, rate_hz, channels, format, peak."""
    rows = [
        {"file": name, "class": found.labels[name], "duration_s": one.duration_s, "rate_hz": one.rate_hz}
        | {"channels": one.n_channels, "format": one.format, "peak": one.peak}
        for name, one in found.heard.items()
    ]
    return pd.DataFrame(rows)


def _durations(table: pd.DataFrame) -> pd.DataFrame:
    """One row for all recordings and, where there are any, one for each class."""
    parts = [(ALL, table["duration_s"])]
    if (table["class"] != "").any():
        parts += [(name or "no class", part["duration_s"]) for name, part in table.groupby("class")]
    return pd.DataFrame(
        [
            {
                "class": name,
                "recordings": len(of),
                "total": of.sum(),
                "mean": of.mean(),
                "median": of.median(),
                "min": of.min(),
                "max": of.max(),
                "5th percentile": of.quantile(0.05),
                "95th percentile": of.quantile(0.95),
            }
            for name, of in parts
        ]
    )


def _summary(found: Durations, table: pd.DataFrame) -> pd.DataFrame:
    several = {
        what: counted(Counter(table[column])) if len(table) else ""
        for what, column in (
            ("sampling rates (Hz)", "rate_hz"),
            ("channels", "channels"),
            ("formats", "format"),
        )
    }
    rows = {
        "recordings": f"{len(found.heard) + len(found.unreadable):,}",
        "cannot be read": f"{len(found.unreadable):,}",
        "total time": duration(sum(one.duration_s for one in found.heard.values())),
        "classes": f"{len(set(found.labels.values()) - {''}):,}",
        **several,
        "silent": f"{sum(one.silent for one in found.heard.values()):,}",
        "clipped": f"{sum(one.clipped for one in found.heard.values()):,}",
    }
    return pd.DataFrame({"what": rows.keys(), "found": rows.values()})


def _draw(table: pd.DataFrame, section: Section, folder: Path) -> None:
    classes = np.unique(table["class"].to_numpy(dtype=str))
    told_apart = 1 < len(classes) <= OVERLAID
    of = {name or "no class": part for name, part in table.groupby("class")} if told_apart else {ALL: table}
    values = {name: part["duration_s"].to_numpy() for name, part in of.items()}
    name = "sounds_durations.png"
    figures.histograms(folder / name, values, "Durations of recordings", "duration (s)", "recordings")
    section.drawn(folder, name, "Durations of recordings" + (", by class" if told_apart else ""))


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
