"""Describes what folders and tables hold before any training, and what options suit them."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saec import figures
from saec.config import Config
from saec.data.ahead import ahead
from saec.data.audio import Recordings
from saec.faults import Fault, Unusable, counted, number_of
from saec.inspection import MEASURED, MOST_SIZES, in_words
from saec.inspection import inspect as inspect_pictures
from saec.progress import duration, progress
from saec.runs import Run
from saec.runs.find import find_trained
from saec.runs.run import SPLIT
from saec.samples import read_annotations, written_alike
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.labels import picture_folder, recordings_of
from saec.sound.files import header, stream

OVERLAID = 10  # classes up to which the figure tells them apart
MOST_ROWS = 20  # of a table on the page; files have all of them
ALL, NO_CLASS = "all", "no class"
UNEVEN = 3  # times the median, from which the longest recordings are too long to be taken whole
FEWEST = 2  # recordings that a class needs to be on both sides of a split
FULL = 1 - 2**-15  # of full scale: the largest value of 16 bits; sound with three in a row is clipped
STATISTICS: dict[str, Any] = {"recordings": "size", "total": "sum"}
STATISTICS |= {key: key for key in ("mean", "median", "min", "max")}
STATISTICS |= {"5th percentile": lambda part: part.quantile(0.05)}
STATISTICS |= {"95th percentile": lambda part: part.quantile(0.95)}
COLUMNS = ["file", "class", "duration_s", "rate_hz", "channels", "format", "peak"]


@SECTIONS.register("pictures")
class Pictures:
    """Looks through the folders of the sets, and the one that the session names alone.

    `inspect` may also be a run, whose split of the pictures is looked at, or a folder of validation pictures.
    """

    position = 90

    def __init__(self, inputs: Inputs, *, inspect: bool | str = True):
        self.n_workers, self.sides = inputs.config.n_workers, {}
        folders = [one.images for one in inputs.sets.values() if one.images] if inspect else []
        if inspect and inputs.images and not inputs.has_features:
            folder = inputs.check("images", picture_folder, inputs.images, inputs.config)
            folders += [folder] if folder else []
        self.folders = list(dict.fromkeys(folders))
        if isinstance(inspect, str):
            self.sides = inputs.check("inspect", _sides, inspect, inputs.config) or {}

    def describe(self) -> list[str]:
        return [f"to look through: {folder}" for folder in self.folders]

    def write(self, folder: Path) -> list[Content]:
        contents = []
        for number, images in enumerate(self.folders):
            result = inspect_pictures(images, self.n_workers, **self.sides)
            content = Content(f"Pictures of {images}", folder, result.remarks())
            stem = f"pictures_{number + 1}" if number else "pictures"
            content.tables["Pictures"] = _summary(
                {
                    "pictures": len(result.names),
                    "cannot be read": len(result.unreadable),
                    "size on disk": f"{result.n_bytes / 1e6:,.1f} MB",
                    "width x height (pixels)": in_words(result.sizes, MOST_SIZES),
                    "modes": in_words(result.modes, MOST_SIZES),
                    "blank": len(result.blank),
                    "all but the same as another": len(result.alike),
                }
                | ({} if result.are_photos else {"recordings": len(result.recordings)})
            )
            content.findings.append(f"{number_of(len(result.names), 'pictures were looked through')}.")
            content.doubts = _in_few_words("pictures", result.doubtful)
            if not result.are_photos:
                recordings = pd.DataFrame(result.recordings.most_common(), columns=["recording", "pictures"])
                content.write(f"{stem}_recordings.csv", recordings, "pictures by recording")
                content.tables["Recordings with the most pictures"] = recordings.head(MOST_ROWS)
            content.write(f"{stem}_table.csv", rows := pd.DataFrame(result.rows), "one row a picture")
            if len(rows):
                sides = rows["split"] if "split" in rows else pd.Series(ALL, rows.index, name="split")
                caption = "Medians of what pictures_table.csv has of each picture, in levels of 255"
                content.tables[caption] = rows.groupby(sides)[MEASURED].median().reset_index()
            alike = pd.DataFrame(result.alike, columns=["file", "like", "correlation"])
            content.write(f"{stem}_alike.csv", alike, "pictures that are all but the same")
            what = result.levels_are
            words = (f"{what.capitalize()} of all pixels", f"{what} (0 to 255)", "pixels")
            caption = f"{what.capitalize()} of all pixels of all pictures that can be read"
            content.draw(f"{stem}_intensity.png", caption, figures.histogram, result.levels, *words)
            if result.splits and not result.levels_by_split:
                content.remarks.append("none of these pictures is in the split that `inspect` names")
            if result.levels_by_split:
                parts = result.levels_by_split.items()
                curves = {side: (np.arange(256), of / max(1, of.sum())) for side, of in parts}
                title = f"{what.capitalize()} on each side of the split"
                words = (title, f"{what} (0 to 255)", "share of the pixels")
                content.draw(f"{stem}_intensity_split.png", title, figures.lines, curves, *words)
            contents.append(content)
        return contents


def _sides(named: str, config: Config) -> dict[str, Any]:
    """Returns what `inspect` takes of a folder of validation pictures, or of the split of a run."""
    if (folder := config.data_path(named)).is_dir() and Run.at(folder) is None:
        return {"valid": picture_folder(named, config)}
    run = find_trained(named, config)
    if isinstance(run, Run) and isinstance(run.data.valid, str):
        return {"valid": picture_folder(run.data.valid, config)}
    if not (isinstance(run, Run) and run.data.has_part and (run.folder / SPLIT).is_file()):
        words = f"{run.folder} has no {SPLIT} of one folder"
        raise Fault(f"{words}: name a run that has one, or a folder of validation pictures")
    table = read_annotations(run.folder / SPLIT, ("file",))
    return {"splits": dict(zip(table["file"], table["split"], strict=True))}


@SECTIONS.register("sounds")
class Sounds:
    """Looks through the recordings below a folder, of several class folders, or of a table, or one alone."""

    position = 100

    def __init__(self, inputs: Inputs, *, inspect: bool | str = True):
        self.n_workers = inputs.config.n_workers
        self.recordings: dict[str, Recordings] = {}  # by the paths that the session names
        if inputs.sounds and (inspect or not inputs.has_features):
            recordings = inputs.check("sounds", _find_sounds, inputs.sounds, inputs.config)
            self.recordings = {", ".join(inputs.sounds): recordings} if recordings else {}

    def describe(self) -> list[str]:
        items = self.recordings.items()
        return [f"to look through: {len(of.listed):,} recordings of {paths}" for paths, of in items]

    def write(self, folder: Path) -> list[Content]:
        return [self._written(folder, paths, of) for paths, of in self.recordings.items()]

    def _written(self, folder: Path, paths: str, recordings: Recordings) -> Content:
        table, unreadable = read_through(recordings, self.n_workers)
        silent, clipped = (table["file"][of].tolist() for of in (table["peak"] == 0, table["clipped"] == 1))
        doubtful = {"cannot be read": [f"{row.file} {row.reason}" for row in unreadable.itertuples()]}
        doubtful |= {"are silent: no sample but 0": silent}
        doubtful |= {"are clipped: samples in a row at full scale": clipped}
        content = Content(f"Recordings of {paths}", folder, _remarks(table, doubtful))
        total = duration(table["duration_s"].sum())
        content.tables["Recordings"] = _summary(
            {
                "recordings": len(table) + len(unreadable),
                "cannot be read": len(unreadable),
                "total time": total,
                "classes": len({*table["class"]} - {""}),
                "sampling rates (Hz)": in_words(Counter(table["rate_hz"].tolist())),
                "channels": in_words(Counter(table["channels"].tolist())),
                "formats": in_words(Counter(table["format"].tolist())),
                "silent": len(silent),
                "clipped": len(clipped),
            }
        )
        content.findings.append(f"{len(table):,} recordings ({total}) were read.")
        content.doubts = _in_few_words("recordings", doubtful)
        what = "recordings that cannot be read, and why"
        content.write("sounds_unreadable.csv", unreadable, what, "Recordings that cannot be read")
        content.write("sounds_durations.csv", table[COLUMNS], "one row a recording")
        if table.empty:
            return content
        content.tables["Durations in seconds"] = _durations(table)
        separate = 1 < table["class"].nunique() <= OVERLAID
        of = {name or NO_CLASS: part for name, part in table.groupby("class")} if separate else {ALL: table}
        values = {name: part["duration_s"].to_numpy() for name, part in of.items()}
        title, words = "Durations of recordings", ("duration (s)", "recordings")
        caption = title + (", by class: folder, or label of the table" if separate else "")
        content.draw("sounds_durations.png", caption, figures.histograms, values, title, *words)
        return content


def _find_sounds(paths: tuple[str, ...], config: Config) -> Recordings:
    """Lists recordings; raises a `Fault` where none can be opened."""
    recordings = recordings_of(paths, config, several="first")  # whatever labels their rows have
    if not any(header(path) for path in recordings.paths.values()):
        raise Fault(
            f"none of the {len(recordings.paths):,} recordings of {', '.join(paths)} can be opened as sound, "
            f"such as {next(iter(recordings.paths))}: look whether they were copied whole"
        )
    return recordings


def read_through(recordings: Recordings, n_workers: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns what each recording holds (COLUMNS and clipped), and file and reason of those unreadable."""
    labels = dict(zip(recordings.listed.files.tolist(), recordings.listed.labels.tolist(), strict=True))
    read = ahead(_read, recordings.paths.values(), 2 * n_workers, max(1, n_workers))
    shown = progress(read, "listening", len(recordings.paths), " recordings")
    pairs = zip(recordings.paths, shown, strict=True)
    rows = [{"file": file, "class": labels[file]} | row for file, row in pairs]
    unreadable = [row for row in rows if "reason" in row]
    return (
        pd.DataFrame([row for row in rows if "reason" not in row], columns=[*COLUMNS, "clipped"]),
        pd.DataFrame(unreadable, columns=["file", "reason"]),
    )


def _read(path: Path) -> dict[str, Any]:
    """Returns what the mean of its channels holds, or the reason why a recording cannot be read."""
    about = header(path)
    n, peak, clipped = 0, 0.0, False
    try:
        for piece in stream(path, about.samplerate if about else 1):  # says why it cannot be opened
            size = np.abs(piece)
            n, peak = n + len(size), max(peak, float(size.max(initial=0)))
            full = size >= FULL
            clipped |= bool((full[2:] & full[1:-1] & full[:-2]).any())
    except (Unusable, OSError) as error:
        return {"reason": str(error)}
    if about is None or n == 0:
        return {"reason": "has no samples" if about else "could not be opened at first"}
    sizes: dict[str, Any] = {"duration_s": n / about.samplerate, "rate_hz": about.samplerate}
    sizes |= {"channels": about.channels}
    return sizes | {"format": f"{about.format} {about.subtype}", "peak": peak, "clipped": clipped}


def _durations(table: pd.DataFrame) -> pd.DataFrame:
    """Returns one row for all recordings and, where there are any, one for each class."""
    rows = [table.groupby(lambda row: ALL)["duration_s"].agg(**STATISTICS)]
    if (table["class"] != "").any():
        rows.append(table.groupby("class")["duration_s"].agg(**STATISTICS).rename({"": NO_CLASS}))
    return pd.concat(rows).rename_axis("class").reset_index()


def _summary(rows: dict[str, Any]) -> pd.DataFrame:
    words = [f"{value:,}" if isinstance(value, int) else value for value in rows.values()]
    return pd.DataFrame({"what": rows.keys(), "found": words})


def _in_few_words(noun: str, doubtful: dict[str, list[str]]) -> list[str]:
    return [number_of(len(of), f"{noun} {what.partition(':')[0]}") for what, of in doubtful.items() if of]


def _remarks(table: pd.DataFrame, doubtful: dict[str, list[str]]) -> list[str]:
    """Returns what to look at, and what to choose, before training."""
    remarks = [remark for what, of in doubtful.items() for remark in counted(of, f"recordings {what}")]
    if table.empty:
        return remarks
    rates, channels, classes = (Counter(table[key].tolist()) for key in ("rate_hz", "channels", "class"))
    if len(rates) > 1:
        remarks.append(
            f"recordings have {len(rates)} sampling rates, {in_words(rates)}: choose the lowest, "
            f"sample_rate: {min(rates)}, or the top of some spectra holds nothing"
        )
    if len(channels) > 1:
        remarks.append(
            f"recordings have different numbers of channels, {in_words(channels)}: the mean of them is "
            "taken, if no channel is chosen"
        )
    median, long = table["duration_s"].quantile([0.5, 0.95])
    if long > UNEVEN * median:
        remarks.append(
            f"lengths are very uneven: one in twenty is longer than {long:.3g} s, half are shorter than "
            f"{median:.3g} s: cut recordings into segments, such as segment_s: {median:.2g}"
        )
    without = classes.pop("", 0)
    if classes and without:
        remarks.append(number_of(without, "recordings lie in no class folder and have no label"))
    if len(classes) == 1:
        remarks.append(f"there is one class only, {next(iter(classes))}: there is nothing to distinguish")
    few = [f"{name}: {n}" for name, n in sorted(classes.items()) if n < FEWEST]
    words = (
        f"classes have fewer than {FEWEST} recordings that can be read and cannot be on both sides of a "
        "split: add recordings, or leave the classes out"
    )
    return remarks + counted(few, words) + written_alike(sorted(classes))
