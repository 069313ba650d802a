"""The notebook runs from its first to its last cell on features as an extraction writes them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import intensities, training_session, write_pictures

import saec
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_training_in_a_notebook_shows_its_bars_and_a_line_an_epoch(config, config_file, pictures):
    session = training_session(name="here")
    cells = [
        "from saec import train; from saec.config import load_config; from pathlib import Path",
        f"run = train({session!r}, load_config(Path({str(config_file)!r})))",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    shown = "".join(out.get("text", "") for cell in book.cells for out in cell.outputs)
    assert "epoch 1:   0%" in shown and "epoch 2 of 2: train_loss" in shown and "Warning" not in shown


def test_the_names_of_the_package_are_listed_before_they_are_used():
    code = "import saec, sys; assert 'torch' not in sys.modules; print(dir(saec))"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in ("draw_views", "evaluate", "extract", "predict", "prepare", "train"):
        assert f"'{name}'" in listed and callable(getattr(saec, name))


def test_the_notebook_is_kept_without_what_it_printed():
    book = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)
