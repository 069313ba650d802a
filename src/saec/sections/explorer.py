"""Every set becomes a page to explore: its pictures, their labels, every method's map and clusters."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from saec.data.files import evenly
from saec.explorer import Points, Space, write_explorer
from saec.faults import Fault, did_you_mean
from saec.files import as_file_name
from saec.registry import Strict
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.sets import FeatureSet, layouts_of
from saec.session import Count


class ExplorerOptions(Strict):
    """`limit` pictures at most on the page; small pictures of so many MB are put into it."""

    limit: Count = 20_000
    thumbnails_mb: Annotated[float, Field(ge=0)] = 6.0
    color: str | None = None


DEFAULTS = ExplorerOptions()


@SECTIONS.register("explorer")
class Explorer:
    """Writes `explorer.html`, with the set's name where there are several sets."""

    position = 30

    def __init__(self, inputs: Inputs, *, explorer: ExplorerOptions | None = DEFAULTS):
        self.options = explorer
        self.sets = list(inputs.sets.values()) if explorer else []
        self.page = inputs.reports / "report"  # reports lie side by side: any name leads to the same pictures
        for one in self.sets if explorer and explorer.color else ():
            inputs.check("explorer.color", _require_column, explorer.color, one)

    def describe(self) -> list[str]:
        return [f"{one.name}: a page to explore" for one in self.sets]

    def write(self, folder: Path) -> list[Content]:
        content = Content("Explorer", folder)
        for one in self.sets:
            name = "explorer.html" if len(self.sets) == 1 else f"explorer_{as_file_name(one.name)}.html"
            self._write_page(one, folder / name, content)
            content.files[name] = "explore the pictures: map, neighbours, clusters, names for a selection"
        return [content] if self.sets else []

    def _write_page(self, one: FeatureSet, file: Path, content: Content) -> None:
        shown = np.array(evenly(range(len(one.samples)), self.options.limit))
        if len(shown) < len(one.samples):
            content.remarks.append(f"the explorer shows {len(shown):,} of the pictures, evenly spread")
        layouts = layouts_of(one)
        spaces = {
            method: Space.of(np.asarray(table.rows)[shown], layouts[method][shown])
            for method, table in one.scored.items()
        }
        samples = one.samples.subset(shown)
        columns = {"label": samples.labels} if len(one.samples.classes) else {}
        columns |= {"recording": samples.groups} | {
            name: samples.table[name].to_numpy() for name in samples.others
        }
        clusters = {}
        for result in one.results:
            if not result.is_probe and result.scores.predicted is not None:
                name = f"{result.evaluation} of {result.method}"
                columns[name] = result.scores.predicted[shown]
                clusters[name] = result.method
        points = Points(samples.names, spaces, columns, clusters)
        title, options = f"{one.name}: {len(shown):,} pictures", self.options
        left_out = write_explorer(
            file, points, title, one.images, options.thumbnails_mb, options.color, self.page
        )
        if left_out:
            content.remarks.append(
                f"the explorer is not coloured by {', '.join(left_out)}: too many words, or none"
            )


def _require_column(color: str, one: FeatureSet) -> None:
    """Raises a `Fault` where the page will have no such column."""
    clusters = [f"{evaluation.name} of {method}" for evaluation in one.evaluations for method in one.tables]
    columns = ["label", "recording", *one.samples.others, *clusters]
    if color not in columns:
        raise Fault(f"no column {color!r} of set {one.name}, {did_you_mean(color, columns)}")
