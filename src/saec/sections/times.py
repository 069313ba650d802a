"""Counts classes and clusters by hour of day, by date and by site, where samples say when and where."""

from pathlib import Path

import numpy as np
import pandas as pd

from saec.figures import canvas, draw_cells
from saec.files import as_file_name
from saec.sections import findings
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.score_tables import score_table
from saec.sections.sets import FeatureSet

CLOCK = ("hour", "date", "site")  # columns of samples
MOST_NAMES, MOST_DATES = 20, 60  # of a figure: classes, and days beyond which months are counted
FORM = {"date": r"\d{4}-\d\d-\d\d", "site": "(?s).+"}  # of what counts; other dates cannot be read
ALL, OTHERS = "all", "others"


@SECTIONS.register("times")
class Times:
    """Writes `times_<set>.csv` and figures of labels and of the best clusters."""

    position = 20

    def __init__(self, inputs: Inputs, *, times: bool = True):
        self.sets = [one for one in inputs.sets.values() if times and {*CLOCK[:2]} & {*one.samples.others}]
        self.several = len(inputs.sets) > 1

    def describe(self) -> list[str]:
        return [f"{one.name}: by hour of day and date" for one in self.sets]

    def write(self, folder: Path) -> list[Content]:
        contents = []
        for one in self.sets:
            contents.append(Content(f"When and where, set {one.name}", folder))
            names = {"label": one.samples.labels} if one.samples.classes else {}
            names |= _best_clusters(one)
            show_times(contents[-1], one.name, one.samples.table, names, one.clock_is)
            prefix = f"{one.name}: " if self.several else ""
            contents[-1].findings = [prefix + finding for finding in contents[-1].findings]
        return contents


def show_times(
    content: Content,
    stem: str,
    samples: pd.DataFrame,
    names: dict[str, np.ndarray],
    clock_is: str = "clock as written",
) -> None:
    """Fills in how often each name occurs when and where; `names` has one a sample, "" for none."""
    units = {"hour": pd.to_numeric(samples["hour"], errors="coerce") // 1} if "hour" in samples else {}
    texts = {unit: samples[unit].astype(object) for unit in CLOCK[1:] if unit in samples}
    texts = {unit: values.where(values.notna(), "").astype(str) for unit, values in texts.items()}
    units |= {unit: values.where(values.str.fullmatch(FORM[unit])) for unit, values in texts.items()}
    for unit, values in units.items():
        if n_without := int(values.isna().sum()):
            content.remarks.append(f"{n_without:,} of {len(samples):,} have no {unit} and are left out of it")
    units = {unit: values for unit, values in units.items() if values.notna().any()}
    if not units:
        return
    of = {"": np.full(len(samples), ALL)} | names
    rows = [
        {"by": by, "name": name, "unit": unit, "value": f"{value:.0f}" if unit == "hour" else value, "n": n}
        for by, these in of.items()
        for unit, values in units.items()
        for (name, value), n in values.groupby([these, values]).size().items()
        if name != ""
    ]
    table = pd.DataFrame(rows, columns=["by", "name", "unit", "value", "n"])
    words = f"how often classes and clusters occur, and when ({clock_is})"
    content.write(f"times_{as_file_name(stem)}.csv", table, words)
    dates = units.get("date", pd.Series(dtype=object)).dropna()
    if len(dates):
        first, last, n = dates.min(), dates.max(), dates.nunique()
        span = f"from {first} to {last}, on {n:,} days" if n > 1 else f"on {first}"
        content.findings.append(f"Recorded {span}.")
    for by, these in names.items():
        order = pd.Series(these[these != ""]).value_counts().index.tolist()
        panels = {unit: _counts(table[table["unit"] == unit], by, order) for unit in units}
        name = as_file_name(f"times_{stem}_{by}") + ".png"
        words = f"How often, by {by}: {', '.join(units)} ({clock_is})"
        content.draw(name, words, draw_counts, panels, f"By {by}")


def _counts(table: pd.DataFrame, by: str, order: list[str]) -> pd.DataFrame:
    """Returns counts of one unit: all samples in the first row, then names in this order; values across."""
    if table["unit"].eq("date").any() and table["value"].nunique() > MOST_DATES:
        table = table.assign(value=table["value"].str[:7])
    keys, cells = ["by", "name"], {"columns": "value", "values": "n", "aggfunc": "sum", "fill_value": 0}
    counts = table[table["by"].isin(("", by))].pivot_table(index=keys, **cells)
    if table["unit"].eq("hour").any():
        counts = counts.reindex(columns=[str(hour) for hour in range(24)], fill_value=0)
    rows = counts.reindex([("", ALL), *((by, name) for name in order)], fill_value=0).droplevel("by")
    rest = rows[1 + MOST_NAMES :].sum().to_frame(f"{OTHERS} ({len(order) - MOST_NAMES:,})").T
    return pd.concat([rows[: 1 + MOST_NAMES], *([rest] if len(order) > MOST_NAMES else [])])


def _best_clusters(one: FeatureSet) -> dict[str, np.ndarray]:
    """Returns the best clusters, by what they are called."""
    if not one.results:
        return {}
    best, _ = findings.best_clustering(findings.converged(score_table(one.results)))
    name = None if best is None else best.name
    return {of.words: of.scores.predicted for of in one.results if (of.method, of.evaluation) == name}


def draw_counts(path: Path, panels: dict[str, pd.DataFrame], title: str) -> None:
    """Draws counts, one panel a table: names down, values across; shades are of each row's largest."""
    widths = [1 + 0.22 * table.shape[1] for table in panels.values()]
    size = 1.5 + sum(widths), 1.6 + 0.24 * max(len(table) for table in panels.values())
    with canvas(path, title, size, 1, len(panels), width_ratios=widths) as [grid]:
        for axes, (unit, table) in zip(grid, panels.items(), strict=True):
            numbers = table.to_numpy(dtype=float)
            shares = numbers / np.maximum(numbers.max(axis=1, keepdims=True), 1)
            pairs = zip(table.index, numbers.sum(axis=1), strict=True)
            rows = [f"{str(name)[:20]} ({n:,.0f})" if axes is grid[0] else "" for name, n in pairs]
            columns = [str(value)[:20] for value in table.columns]
            draw_cells(axes, numbers, shares, rows, columns, 4.5, aspect="auto")
            axes.set_xlabel("hour of day" if unit == "hour" else unit, fontsize=8)
