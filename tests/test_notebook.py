"""The notebook runs from its first to its last cell on features as an extraction writes them."""

from pathlib import Path

import numpy as np
import pytest
from conftest import intensities, write_pictures

from saec.config import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
NOTEBOOK = ROOT / "notebooks" / "clustering.ipynb"
N = 30


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    names = write_pictures(tmp_path / "images", intensities(N))
    kinds = np.arange(N) % 3
    rows = 10 * np.eye(8)[kinds] + np.random.default_rng(0).normal(size=(N, 8))
    np.savez(tmp_path / "dimred_8_neigh_10_saec_20260101_000000.npz", X_red=rows, X_2D=rows[:, :2], N=names)
    lines = [f"{name},{'abc'[kind]}" for name, kind in zip(names, kinds, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_runs_from_first_to_last(valid):
    book = nbformat.read(NOTEBOOK, as_version=4)
    book.cells[1].source = book.cells[1].source.replace("../data/demo/valid", valid.as_posix())
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    output = "".join(out.get("text", "") for cell in book.cells for out in cell.get("outputs", ()))
    assert "30 pictures, 8 dimensions" in output and "V-measure 1.00" in output
    drawn = [
        out for cell in book.cells for out in cell.get("outputs", ()) if "image/png" in out.get("data", {})
    ]
    assert len(drawn) == 2


def test_the_notebook_is_kept_without_what_it_printed():
    book = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)
