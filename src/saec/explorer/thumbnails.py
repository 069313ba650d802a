"""Small pictures for the page: in it while they fit, else the pictures themselves by a relative path."""

import base64
import io
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from saec.progress import progress

WIDTH, HEIGHT = 160, 48  # pixels: as wide as the one or as high as the other, whatever is more
QUALITY = 60
MB = 1e6


def thumbnails(images: Path, names: np.ndarray, limit_mb: float) -> list[str] | None:
    """Data addresses of all pictures, or None where they take more than so many MB."""
    found, n_letters = [], 0
    for name in progress(names, "small pictures", len(names), " pictures"):
        if n_letters > limit_mb * MB:
            return None
        found.append(_address(images / str(name)))
        n_letters += len(found[-1])
    return found if n_letters <= limit_mb * MB else None


def links(images: Path, names: np.ndarray, page: Path) -> list[str]:
    """Addresses of the pictures from where the page lies; absolute where no relative path leads there."""
    try:
        folder = quote(Path(os.path.relpath(images, page)).as_posix())
    except ValueError:  # another drive of Windows
        folder = images.absolute().as_uri()
    return [f"{folder}/{quote(str(name))}" for name in names]


def _address(file: Path) -> str:
    """Nothing where the picture cannot be read: its place is then left empty."""
    try:
        with Image.open(file) as picture:
            scale = min(1.0, max(WIDTH / picture.width, HEIGHT / picture.height))
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            small = picture.convert("RGB").resize(size, Image.Resampling.BOX)
    except (OSError, SyntaxError):
        return ""
    written = io.BytesIO()
    small.save(written, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")
