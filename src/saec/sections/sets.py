"""Sets of features: tables of the same samples by method, and what sections leave in them for each other."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from saec.evaluation.base import Scores
from saec.evaluation.folds import given_split, require_two_groups
from saec.evaluation.probes import CLASSIFIERS
from saec.extraction.outputs import read_about_file
from saec.faults import Fault
from saec.reduction import MAP, n_neighbors_used, possible_dims, reduce_dims
from saec.registry import Component
from saec.samples import Samples
from saec.tables import Table, read_layout

PIXELS = "pixels 32 x 32"  # small pictures, as a method
N_NEIGHBORS = 10  # of a map that is made here
Per = Literal["sample", "recording"]


@dataclass(frozen=True)
class Result:
    """The scores that one evaluation gives to one method's features of a set."""

    set: str
    method: str
    evaluation: str
    scores: Scores
    labels: np.ndarray  # of the set's samples, "" where unknown

    @property
    def is_probe(self) -> bool:
        return self.evaluation.split()[0] in CLASSIFIERS

    @property
    def key(self) -> dict[str, str]:
        return {"set": self.set, "method": self.method, "evaluation": self.evaluation}


@dataclass(frozen=True)
class Combination:
    """Methods whose features, each brought to `pca` components, are one more method called `name`."""

    name: str
    methods: list[str]
    pca: int


@dataclass
class FeatureSet:
    """Tables of features by method, all of the same samples in the same order.

    A section leaves in it what those after it use: evaluations, combination, pixels, results, layouts.
    """

    name: str
    tables: dict[str, Table]
    samples: Samples
    images: Path | None = None
    remarks: list[str] = field(default_factory=list)
    per: Per = "sample"
    evaluations: list[Component] = field(default_factory=list)
    combination: Combination | None = None
    pixels: dict[str, Table] = field(default_factory=dict)  # small pictures as one more method
    results: list[Result] = field(default_factory=list)
    layouts: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def names(self) -> np.ndarray:
        return self.samples.names

    @property
    def scored(self) -> dict[str, Table]:
        """The tables that are scored: those of the session, and pixels."""
        return self.tables | self.pixels

    @property
    def split(self) -> np.ndarray | None:
        """The samples' splits, (n,) str; None where no table gives any."""
        return splits if ((splits := self.samples.splits) != "").any() else None

    def blocks(self, methods: list[str]) -> dict[str, np.ndarray]:
        """Returns the features of some methods, (n, features) float32 each."""
        return {method: np.asarray(self.tables[method].rows, dtype=np.float32) for method in methods}

    def describe(self) -> str:
        methods = [
            f"  {name}: {one.rows.shape[1]:,} features of {one.file}" for name, one in self.tables.items()
        ]
        samples = self.samples
        n_labelled, n_groups = int((samples.labels != "").sum()), len(np.unique(samples.groups))
        return (
            f"{self.name}: {len(samples):,} pictures, {n_labelled:,} with labels of {len(samples.classes)} "
            f"classes, {n_groups:,} groups\n" + "\n".join(methods)
        )

    def about(self) -> dict[str, Any]:
        """Returns what `report.json` says of the set."""
        return {
            "n_pictures": len(self.samples),
            "classes": self.samples.classes,
            "n_labelled": int((self.samples.labels != "").sum()),
            "images": self.images and str(self.images),
            "methods": {method: str(table.file) for method, table in self.tables.items()},
        }


def require_probes(one: FeatureSet) -> None:
    """Raises a `Fault` where labels are missing, of one class, of one group, or of classes in one group."""
    samples = one.samples.subset(one.samples.labels != "")
    if len(samples.classes) < 2:
        got = f"one class, {samples.classes[0]}" if samples.classes else "no labels"
        raise Fault(f"{one.name}: probes need labels of two classes at least, got {got}")
    if one.split is not None:
        given_split(samples.splits)
        return
    if len(np.unique(samples.groups)) < 2:
        raise Fault(f"{one.name}: probes need pictures of two groups (recordings) at least, got one")
    require_two_groups(samples.labels, samples.groups)


def reductions_of(file: Path) -> list[Path]:
    """Returns the reductions that the same extraction has made, the fewest dimensions first."""
    try:
        roles = read_about_file(file)["roles"]
    except Fault:
        return []  # made by others, or itself a reduction
    n_dims = {
        int(role.split("_")[1]): file.parent / roles[role] for role in roles if role.startswith("reduced_")
    }
    return [n_dims[d] for d in sorted(n_dims)]


def layouts_of(one: FeatureSet) -> dict[str, np.ndarray]:
    """Returns a 2-D map (n, 2) of each method: that of the extraction, where there is one, else a new one."""
    for method, table in one.scored.items():
        if method not in one.layouts:
            one.layouts[method] = _layout(table)
    return one.layouts


def _layout(table: Table) -> np.ndarray:
    if table.layout is not None:
        return table.layout
    for file in reductions_of(table.file)[:1]:
        layout = read_layout(file, table.names)
        if layout is not None:
            return layout
    n = len(table.rows)
    if possible_dims((MAP,), n):
        return reduce_dims(np.asarray(table.rows), (MAP,), n_neighbors_used(N_NEIGHBORS, n), 0)[MAP]
    return np.column_stack([np.arange(n), np.zeros(n)])  # too few for a map: in a row
