"""Writes each set as a page to explore and as wide tables of features."""

import math
from contextlib import suppress
from pathlib import Path
from posixpath import basename
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from saec.data.kind import evenly
from saec.data.png import SIDECAR, sidecar_axes, size_of
from saec.documents import read_mapping
from saec.explorer.page import Points, Space, write_explorer
from saec.explorer.sounds import MB, Stretch
from saec.faults import Fault, Unusable, did_you_mean, number_of
from saec.files import as_file_name, map_npz
from saec.preparation.pictures import ABOUT
from saec.registry import Strict
from saec.samples import Samples, recording_of
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.sets import FeatureSet, about_of, reductions_of
from saec.session import Count
from saec.sound.files import header
from saec.tables import Table, frequencies_of, require_parquet

SIZED_BY = 1_000  # numbers, evenly spaced, by which the size of a CSV is estimated


class ExplorerOptions(Strict):
    """Limits the page to `limit` pictures, and the small pictures and the sounds in it to so many MB each."""

    limit: Count = 20_000
    thumbnails_mb: Annotated[float, Field(ge=0)] = 6.0
    sounds_mb: Annotated[float, Field(ge=0)] = 12.0
    color: str | None = None


DEFAULTS = ExplorerOptions()


@SECTIONS.register("explorer")
class Explorer:
    """Writes `explorer.html`, with the set's name where there are several sets."""

    position = 30

    def __init__(self, inputs: Inputs, *, explorer: ExplorerOptions | None = DEFAULTS):
        self.pages = [(one, explorer) for one in inputs.sets.values()] if explorer else []
        self.page = inputs.reports / "report"  # reports lie side by side: any name leads to the same pictures
        for one, options in self.pages:
            inputs.check("explorer.color", _require_column, options.color, one)

    def describe(self) -> list[str]:
        return [f"{one.name}: a page to explore" for one, _ in self.pages]

    def write(self, folder: Path) -> list[Content]:
        content = Content("Explorer", folder)
        for one, options in self.pages:
            name = "explorer.html" if len(self.pages) == 1 else f"explorer_{as_file_name(one.name)}.html"
            self._write_page(one, options, folder / name, content)
            what = "map, neighbours, clusters, names for a selection"
            content.files[name] = f"explore the {one.samples_are}: {what}"
        return [content]

    def _write_page(self, one: FeatureSet, options: ExplorerOptions, file: Path, content: Content) -> None:
        shown = np.array(evenly(range(len(one.samples)), options.limit))
        if len(shown) < len(one.samples):
            words = f"{len(shown):,} of the {one.samples_are}, evenly spread"
            content.remarks.append(f"the explorer shows {words}")
        spaces = {
            method: Space.of(np.asarray(table.rows)[shown], one.layouts[method][shown])
            for method, table in one.scored.items()
        }
        samples = one.samples.subset(shown)
        columns = {"label": samples.labels} if one.samples.classes else {}
        columns |= {"recording": samples.groups}
        columns |= {name: samples.table[name].to_numpy() for name in samples.others if name != "time"}
        clustered = [result for result in one.results if not result.is_probe]
        columns |= {result.words: result.scores.predicted[shown] for result in clustered}
        clusters = {result.words: result.method for result in clustered}
        of = stretches_of(one, samples)
        points = Points(samples.names, spaces, columns, clusters, of, one.samples_are)
        how = options.model_dump(exclude={"limit"})
        title = f"{one.name}: {number_of(len(shown), one.samples_are)}"
        left_out = write_explorer(file, points, title, one.images, **how, final=self.page)
        if left_out:
            words = ", ".join(left_out)
            content.remarks.append(f"the explorer is not coloured by {words}: too many words, or none")


def stretches_of(one: FeatureSet, samples: Samples) -> list[Stretch]:
    """Returns what each sample is of, as far as the table of samples, its name and the recordings say it.

    Its band is the box that a table gives it, else what all samples show.
    """
    paths = dict(one.recordings.paths) if one.recordings else {}
    band, seconds = None, None
    if one.images:
        with suppress(Fault, KeyError, TypeError, ValueError, Unusable):  # as other makers write it, or not
            about = read_mapping(one.images / SIDECAR)
            rate, seconds = float(about["sampling_frequency"]), float(about["segment_duration_sec"])
            band = 0.0, rate / 2
            band = sidecar_axes(one.images, size_of(one.images / str(samples.names[0]))).band or band
        with suppress(Fault, KeyError, TypeError):
            folder = Path(read_mapping(one.images / ABOUT)["settings"]["recordings"])
            files = {*samples.files.tolist()}
            paths = {file: folder / file for file in files if (folder / file).is_file()} | paths
    elif one.tables:
        about = about_of(next(iter(one.tables.values())).file) or {}
        seconds, band = about.get("sample_s"), about.get("band_hz")
    if not band and (first := next((header(path) for path in paths.values()), None)):
        band = 0.0, first.samplerate / 2
    stems = {write(recording_of(file)): file for write in (basename, str) for file in paths}
    stretches, rows = [], zip(samples.begins, samples.table.iterrows(), strict=True)
    for start, (name, row) in rows:
        file, end = row["file"], row["end_s"]
        if file == name and file not in paths:  # nothing but the name says it
            file = stems.get(recording_of(name), recording_of(name))
        path = paths.get(file)
        if math.isnan(end) and not math.isnan(start):
            end = start + (seconds or math.nan)
        elif math.isnan(start) and path and (of_file := header(path)):
            start, end = 0.0, of_file.length_s
        stretches.append(Stretch(file, start, end, path, frequencies_of(row) or band))
    return stretches


def _require_column(color: str | None, one: FeatureSet) -> None:
    """Raises a `Fault` where a column is named and the page will have no such one."""
    clusters = [f"{evaluation.name} of {method}" for evaluation in one.evaluations for method in one.tables]
    further = [name for name in one.samples.others if name != "time"]
    columns = ["label", "recording", *further, *clusters]
    if color and color not in columns:
        raise Fault(f"no column {color!r} of set {one.name}, {did_you_mean(color, columns)}")


@SECTIONS.register("features")
class FeatureTables:
    """Writes `features_<set>_<method>`: file, label, group, features, and reductions.

    CSV of more than about `table_mb` is refused before anything is written.
    """

    position = 40

    def __init__(
        self,
        inputs: Inputs,
        *,
        table: Literal["csv", "parquet"] | None = "csv",
        table_mb: Annotated[float, Field(gt=0)] = 500.0,
    ):
        self.suffix, self.most = table, table_mb * MB
        self.sets = list(inputs.sets.values()) if table else []
        if table == "parquet":
            inputs.check("table", require_parquet)
        for one in self.sets if table == "csv" else ():
            inputs.check("table", self._refuse_large, one)

    def describe(self) -> list[str]:
        lines = [f"{one.name}: features as {self.suffix}" for one in self.sets]
        if self.suffix == "csv":
            sizes = [sum(map(csv_bytes, one.tables.values())) for one in self.sets]
            lines = [f"{line}, about {n / MB:,.1f} MB" for line, n in zip(lines, sizes, strict=True)]
        return lines

    def _refuse_large(self, one: FeatureSet) -> None:
        for method, table in one.tables.items():
            if (n_bytes := csv_bytes(table)) > self.most:
                n, width = table.rows.shape
                raise Fault(
                    f"{one.name}: the CSV of {method} ({n:,} rows of {width:,} features) takes about "
                    f"{n_bytes / MB:,.0f} MB, more than `table_mb: {self.most / MB:g}`: choose a `pooling` "
                    "that leaves fewer features, `table: parquet`, `table: null`, or a larger `table_mb`"
                )

    def write(self, folder: Path) -> list[Content]:
        content = Content("Features as tables", folder)
        for one in self.sets:
            columns = {"file": one.names, "label": one.samples.labels, "group": one.samples.groups}
            samples = pd.DataFrame(columns)
            for method, table in one.tables.items():
                name = as_file_name(f"features_{one.name}_{method}") + f".{self.suffix}"
                what = f"features and reductions of {method}, one row a sample"
                content.write(name, pd.concat([samples, *_features(table)], axis=1), what)
        return [content]


def csv_bytes(table: Table) -> int:
    """Returns about how many bytes features take as CSV, by the text of a thousand of the numbers."""
    some = table.rows.flat[np.linspace(0, table.rows.size - 1, SIZED_BY).astype(np.int64)]
    letters = sum(len(str(value)) + 1 for value in np.asarray(some, dtype=np.float32)) / SIZED_BY
    return int(table.rows.size * letters) + sum(map(len, table.names.tolist()))


def _features(table: Table) -> list[pd.DataFrame]:
    """Returns the features, and the reductions that the same extraction has made of the same samples."""
    arrays = {"Feature_": np.asarray(table.rows, dtype=np.float32)}
    for file in reductions_of(table.file):
        if np.array_equal(map_npz(file, "N"), table.names):
            rows = np.array(map_npz(file, "X_red"))
            arrays[f"UMAP{rows.shape[1]}_"] = rows
    frames = [
        pd.DataFrame(rows, columns=[f"{stem}{column + 1}" for column in range(rows.shape[1])])
        for stem, rows in arrays.items()
    ]
    frames[0].columns = table.columns or frames[0].columns
    return frames
