"""Pictures that the cache has no room for: checked once, then decoded whenever they are asked for."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from saec.data.decoding import Listed, NotInMap
from saec.data.folder import File
from saec.data.png import Unusable
from saec.faults import Fault


class Streamed:
    """(n, height, width[, 3]) uint8 by arrays of row numbers, as the store would give them."""

    dtype = np.dtype(np.uint8)

    def __init__(self, listed: Listed, shape: tuple[int, ...], colormap: str | None):
        self.listed = listed
        self.shape = shape
        self.nbytes = int(np.prod(shape))
        self.colormap = colormap
        self.threads = ThreadPoolExecutor(max(1, listed.n_workers), "streaming")

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Raises a `Fault` where a picture is not what it was when it was checked."""
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        files = [self.listed.files[row] for row in rows.tolist()]
        for place, picture in enumerate(self.threads.map(self._one, files)):
            found[place] = picture
        return found

    def _one(self, file: File) -> np.ndarray:
        try:
            picture = self.listed.read(file, self.colormap)
            if picture.shape != self.shape[1:]:
                raise Unusable("has another size")
        except (Unusable, NotInMap) as reason:
            raise Fault(
                f"{self.listed.folder / file.name} is no longer as it was when it was checked ({reason}): "
                "leave the folder alone while it is worked on, then call again"
            ) from reason
        return picture
