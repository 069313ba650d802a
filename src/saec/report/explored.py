"""A set becomes an explorable page: its pictures, what is known of them, every method's map and clusters."""

from pathlib import Path

import numpy as np

from saec.data.decoding import evenly
from saec.explorer import Points, Space, write_explorer
from saec.files import as_file_name
from saec.reduction import MAP, n_neighbors_used, possible_dims, reduce_dims
from saec.report.judged import Result
from saec.report.plan import EvaluationPlan
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.tables import Table, beside, read_layout

N_NEIGHBORS = 10


def layouts_of(tables: dict[str, Table]) -> dict[str, np.ndarray]:
    """A 2-D map (n, 2) of each method: that of the extraction, where there is one, else one made now."""
    return {method: _layout(table) for method, table in tables.items()}


def _layout(table: Table) -> np.ndarray:
    if table.layout is not None:
        return table.layout
    found = [read_layout(file, table.names) for file in beside(table.file)[:1]]
    return _made(np.asarray(table.rows)) if not found or found[0] is None else found[0]


def _made(rows: np.ndarray) -> np.ndarray:
    if possible_dims((MAP,), len(rows)):
        return reduce_dims(rows, (MAP,), n_neighbors_used(N_NEIGHBORS, len(rows)), 0)[MAP]
    return np.column_stack([np.arange(len(rows)), np.zeros(len(rows))])  # too few for a map: in a row


def explored(
    judged: JudgedSet,
    tables: dict[str, Table],
    layouts: dict[str, np.ndarray],
    results: list[Result],
    plan: EvaluationPlan,
    section: Section,
    folder: Path,
) -> None:
    """Writes `explorer.html` (with the set's name where there are several), and says so in the section."""
    options = plan.session.explorer
    if options is None:
        return
    chosen = np.array(evenly(range(len(judged.names)), options.limit))
    if len(chosen) < len(judged.names):
        section.remarks.append(f"the explorer shows {len(chosen):,} of the pictures, evenly spread")
    spaces = {
        method: Space.of(np.asarray(table.rows)[chosen], layouts[method][chosen])
        for method, table in tables.items()
    }
    further = {name: values[chosen] for name, values in judged.known.columns.items()}
    columns = {"label": judged.known.labels[chosen], "recording": judged.known.groups[chosen]} | further
    clusters = {}
    for one in results:
        if not one.is_probe and one.found.predicted is not None:
            name = f"{one.evaluation} of {one.method}"
            columns[name] = one.found.predicted[chosen]
            clusters[name] = one.method
    if not len(judged.known.classes):
        del columns["label"]
    points = Points(judged.names[chosen], spaces, columns, clusters)
    page = "explorer.html" if len(plan.sets) == 1 else f"explorer_{as_file_name(judged.name)}.html"
    title = f"{judged.name}: {len(chosen):,} pictures"
    final = plan.out / "report"  # reports lie side by side, so any name leads to the same pictures
    left_out = write_explorer(
        folder / page, points, title, judged.images, options.thumbnails_mb, options.color, final
    )
    if left_out:
        section.remarks.append(
            f"the explorer is not coloured by {', '.join(left_out)}: too many words, or none"
        )
    section.files[page] = "explore the pictures: map, neighbours, clusters, names for a selection"
