"""Feature files of any maker become rows by name; what cannot be scored is refused in words."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_samples import damaged

from saec.faults import Fault, MissingFault
from saec.features import POOLINGS
from saec.samples import read_annotations
from saec.sections.base import Inputs
from saec.sections.explorer import FeatureTables, csv_bytes
from saec.sections.sets import FeatureSet
from saec.tables import read_layout, read_table, write_table

NAMES = np.array(["a.png", "b.png", "c.png"])
ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], dtype=np.float32)


def saved(file: Path, **arrays: np.ndarray) -> Path:
    np.savez(file, **arrays)
    return file


def csv(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("key", ["X", "X_red"])
def test_an_npz_is_read_with_its_map_and_sorted_by_name(tmp_path, key):
    file = saved(tmp_path / "a.npz", **{key: ROWS[::-1], "N": NAMES[::-1], "X_2D": ROWS[::-1] + 1})
    table = read_table(file)
    assert np.array_equal(table.rows, ROWS) and table.names.tolist() == NAMES.tolist()
    assert np.array_equal(read_layout(file, NAMES), ROWS + 1) and read_layout(file, NAMES[:2]) is None
    table = read_table(saved(file, **{key: ROWS, "N": NAMES}))
    assert table.samples.classes == [] and table.named and table.pooling is None
    assert read_layout(file, NAMES) is None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_read_by_a_pattern_of_columns(tmp_path, suffix):
    frame = pd.DataFrame({"Label": ["x", "y", None], "Feature_1": ROWS[:, 0], "Feature_2": ROWS[:, 1]})
    write_table(tmp_path / f"a{suffix}", frame.assign(file=NAMES, other=1.5))
    table = read_table(tmp_path / f"a{suffix}")
    assert np.array_equal(table.rows, ROWS) and table.names.tolist() == NAMES.tolist()
    assert table.samples.labels.tolist() == ["x", "y", ""] and table.columns == ("Feature_1", "Feature_2")


def test_flattened_latents_of_vgg16_are_written_as_csv_with_all_their_digits(tmp_path):
    rng = np.random.default_rng(0)
    latents = torch.from_numpy(
        rng.standard_normal((3, 512 * 8, 8)) * 10.0 ** rng.integers(-30, 30, (3, 4096, 8))
    )
    rows = POOLINGS.parse("flatten")(latents.float()).numpy()
    rows[0, :5] = 0, -0.0, 3.4e38, 1e-42, 1 / 3
    table = read_table(saved(tmp_path / "a.npz", X=rows, N=NAMES))
    one = FeatureSet("photos", {"flat": table}, table.samples)
    (content,) = FeatureTables(Inputs(None, tmp_path, sets={"photos": one})).write(tmp_path)
    (file,) = (tmp_path / name for name in content.files)
    cells = [line.split(",")[3:] for line in file.read_text(encoding="utf-8").splitlines()]
    assert cells[0] == [f"Feature_{n}" for n in range(1, 32_769)]
    assert np.array(cells[1:], dtype=np.float64).astype(np.float32).tobytes() == rows.tobytes()
    n_bytes = file.stat().st_size - len(",".join(cells[0]))
    assert csv_bytes(table) == pytest.approx(n_bytes, rel=0.05)


def test_a_csv_that_gets_too_large_is_refused_with_its_size_before_it_is_written(tmp_path):
    table = read_table(saved(tmp_path / "a.npz", X=np.random.default_rng(0).random((3, 40_000)), N=NAMES))
    inputs = Inputs(None, tmp_path, sets={"photos": FeatureSet("photos", {"flat": table}, table.samples)})
    assert FeatureTables(inputs).describe() == ["photos: features as csv, about 1.3 MB"] and not inputs.faults
    FeatureTables(inputs, table_mb=1)
    (fault,) = inputs.faults
    for words in ("3 rows of 40,000 features) takes about 1 MB", "`table: parquet`", "`pooling`"):
        assert words in fault


SPELLINGS = {
    "semicolons": "file;Label;Feature_1;Feature_2\na.png;x;1,0;2\nb.png;y;3,0;4\nc.png;;5,0;7\n",
    "points": "file;Label;Feature_1;Feature_2\na.png;x;1.0;2\nb.png;y;3.0;4\nc.png;;5.0;7\n",
    "tabs": "file\tLabel\tFeature_1\tFeature_2\na.png\tx\t1\t2\nb.png\ty\t3\t4\nc.png\t\t5\t7\n",
    "sep": "sep=;\nfile;Label;Feature_1;Feature_2\na.png;x;1;2\nb.png;y;3;4\nc.png;;5;7\n",
    "excel": "\ufeffFile,label,Feature_1,Feature_2,,\na.png,x,1,2,,\nb.png,y,3,4,,\nc.png,,5,7,,\n,,,,,\n",
}


@pytest.mark.parametrize("case", SPELLINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_of_features_is_read_however_it_is_spelt(tmp_path, case, encoding):
    (tmp_path / "a.csv").write_bytes(
        SPELLINGS[case].removeprefix("\ufeff" * (encoding == "utf-16")).encode(encoding)
    )
    table = read_table(tmp_path / "a.csv")
    assert np.array_equal(table.rows, ROWS) and table.names.tolist() == NAMES.tolist()
    assert table.samples.labels.tolist() == ["x", "y", ""] and table.samples.others == []


def test_a_table_without_names_has_its_rows_numbered(tmp_path):
    table = read_table(csv(tmp_path / "a.csv", "Label,Feature_1,Feature_2\nx,1,2\ny,3,4\n"))
    assert table.names.tolist() == ["row 000001", "row 000002"] and not table.named


def test_latents_need_a_pooling_and_are_pooled_by_it(tmp_path):
    latents = np.random.default_rng(0).normal(size=(3, 4, 10)).astype(np.float32)
    file, pooling = saved(tmp_path / "full.npz", X=latents, N=NAMES), POOLINGS.parse("mean")
    with pytest.raises(Fault, match="not one row a sample: name a pooled file, or a `pooling`"):
        read_table(file)
    with pytest.raises(Fault, match="does not say how many rows a channel has"):
        read_table(file, pooling=POOLINGS.parse({"name": "mean", "axes": "both"}))
    pooled = read_table(file, pooling=pooling)
    assert np.allclose(pooled.rows, latents[..., 1:-1].mean(-1), atol=1e-6) and pooled.pooling == pooling


def test_constant_columns_are_counted(tmp_path):
    table = read_table(saved(tmp_path / "a.npz", X=np.hstack([ROWS, np.ones((3, 1))]), N=NAMES))
    assert table.rows.shape == (3, 3) and table.n_constant == 1
    with pytest.raises(Fault, match="every feature is the same for all samples"):
        read_table(saved(tmp_path / "b.npz", X=np.ones((3, 2)), N=NAMES))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": ROWS[:1], "N": NAMES[:1]}, "has one sample, there is nothing to compare"),
        ({"X": ROWS[:0], "N": NAMES[:0]}, r"array of shape \(0, 2\)"),
        ({"X": ROWS[:, :0], "N": NAMES}, r"array of shape \(3, 0\)"),
        ({"X": np.float32(1), "N": NAMES}, "must have one row a picture"),
        ({"X": ROWS, "N": NAMES[:, None]}, r"N must hold names.*\(3, 1\)"),
        ({"X": ROWS, "N": NAMES[:2]}, "3 rows of X but 2 names"),
        ({"X": ROWS, "N": NAMES[[0, 0, 1]]}, "1 samples share a name:\n  a.png"),
        ({"X": np.array([[1.0, np.nan], [2, 3], [np.inf, 4]]), "N": NAMES}, "2 of 3 rows.*no finite number"),
        ({"X": ROWS, "N": np.arange(3)}, "N must hold names"),
        ({"X": ROWS.astype(float) * 1e300, "N": NAMES}, "3 of 3 rows.*beyond float32"),
        ({"Y": ROWS, "N": NAMES}, "cannot be read as features with X and N"),
        ({"X": ROWS[:, None, None], "N": NAMES}, r"array of shape \(3, 1, 1, 2\)"),
        ({"X": np.array([["a", "b"]] * 3), "N": NAMES}, "must be numbers"),
    ],
)
def test_an_npz_that_cannot_be_scored_is_refused(tmp_path, arrays, words):
    with pytest.raises(Fault, match=f"(?s){words}"):
        read_table(saved(tmp_path / "a.npz", **arrays))


def test_an_npz_with_objects_or_damage_is_refused(tmp_path):
    """All damages of feature files are cases of `Features.load`, which reads them."""
    file = tmp_path / "a.npz"
    np.savez(file, X=ROWS, N=NAMES.astype(object), allow_pickle=True)
    with pytest.raises(Fault, match="pickle"):
        read_table(file)
    saved(file, X=ROWS, N=NAMES)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(Fault, match="cannot be read as features"):
        read_table(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,a,b\nx,1,2\n", r"no column 'Feature_\*'.*it has\n  file"),
        ("file,Feature_1\nx,one\n", "are no numbers:\n  Feature_1"),
        ("file,Feature_1\n", "has no rows"),
        ("file,Feature_1\nx,1e300\ny,1\n", r"1 of 2 rows .*beyond float32\), .*\n  x"),
        ("", "cannot be read as a table"),
        ("file,Feature_1\nx,1,2\ny,1,2\n", "rows have more cells than the 2 columns of its head"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused(tmp_path, text, words):
    with pytest.raises(Fault, match=f"(?s){words}"):
        read_table(csv(tmp_path / "a.csv", text))


def test_a_missing_damaged_or_unknown_file_is_refused(tmp_path):
    for name in ("a.npz", "a.csv"):
        with pytest.raises(MissingFault, match="no such feature file"):
            read_table(tmp_path / name)
    with pytest.raises(Fault, match=".npz, .csv or .parquet, got '.pkl'"):
        read_table(tmp_path / "a.pkl")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no such thing")
    with pytest.raises(Fault, match="cannot be read as a table"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize("layout", [ROWS[:2], ROWS * np.nan, np.array([["a", "b"]] * 3), ROWS[:, :1]])
def test_a_map_that_cannot_be_drawn_is_none_and_said_to_be_made_anew(tmp_path, layout, log):
    file = saved(tmp_path / "a.npz", X=ROWS[::-1], N=NAMES[::-1], X_2D=layout)
    assert read_layout(file, NAMES) is None and "it is made anew" in log.text


def test_words_are_kept_as_they_are_written(tmp_path):
    table = read_table(
        csv(tmp_path / "a.csv", "file,Label,Feature_1,size,Site\n001,NA,1,3,001\n002,None,2,4.5,0\n")
    )
    assert table.names.tolist() == ["001", "002"] and table.samples.labels.tolist() == ["NA", "None"]
    assert table.samples.table["size"].tolist() == [3, 4.5]
    assert table.samples.table["Site"].tolist() == ["001", "0"]
    with pytest.raises(Fault, match="1 rows have no name in the column file"):
        read_table(csv(tmp_path / "a.csv", "file,Feature_1\n001,1\n,2\n"))


@pytest.mark.parametrize("n", [100, pytest.param(1_500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_damaged_features_are_read_or_refused_in_words(tmp_path, suffix, n):
    frame = pd.DataFrame(
        {"file": NAMES, "Label": ["x", "y", ""], "Feature_1": ROWS[:, 0], "Feature_2": ROWS[:, 1]}
    )
    write_table(tmp_path / f"a{suffix}", frame.assign(site=["p", "q", "r"]))
    rng, content = np.random.default_rng(0), (tmp_path / f"a{suffix}").read_bytes()
    for _ in range(n):
        (tmp_path / f"a{suffix}").write_bytes(damaged(content, rng))
        with suppress(Fault):
            assert np.isfinite(read_table(tmp_path / f"a{suffix}").rows.astype(np.float32)).all()


def test_a_damaged_map_is_said_and_none_and_a_damaged_row_is_a_fault(tmp_path, log):
    file, names = tmp_path / "a.npz", np.array(["a", "b", "c"])
    np.savez(file, X=np.eye(3), X_2D=np.ones((3, 2)), N=names)
    whole = file.read_bytes()
    assert read_layout(file, names).shape == (3, 2) and read_table(file).rows.shape == (3, 3)
    file.write_bytes(whole.replace(b"(3, 2)", b"(9, 9)"))
    assert read_layout(file, names) is None and f"{file} cannot be read" in log.text
    file.write_bytes(whole.replace(np.float64(1).tobytes(), np.float64(2).tobytes(), 1))
    with pytest.raises(Fault, match="a.npz .*Bad CRC-32 for file 'X.npy'"):
        read_table(file)


def test_no_spreadsheet_runs_a_text_of_a_table_numbers_stay_and_it_is_read_as_it_was(tmp_path):
    texts = ["=1+1", "+x", "-a.png", "@SUM", "-1", "+2.5e3", "a=b", "'quoted'", "ü,-b", "x,'-y", "'\",'-z"]
    frame = pd.DataFrame({"file": texts, "Label": texts[::-1], "Feature_1": -np.arange(11.0), "=2": texts})
    write_table(tmp_path / "a.csv", frame)
    text = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    assert text[:2] == ["file,Label,Feature_1,'=2", """'=1+1,"'"",'-z",-0.0,'=1+1"""]
    assert text[3] == """'-a.png,"ü,-b",-2.0,'-a.png""" and text[5].startswith("-1,a=b,-4.0,-1")
    table = read_table(tmp_path / "a.csv")
    assert sorted(table.names) == sorted(texts)
    assert [table.samples.labels[list(table.names).index(text)] for text in texts] == texts[::-1]
    assert read_annotations(tmp_path / "a.csv")["label"].tolist() == texts[::-1]
