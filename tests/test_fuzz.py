"""Whatever bytes a file of ours holds, reading it gives what it says or a fault (FUZZ_SECONDS=60: longer)."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import extraction_session, training_session
from damage import assert_only_faults
from readers import Items
from small_runs import untrained_run
from test_combiner import COMBINE, fitted
from test_combiner import session as evaluation_session

from saec.data.npy import read_array, read_header
from saec.data.store import ABOUT, ARRAY, Cache, open_items
from saec.evaluation.classifiers import CLASSIFIERS
from saec.evaluation.combiner import Combiner
from saec.extraction import ExtractionSession
from saec.faults import Fault, Unusable
from saec.files import write_npz
from saec.report import EvaluationSession
from saec.runs import Run
from saec.session import TrainingSession, load_session
from saec.tables import read_layout, read_table

SESSIONS = {
    TrainingSession: training_session(start={"weights_of": "latest:demo", "freeze": 1}),
    ExtractionSession: extraction_session("latest:demo", reduction={"dims": [2, 4]}, variant="a"),
    EvaluationSession: evaluation_session(combine=COMBINE),
}


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
@pytest.mark.parametrize("kind", SESSIONS)
def test_a_session(kind, suffix, tmp_path):
    file = tmp_path / f"session{suffix}"
    file.write_text((json.dumps if suffix == ".json" else yaml.safe_dump)(SESSIONS[kind]))
    assert_only_faults(file, lambda file: load_session(file, kind))


@pytest.mark.parametrize("write", [write_npz, np.savez_compressed])
def test_features(write, tmp_path):
    file, rng = tmp_path / "pooled.npz", np.random.default_rng(0)
    names = np.array([f"{n}.png" for n in range(6)])
    write(file, X=rng.normal(size=(6, 4)).astype(np.float32), X_2D=rng.normal(size=(6, 2)), N=names)

    def read(file: Path) -> None:
        table = read_table(file)
        np.array(table.rows)
        read_layout(file, table.names)

    assert_only_faults(file, read)


@pytest.mark.parametrize("write", [np.save, np.savez, np.savez_compressed])
def test_an_array(write, tmp_path):
    """Values may be others, but nothing is run, and it is frames x columns of numbers."""
    file = tmp_path / ("a.npy" if write is np.save else "a.npz")
    write(file, np.arange(60.0).reshape(20, 3))

    def read(file: Path) -> None:
        header = read_header(file)
        array = read_array(file)
        assert array.shape == header[:2] and array.dtype.kind in "biuf" and array.size

    assert_only_faults(file, read, (Unusable,))


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "session.yaml"])
def test_a_run(name, config):
    run = untrained_run(config)

    def read(file: Path) -> None:
        run = Run.at(file.parent)
        run.which("last"), run.load("last"), run.model(), run.closed, run.colormap, run.exported

    assert_only_faults(run.folder / name, read)


@pytest.mark.parametrize("name", [ABOUT, ARRAY])
def test_a_store(name, tmp_path):
    """What cannot be read is made anew, which is no fault."""
    cache = Cache(tmp_path)
    open_items(cache, "a", Items([np.ones((2, 3), np.uint8)] * 4), tmp_path)
    about = cache.path("a") / ABOUT
    whole = about.read_bytes()

    def read(file: Path) -> None:
        if file != about:
            about.write_bytes(whole)
        stored, _ = cache.find("a") or (None, None)
        if stored is None:
            raise Fault("made anew")
        assert stored.gather(np.arange(4))[0].shape == (4, 2, 3)

    assert_only_faults(cache.path("a") / name, read)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_combiner(classifier, tmp_path):
    file = tmp_path / "birds.skops"
    fitted(classifier).save(file)
    assert_only_faults(file, Combiner.load)
