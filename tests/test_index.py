"""The index beside a large feature file: neighbours as by looking at all rows; added to, made anew."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import intensities
from small_runs import Songs
from test_reduction import heaps

from saec import evaluate
from saec.files import map_npz, write_npz
from saec.reduction import index, search

pytest.importorskip("usearch")
ROWS = heaps(100)[0]
OWN = np.arange(0, 200, 7)


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch):
    monkeypatch.setattr(index, "FROM_ROWS", 50)


def written(file: Path, rows: np.ndarray) -> tuple[Path, np.ndarray]:
    write_npz(file, X=rows, N=np.arange(len(rows)).astype(str))
    return file, map_npz(file, "X")


def assert_as_exact(file: Path, rows: np.ndarray, n: int = 10) -> None:
    for queries, own in ((ROWS[OWN] * 1.01, None), (rows[OWN], OWN), (rows[:1], np.zeros(1, int))):
        indices, distances = search([queries], [rows], n, own, file)
        exact, apart = search([queries], [rows], n, own)
        assert indices.shape == exact.shape and all(len({*row}) == len(row) for row in indices.tolist())
        assert np.isclose(distances, apart, rtol=1e-4, atol=1e-6).mean() > 0.95  # doubles come in any order
        np.testing.assert_allclose(distances, apart, rtol=0.2, atol=1e-3)


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_the_index_gives_the_neighbours_and_distances_of_all_rows(tmp_path, n, log):
    file, rows = written(tmp_path / "x.npz", ROWS)
    assert_as_exact(file, rows, n)
    assert log.text.count("300 of 300 rows are added") == 1 and file.with_suffix(".index").is_file()


DOUBLED = np.concatenate([ROWS[:150], ROWS[:150]])
CHANGES = {  # what the rows are afterwards, and how many of them are added to the index
    "new": (np.concatenate([ROWS[:50] * np.float32(1.01), ROWS]), 50),
    "new, of another scale": (np.concatenate([ROWS[:50] + 1, ROWS]), 350),
    "gone": (ROWS[40:], 0),
    "changed": (np.concatenate([ROWS[:10] * np.float32(1.1), ROWS[10:]]), 10),
    "in another order": (ROWS[::-1].copy(), 0),
    "doubled": (DOUBLED, 150),
    "nearly all new": (np.concatenate([ROWS[:20], ROWS[20:] + 1]), 300),
    "other features": (ROWS[:, :8].copy(), 300),
}


@pytest.mark.usefixtures("like_windows")
@pytest.mark.parametrize(("rows", "n_added"), CHANGES.values(), ids=CHANGES)
def test_the_index_follows_the_rows_of_its_file(tmp_path, rows, n_added, log):
    search([ROWS[:2]], [written(tmp_path / "x.npz", ROWS)[1]], 2, None, tmp_path / "x.npz")
    log.clear()
    file, rows = written(tmp_path / "x.npz", rows)
    if rows.shape[1] == ROWS.shape[1]:
        assert_as_exact(file, rows)
    else:
        search([rows[:2]], [rows], 2, None, file)
    assert log.text.count("are added") == 1 and f"{n_added} of {len(rows)} rows are added" in log.text


def test_a_damaged_index_is_made_anew_and_one_that_cannot_be_kept_is_used_once(tmp_path, log, monkeypatch):
    file, rows = written(tmp_path / "x.npz", ROWS)
    kept = file.with_suffix(".index")
    search([rows[:2]], [rows], 2, None, file)
    content = kept.read_bytes()
    for damage in (b"", content[:5000], content[:9000] + bytes([content[9000] ^ 1]) + content[9001:]):
        kept.write_bytes(damage)
        log.clear()
        assert_as_exact(file, rows)
        assert log.text.count("300 of 300 rows are added") == 1

    def full(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    kept.unlink()
    monkeypatch.setattr(index, "write_npz", full)
    assert_as_exact(file, rows, 3)
    assert "the index is used once, it cannot be kept: the disk is full" in log.text


@pytest.mark.parametrize("queries", [ROWS[:1], ROWS[:2], ROWS[:201]], ids=len)
def test_where_the_index_gives_too_few_rows_all_are_looked_at(tmp_path, queries, log, monkeypatch):
    monkeypatch.setattr(index, "AT_ONCE", 100)  # the last piece of 201 is a single one
    file, rows = written(tmp_path / "x.npz", ROWS)
    search([queries], [rows], 2, None, file)
    kept = file.with_suffix(".index")
    before, state = index._read(kept)
    before.graph.remove(before.keys[50:])
    arrays = {name: value for name, value in vars(before).items() if name != "graph"}
    write_npz(kept, **arrays, state=state, graph=np.frombuffer(before.graph.save(), np.uint8))
    for of, expected in zip(
        search([queries], [rows], 60, None, file), search([queries], [rows], 60), strict=True
    ):
        np.testing.assert_array_equal(of, expected)
    assert log.text.count("the index gives fewer than 60 rows: all 300 are looked at") == 1


def test_all_rows_are_looked_at_where_they_are_few_or_the_package_is_missing(tmp_path, log, monkeypatch):
    file, rows = written(tmp_path / "x.npz", ROWS)
    for part in (rows[:40], rows[:200], np.array(rows)):
        search([part[:2]], [part], 2, None, file)
    monkeypatch.setattr(index, "find_spec", lambda _: None)
    search([rows[:2]], [rows], 2, None, file)
    assert not file.with_suffix(".index").exists()
    assert log.text.count("all 300 rows are looked at: pip install usearch keeps an index") == 1


def test_the_section_similar_keeps_an_index_beside_the_features(config, monkeypatch):
    songs = Songs(config, intensities(60))
    features = songs.extract()
    session = {
        "features": str(features.roles["pooled"]),
        "evaluations": [],
        "pixels": False,
        "explorer": None,
    }
    session |= {"similar": {"to": songs.names[3], "n": 5}, "inspect": False}
    tables = {}
    for from_rows in (1000, 50):
        monkeypatch.setattr(index, "FROM_ROWS", from_rows)
        report = evaluate(session, config).folder
        tables[from_rows] = pd.read_csv(next(report.glob("similar_*.csv")))
        assert features.roles["pooled"].with_suffix(".index").is_file() == (from_rows == 50)
    assert tables[50]["file"].tolist() == tables[1000]["file"].tolist()
    songs.extract(overwrite=True, reduction={"dims": [2]})
    assert features.roles["pooled"].with_suffix(".index").is_file()  # to be added to
