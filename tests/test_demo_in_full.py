"""What a new user does: three commands, in a fresh place, without a session; with fewer epochs here."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from saec.config import ROOT
from saec.sections.sets import PIXELS


def run(script: str, config_file: Path, *more: str) -> tuple[list[Path], str]:
    words = [sys.executable, str(ROOT / script), "--config", str(config_file), *more]
    done = subprocess.run(words, capture_output=True, text=True, cwd=config_file.parent)
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.slow
def test_three_commands_make_train_extract_and_judge_the_demo(config_file):
    (folder,), said = run("main_01_train.py", config_file, "--set", "training.epochs=3")
    assert folder.name.endswith("_demo") and "no better than" not in said
    assert re.search(r"3 epochs, best epoch \d+ with validation loss \d+\.\d+", said)
    for name in ("views.png", "reconstructions.png", "history.png", "session.yaml", "best.pt"):
        assert (folder / name).stat().st_size

    files, said = run("main_02_extract.py", config_file)
    assert [file.suffix for file in files] == [".npz"] * 6 + [".json"]
    found = re.search(r"clusters against 10 labels, pooled features, k-means: V-measure (0\.\d+)", said)
    assert found and float(found[1]) > 0.3
    with np.load(files[2]) as reduced:
        assert reduced["X_red"].shape == reduced["X_2D"].shape == (len(reduced["N"]), 2)

    quick = "evaluations=[kmeans, {name: hdbscan, umap: {}, sweep: []}, {name: linear, n_repeats: 1}]"
    (folder,), said = run("main_03_evaluate.py", config_file, "--set", quick)
    assert (folder / "explorer.html").stat().st_size < 8e6
    scores = pd.read_csv(folder / "scores.csv").set_index(["method", "evaluation", "score"])["value"]
    ours, pixels = (scores[method, "kmeans", "v_measure"] for method in ("demo weighted stats", PIXELS))
    assert ours > pixels and scores["demo weighted stats", "linear", "macro_f1"] > 0.4
