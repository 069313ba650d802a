"""The section on folders of pictures: what is in them, and what to look at before training."""

from pathlib import Path

import pandas as pd

from saec import figures
from saec.config import Config
from saec.data.png import list_pictures
from saec.inspection import Inspection, inspect
from saec.sections.base import SECTIONS, Content, Inputs

MOST_ROWS = 20  # of a table on the page; files have all of them


@SECTIONS.register("pictures")
class Pictures:
    """Looks through the folders of the sets, and the one that the session names alone."""

    position = 90

    def __init__(self, inputs: Inputs, *, inspect: bool = True):
        self.n_workers = inputs.config.n_workers
        folders = [one.images for one in inputs.sets.values() if one.images] if inspect else []
        if inspect and inputs.images and not inputs.has_features:
            folder = inputs.check("images", _listed, inputs.images, inputs.config)
            folders += [folder] if folder else []
        self.folders = list(dict.fromkeys(folders))

    def describe(self) -> list[str]:
        return [f"to look through: {folder}" for folder in self.folders]

    def write(self, folder: Path) -> list[Content]:
        return [self._look(images, number, folder) for number, images in enumerate(self.folders)]

    def _look(self, images: Path, number: int, folder: Path) -> Content:
        result = inspect(images, self.n_workers)
        content = Content(f"Pictures of {images}", folder, result.remarks())
        stem = f"pictures_{number + 1}" if number else "pictures"
        content.tables["Pictures"] = _summary(result)
        recordings = pd.DataFrame(result.recordings.most_common(), columns=["recording", "pictures"])
        content.write(f"{stem}_recordings.csv", recordings, "pictures by recording")
        content.tables["Recordings with the most pictures"] = recordings.head(MOST_ROWS)
        if result.alike:
            alike = pd.DataFrame(result.alike, columns=["file", "like", "correlation"])
            content.write(f"{stem}_alike.csv", alike, "pictures that are all but the same")
        file, x_label = folder / f"{stem}_grey_values.png", "grey value (0 to 255)"
        figures.histogram(file, result.levels, "Grey values", x_label, "pixels")
        content.add_figure(file.name, "Grey values of all pixels of all pictures")
        return content


def _listed(images: str, config: Config) -> Path:
    folder = config.data_path(images)
    list_pictures(folder)
    return folder


def _summary(result: Inspection) -> pd.DataFrame:
    sizes, modes = (
        ", ".join(f"{one} ({n:,})" for one, n in counts.most_common(5))
        for counts in (result.sizes, result.modes)
    )
    rows = {
        "pictures": f"{len(result.names):,}",
        "cannot be read": f"{len(result.unreadable):,}",
        "size on disk": f"{result.n_bytes / 1e6:,.1f} MB",
        "width x height (pixels)": sizes,
        "modes": modes,
        "recordings": f"{len(result.recordings):,}",
        "blank": f"{len(result.blank):,}",
        "all but the same as another": f"{len(result.alike):,}",
    }
    return pd.DataFrame({"what": rows.keys(), "found": rows.values()})
