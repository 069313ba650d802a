"""Takes rows of samples that have not changed from the files of an earlier extraction."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saec.data.stored import filled_up
from saec.extraction.outputs import PREFIX, Outputs
from saec.faults import Fault
from saec.features import CODES, Codes
from saec.files import link_or_copy, map_npz
from saec.samples import Samples

NO_ROWS = ("reduction", "predictions")  # settings that no row depends on


@dataclass(frozen=True)
class Earlier:
    """Holds feature files of an earlier extraction, from which rows of unchanged samples are taken."""

    npz: dict[str, Path]  # by array
    changed: set[str]  # names of sample files
    outputs: Outputs  # of that extraction
    about: dict[str, Any]  # what it wrote of itself

    @classmethod
    def find(
        cls,
        outputs: Outputs,
        settings: dict[str, Any],
        now: Iterable[tuple],
        arrays: Iterable[str],
        derived: Mapping[str, str],
        overwrite: bool,
    ) -> "Earlier | None":
        """Returns the files of the same model and data that have most of the arrays of the samples of now.

        `derived` names arrays that can be computed from `X`, each with the setting that it depends on.
        `overwrite` the files of these settings means that nothing is taken.
        """
        candidates, now = [], set(now)
        for file in sorted(outputs.folder.glob(f"{PREFIX}*.json"), key=lambda file: file != outputs.about):
            made_by, about = replace(outputs, id=file.stem), None
            with suppress(Fault):  # of another maker, or damaged
                about = made_by.read_about()
            if not about:
                continue
            different = {key for key, value in settings.items() if about["settings"].get(key) != value}
            if overwrite and made_by == outputs and not different:
                return None
            roles = {role: outputs.folder / name for role, name in about["roles"].items()}
            npz = {array: roles[array] for array in arrays if array in roles and outputs.has(roles[array])}
            npz = {array: path for array, path in npz.items() if derived.get(array) not in different}
            if different <= {*NO_ROWS, *derived.values()} and {*arrays} - {*derived} <= npz.keys():
                changed = {file[0] for file in now.symmetric_difference(about["pictures"])}
                candidates.append(cls(npz, changed, made_by, about))
        return min(candidates, key=lambda one: (len(one.changed), -len(one.npz)), default=None)

    def held(self, folder: Path) -> "Earlier | None":
        """Returns the same with names in a folder for the files, which another process may replace; None
        where that has happened.
        """
        folder.mkdir(parents=True, exist_ok=True)
        names = {array: folder / f"{array}.npz" for array in self.npz}
        with suppress(FileNotFoundError):
            for array, file in self.npz.items():
                link_or_copy(file, names[array])
        return replace(self, npz=names) if self.outputs.read_about() == self.about else None

    def rows(self, samples: Samples) -> np.ndarray:
        """Returns pairs (row now, row in the files), (n, 2), of samples that have not changed."""
        names, *others = (np.array(map_npz(file, "N")) for file in self.npz.values())
        if not all(np.array_equal(names, other) for other in others):
            return np.zeros((0, 2), dtype=np.int64)
        pairs = np.stack(np.intersect1d(samples.names, names, return_indices=True)[1:], axis=1)
        return pairs[~np.isin(samples.files[pairs[:, 0]], np.array(sorted(self.changed), dtype=str))]

    def has_all(self, samples: Samples) -> bool:
        """Returns whether the files have these samples, none of them changed, and no others."""
        files = [] if self.changed else self.npz.values()
        return any(files) and all(np.array_equal(map_npz(file, "N"), samples.names) for file in files)


def rows_of(file: Path, name: str, rows: np.ndarray) -> tuple[np.ndarray, Tensor | None]:
    """Returns rows of an array in a file, and of codes, (rows, channels, steps), their own steps (rows,)."""
    if name != CODES:
        return map_npz(file, "X")[rows], None
    codes = Codes.load(file)
    n_steps, channels = codes.n_steps[rows], codes.values.shape[1:]
    values = filled_up((codes[row] for row in rows), n_steps, channels, codes.values.dtype)
    return values.transpose(0, 2, 1), torch.from_numpy(n_steps)
