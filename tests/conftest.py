"""What the tests share: tiny pictures that are made, a workplace in a temporary folder, small sessions."""

import errno
import io
import logging
import os
import re
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: waiting threads leave the cores to others

import numpy as np
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from PIL import Image

from saec import gallery
from saec.config import Config, load_config
from saec.data.png import table
from saec.extraction.sources import run

# Drawing is half of a tiny training: the figures of a run show two pictures here.
gallery.N_VIEWS = gallery.N_REBUILT = 2
# A batch of an extraction is always filled up: to sixteen of the pictures here.
run.BATCH_PIXELS = 16 * 128 * 32

TINY = {"name": "compact", "widths": [4, 4, 4], "latent": 8, "time_halvings": 2, "context": 1}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors are slower on several that wait for each other; results do not depend on the machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, logger="saec")
    return caplog


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that are saved, in their order."""
    saved, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *at, **how: saved.append(self) or save(self, *at, **how)
    )
    return saved


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A workplace: its data, models and cache lie in the temporary folder; two decoding threads at most."""
    file = tmp_path / "config" / "config.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump({"device": "cpu", "workers": 0}))
    return file


@pytest.fixture
def config(config_file: Path) -> Config:
    return load_config(config_file)


def intensities(n: int, height: int = 128, width: int = 32, seed: int = 0) -> np.ndarray:
    """(n, height, width) uint8: a bright bar on noise, its position by the picture's number modulo 3."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 60, (n, height, width))
    for index, picture in enumerate(pictures):
        row = 20 + 40 * (index % 3)
        picture[row : row + 12] += 150
    return pictures.astype(np.uint8)


def write_pictures(
    folder: Path, levels: np.ndarray, colormap: str = "viridis", per_recording: int = 4
) -> list[str]:
    """Writes PNG files `rec<i>_segm_<SSSS.mmm>.png`; returns their names, sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for index, picture in enumerate(levels):
        names.append(f"rec{index // per_recording:02d}_segm_{index:04d}.000.png")
        pixels = picture if colormap == "gray" else table(colormap)[picture]
        Image.fromarray(pixels).save(folder / names[-1])
    return sorted(names)


@pytest.fixture
def pictures(config: Config) -> Path:
    """Twelve pictures, 32 wide and 128 high, of three recordings, in `<data>/songs/images`."""
    folder = config.data / "songs" / "images"
    write_pictures(folder, intensities(12))
    return folder


def training_session(**changes: Any) -> dict[str, Any]:
    """A session that trains the tiny model for two epochs on the fixture's pictures."""
    return {
        "data": {"kind": "images", "train": "songs/images", "valid": 0.3},
        "views": "denoise",
        "model": TINY,
        "training": {"epochs": 2, "batch_size": 4, "precision": "fp32"},
    } | changes


def extraction_session(run: str, **changes: Any) -> dict[str, Any]:
    """A session without a reduction, which would take seconds to compile."""
    return {"run": run, "data": {"images": "songs/images"}, "reduction": None, "reconstructions": 2} | changes


def answer(script: Any, session: dict[str, Any] | Path, config: Config, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script in this process."""
    folder = config.data.parent
    file = session if isinstance(session, Path) else folder / "session.yaml"
    if isinstance(session, dict):
        file.write_text(yaml.safe_dump(session))
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = script.main([str(file), *words, "--config", str(folder / "config" / "config.yaml")])
    return code, out.getvalue(), err.getvalue()


def refused(script: Any, session: dict[str, Any] | Path, config: Config, *words: str) -> str:
    """What a script writes of a fault; it prints no path."""
    code, out, text = answer(script, session, config, *words)
    assert (code, out) == (2, "") and "Traceback" not in text
    return text


def contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder and below it, by their paths from there."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def n_weights(*parts: torch.nn.Module) -> int:
    return sum(weight.numel() for part in parts for weight in part.parameters())


def has_words(text: str, words: str) -> bool:
    """Whether the text has the parts, between which three dots stand, in their order."""
    return re.search(".*".join(map(re.escape, words.split(" ... "))), text, re.DOTALL) is not None


@pytest.fixture
def like_windows(monkeypatch):
    """No file that this process has mapped is removed, replaced or renamed, nor is a folder of it."""
    if not Path("/proc/self/maps").exists():
        return

    def refusing(do: Any) -> Any:
        def done(*paths: Any, **options: Any) -> None:
            mapped = {line.split()[4] for line in Path("/proc/self/maps").read_text().splitlines()}
            for path in paths:
                with suppress(FileNotFoundError):
                    own = os.stat(path, dir_fd=options.get("dir_fd"), follow_symlinks=False)
                    if {str(one.st_ino) for one in (own, *map(Path.stat, Path(path).rglob("*")))} & mapped:
                        raise PermissionError(errno.EACCES, "in use", path)
            do(*paths, **options)

        return done

    for name in ("unlink", "replace", "rename"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


@pytest.fixture
def small_batches(monkeypatch):
    """Extractions encode two pictures of 128 x 32 at once."""
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_PIXELS", 2 * 128 * 32)
