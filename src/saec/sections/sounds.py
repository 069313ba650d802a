"""The section on recordings: what there is before any training, and what to choose by it."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saec import figures
from saec.config import Config
from saec.faults import Fault, MissingFault, listing
from saec.progress import duration, progress
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sound.listed import TABLES, Listed, Unreadable, header, list_sound, stream

OVERLAID = 10  # classes up to which the figure tells them apart
ALL = "all"
UNEVEN = 3  # times the median, from which the longest recordings are too long to be taken whole
FEWEST = 2  # recordings that a class needs to be on both sides of a split
FULL = 1 - 2**-15  # of full scale: the largest value of 16 bits
N_FULL = 3  # samples in a row at full scale, from which sound is clipped
AT_ONCE = 64  # recordings in flight
COLUMNS = ["file", "class", "duration_s", "rate_hz", "channels", "format", "peak"]


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
        table, unreadable = look_through(self.listed, self.n_workers)
        content = Content(f"Recordings of {self.paths}", folder, remarks_on(table, unreadable))
        content.tables["Recordings"] = _summary(table, len(unreadable))
        if len(unreadable):
            what = "recordings that cannot be read, and why"
            content.write("sounds_unreadable.csv", unreadable, what)
            content.tables["Recordings that cannot be read"] = unreadable
        if len(table):
            content.write("sounds_durations.csv", table[COLUMNS], "one row a recording")
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


def look_through(listed: Sequence[Listed], n_workers: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decodes every recording once, block by block, and keeps nothing of the sound.

    Returns:
        What each recording holds, one row each (COLUMNS and clipped); and file and reason of those that
        cannot be read.
    """
    recordings = list({one.name: one for one in listed}.values())
    rows: list[dict[str, Any]] = []
    bar = progress(range(0, len(recordings), AT_ONCE), "listening", -(-len(recordings) // AT_ONCE))
    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        for start in bar:
            rows += pool.map(_look_at, recordings[start : start + AT_ONCE])
    unreadable = [row for row in rows if "reason" in row]
    return (
        pd.DataFrame([row for row in rows if "reason" not in row], columns=[*COLUMNS, "clipped"]),
        pd.DataFrame(unreadable, columns=["file", "reason"]),
    )


def _look_at(one: Listed) -> dict[str, Any]:
    """Returns what the mean of its channels holds, or the reason why a recording cannot be read."""
    about = header(one.path)
    n, peak, clipped = 0, 0.0, False
    try:
        for piece in stream(one.path, about.samplerate if about else 1):  # says why it cannot be opened
            size = np.abs(piece)
            n, peak = n + len(size), max(peak, float(size.max(initial=0)))
            full = size >= FULL
            clipped |= bool(
                full.any() and np.convolve(full, np.ones(N_FULL), "valid").max(initial=0) >= N_FULL
            )
    except (Unreadable, OSError) as error:
        return {"file": one.name, "reason": str(error)}
    if n == 0:
        return {"file": one.name, "reason": "has no samples"}
    sizes = {"duration_s": n / about.samplerate, "rate_hz": about.samplerate, "channels": about.channels}
    sizes |= {"format": f"{about.format} {about.subtype}", "peak": peak, "clipped": clipped}
    return {"file": one.name, "class": one.label} | sizes


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


def _summary(table: pd.DataFrame, n_unreadable: int) -> pd.DataFrame:
    columns = {"sampling rates (Hz)": "rate_hz", "channels": "channels", "formats": "format"}
    rows = {
        "recordings": f"{len(table) + n_unreadable:,}",
        "cannot be read": f"{n_unreadable:,}",
        "total time": duration(table["duration_s"].sum()),
        "classes": f"{len(set(table['class']) - {''}):,}",
        **{what: counted(Counter(table[column].tolist())) for what, column in columns.items()},
        "silent": f"{(table['peak'] == 0).sum():,}",
        "clipped": f"{table['clipped'].astype(bool).sum():,}",
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


def remarks_on(table: pd.DataFrame, unreadable: pd.DataFrame) -> list[str]:
    """Returns what to look at, and what to choose, before training."""
    lists = {
        "cannot be read": [f"{row.file} {row.reason}" for row in unreadable.itertuples()],
        "are silent: no sample but 0": table["file"][table["peak"] == 0].tolist(),
        "are clipped: samples in a row at full scale": table["file"][table["clipped"].astype(bool)].tolist(),
    }
    remarks = [
        f"{len(names):,} recordings {what}:\n{listing(names)}" for what, names in lists.items() if names
    ]
    if len(table):
        remarks += [*_on_sound(table), *_on_classes(table)]
    return remarks


def _on_sound(table: pd.DataFrame) -> list[str]:
    remarks = []
    rates, channels = Counter(table["rate_hz"].tolist()), Counter(table["channels"].tolist())
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


def counted(counts: Counter) -> str:
    """Returns each value with how often it is there, the most frequent first."""
    return ", ".join(
        f"{one:,} ({n:,})" if isinstance(one, int) else f"{one} ({n:,})" for one, n in counts.most_common()
    )
