"""The sections beside those on features: nearest pictures, runs, reconstructions, folders of pictures."""

from pathlib import Path

import pandas as pd

from saec import charts
from saec.config import Config
from saec.files import as_file_name
from saec.frames import write_table
from saec.inspection import Inspection, inspect
from saec.report.rebuilt import judge_rebuilt
from saec.report.runs import compare_runs
from saec.report.section import Section
from saec.report.sets import JudgedSet
from saec.report.similar import find_similar
from saec.runs import Run
from saec.session import Rebuilding, Search

MOST_ROWS = 20  # of a table on the page; files have all of them


def similar_section(judged: JudgedSet, asked: Search, config: Config, folder: Path) -> Section:
    section = Section(f"Nearest to {asked.to}, set {judged.name}")
    name = f"similar_{as_file_name(judged.name)}"
    table = find_similar(judged, asked, config, folder / f"{name}.png")
    write_table(folder / f"{name}.csv", table)
    section.files[f"{name}.csv"] = "nearest pictures: method, query, rank, file, label, distance"
    section.tables[f"Nearest pictures: the first {MOST_ROWS} of {len(table):,} rows"] = table.head(MOST_ROWS)
    section.drawn(folder, f"{name}.png", "What was asked for, and what is nearest to it, from left to right")
    return section


def runs_section(runs: list[Run], folder: Path) -> Section:
    section = Section("Runs")
    table = compare_runs(runs, folder)
    write_table(folder / "runs.csv", table)
    section.files["runs.csv"] = "one row a run"
    section.tables["Runs; losses compare within one objective and one validation set"] = table
    section.drawn(folder, "runs.png", "Validation loss by epoch")
    return section


def rebuilt_section(asked: Rebuilding, config: Config, folder: Path) -> Section:
    section = Section(f"Reconstructions by {asked.run}")
    table, means = judge_rebuilt(asked, config, folder)
    write_table(folder / "rebuilt.csv", table)
    section.files["rebuilt.csv"] = "errors and sparsity, one row a picture"
    section.tables[f"Means of {len(table):,} pictures"] = pd.DataFrame([means])
    section.drawn(folder, "rebuilt_errors.png", "Squared errors, sorted")
    for what in ("best", "worst"):
        section.drawn(folder, f"rebuilt_{what}.png", f"The {what} of them")
    return section


def folder_section(images: Path, number: int, config: Config, folder: Path) -> Section:
    """What is in a folder of pictures, and what to look at before training."""
    found = inspect(images, config.n_workers)
    section = Section(f"Pictures of {images}", found.remarks())
    stem = f"pictures_{number + 1}" if number else "pictures"
    section.tables["Pictures"] = _summary(found)
    recordings = pd.DataFrame(found.recordings.most_common(), columns=["recording", "pictures"])
    write_table(folder / f"{stem}_recordings.csv", recordings)
    section.files[f"{stem}_recordings.csv"] = "pictures by recording"
    section.tables["Recordings with the most pictures"] = recordings.head(MOST_ROWS)
    if found.alike:
        alike = pd.DataFrame(found.alike, columns=["file", "like", "correlation"])
        write_table(folder / f"{stem}_alike.csv", alike)
        section.files[f"{stem}_alike.csv"] = "pictures that are all but the same"
    charts.histogram(
        folder / f"{stem}_grey_values.png", found.levels, "Grey values", "grey value (0 to 255)", "pixels"
    )
    section.drawn(folder, f"{stem}_grey_values.png", "Grey values of all pixels of all pictures")
    return section


def _summary(found: Inspection) -> pd.DataFrame:
    sizes = ", ".join(f"{size} ({n:,})" for size, n in found.sizes.most_common(5))
    modes = ", ".join(f"{mode} ({n:,})" for mode, n in found.modes.most_common(5))
    rows = {
        "pictures": f"{len(found.names):,}",
        "cannot be read": f"{len(found.unreadable):,}",
        "size on disk": f"{found.n_bytes / 1e6:,.1f} MB",
        "width x height (pixels)": sizes,
        "modes": modes,
        "recordings": f"{len(found.recordings):,}",
        "blank": f"{len(found.blank):,}",
        "all but the same as another": f"{len(found.alike):,}",
    }
    return pd.DataFrame({"what": rows.keys(), "found": rows.values()})
