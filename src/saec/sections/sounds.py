"""The section on recordings: what there is before any training, and what to choose by it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from saec import figures
from saec.config import Config
from saec.faults import Fault, MissingFault, listing
from saec.progress import duration
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sound.durations import Durations, look_through
from saec.sound.listed import TABLES, Listed, header, list_sound

OVERLAID = 10  # classes up to which the figure tells them apart
ALL = "all"
UNEVEN = 3  # times the median, from which the longest recordings are too long to be taken whole
FEWEST = 2  # recordings that a class needs to be on both sides of a split


@SECTIONS.register("sounds")
class Sounds:
    """Looks through the recordings below a folder, of several class folders, or of a table."""

    position = 100

    def __init__(self, inputs: Inputs, *, inspect: bool = True):
        self.n_workers = inputs.config.n_workers
        self.paths, self.listed = "", []
        if inputs.sounds and (inspect or not inputs.has_features):
            listed = inputs.check("sounds", find_sounds, inputs.sounds, inputs.config)
            self.paths, self.listed = listed or ("", [])

    def describe(self) -> list[str]:
        return [f"to look through: {len(self.listed):,} recordings of {self.paths}"] if self.listed else []

    def write(self, folder: Path) -> list[Content]:
        if not self.listed:
            return []
        found = look_through(self.listed, self.n_workers)
        table = _table(found)
        content = Content(f"Recordings of {self.paths}", folder, remarks_on(found, table))
        content.tables["Recordings"] = _summary(found, table)
        if found.unreadable:
            bad = pd.DataFrame(found.unreadable.items(), columns=["file", "reason"])
            content.write("sounds_unreadable.csv", bad, "recordings that cannot be read, and why")
            content.tables["Recordings that cannot be read"] = bad
        if len(table):
            content.write("sounds_durations.csv", table, "one row a recording")
            content.tables["Durations in seconds"] = _durations(table)
            _draw(table, content)
        return [content]


def find_sounds(paths: tuple[str, ...], config: Config) -> tuple[str, list[Listed]]:
    """Lists a folder of recordings, several class folders, or one table; returns their paths in words, too.

    Raises:
        MissingFault: there is no such folder or table, or no recording in one.
        Fault: two class folders have one name, or no recording can be opened.
    """
    folders = tuple(config.data_path(path) for path in paths)
    for folder in folders:
        is_table = len(folders) == 1 and folder.is_file() and folder.suffix.lower() in TABLES
        if not folder.is_dir() and not is_table:
            problem = "is a file" if folder.exists() else "is not there"
            raise MissingFault(
                f"{folder} {problem}: a folder of recordings is expected, or a list of class folders, "
                f"or one table of recordings ({' or '.join(TABLES)})"
            )
    listed, words = list_sound(folders[0] if len(folders) == 1 else folders), ", ".join(map(str, folders))
    if not any(header(one.path) for one in listed):
        raise Fault(
            f"none of the {len(listed):,} recordings of {words} can be opened as sound, such as "
            f"{listed[0].name}: look whether they were copied whole"
        )
    return words, listed


def _table(found: Durations) -> pd.DataFrame:
    """Returns file, class, duration_s, rate_hz, channels, format, peak."""
    rows = [
        {"file": name, "class": found.labels[name], "duration_s": one.duration_s, "rate_hz": one.rate_hz}
        | {"channels": one.n_channels, "format": one.format, "peak": one.peak}
        for name, one in found.heard.items()
    ]
    return pd.DataFrame(rows)


def _durations(table: pd.DataFrame) -> pd.DataFrame:
    """Returns one row for all recordings and, where there are any, one for each class."""
    parts = [(ALL, table["duration_s"])]
    if (table["class"] != "").any():
        parts += [(name or "no class", part["duration_s"]) for name, part in table.groupby("class")]
    rows = [
        {"class": name, "recordings": len(of), "total": of.sum()}
        | {key: getattr(of, key)() for key in ("mean", "median", "min", "max")}
        | {f"{percent}th percentile": of.quantile(percent / 100) for percent in (5, 95)}
        for name, of in parts
    ]
    return pd.DataFrame(rows)


def _summary(found: Durations, table: pd.DataFrame) -> pd.DataFrame:
    columns = {"sampling rates (Hz)": "rate_hz", "channels": "channels", "formats": "format"}
    several = {
        what: counted(Counter(table[column])) if len(table) else "" for what, column in columns.items()
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


def _draw(table: pd.DataFrame, content: Content) -> None:
    classes = np.unique(table["class"].to_numpy(dtype=str))
    separate = 1 < len(classes) <= OVERLAID
    of = {name or "no class": part for name, part in table.groupby("class")} if separate else {ALL: table}
    values = {name: part["duration_s"].to_numpy() for name, part in of.items()}
    name = "sounds_durations.png"
    figures.histograms(content.folder / name, values, "Durations of recordings", "duration (s)", "recordings")
    content.add_figure(name, "Durations of recordings" + (", by class" if separate else ""))


def remarks_on(found: Durations, table: pd.DataFrame) -> list[str]:
    """Returns what to look at, and what to choose, before training."""
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
    """Returns each value with how often it is there, the most frequent first."""
    return ", ".join(
        f"{one:,} ({n:,})" if isinstance(one, int) else f"{one} ({n:,})" for one, n in found.most_common()
    )
