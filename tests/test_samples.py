"""Tables of files are read whatever program wrote them, joined to samples, parted and averaged."""

import json
import math
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from saec.data import DATA
from saec.faults import Fault, MissingFault, first_lines, number_of
from saec.samples import (
    Samples,
    annotation_table,
    join,
    means_per_recording,
    nearest_labels,
    per_recording,
    read_annotations,
    split,
    split_by_table,
    warn_of_shared,
)

FIXED = ["file", "start_s", "end_s", "label", "group", "split"]
LABELS, TIMES = ("file", "label"), ("start", "end", "label")


def written(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> Path:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def rows(table: pd.DataFrame, *columns: str) -> list[tuple]:
    return [tuple(row) for row in table[list(columns)].itertuples(index=False)]


# The reader

TWO = [("a.wav", "wren"), ("b.wav", "crow")]
SPELLINGS = {
    "commas": "file,label\na.wav,wren\nb.wav,crow\n",
    "semicolons": "file;label\na.wav;wren\nb.wav;crow\n",
    "tabs": "file\tlabel\na.wav\twren\nb.wav\tcrow\n",
    "sep": "sep=;\r\nfile;label\r\na.wav;wren\r\nb.wav;crow\r\n",
    "byte order mark": "\ufefffile,label\na.wav,wren\nb.wav,crow\n",
    "capitals": "File , LABEL\na.wav,wren\nb.wav, crow\n",
    "recording": "recording,label\na.wav,wren\nb.wav,crow\n",
    "trailing commas": "file,label,,\na.wav,wren,,\nb.wav,crow,,\n,,,\n,,,\n",
    "empty rows": "file,label\n\na.wav,wren\n\n\nb.wav,crow\n \n",
    "quotation marks": '"file","label"\n"a.wav","wren"\n"b.wav","crow"\n',
    "old line ends": "file,label\ra.wav,wren\rb.wav,crow\r",
    "empty lines first": "\n,,\n\nfile,label,\na.wav,wren,\nb.wav,crow,\n",
    "quoted sep": '"sep=;"\nfile;label\na.wav;wren\nb.wav;crow\n',
    "sep is a tab": "sep=\t\nfile\tlabel\na.wav\twren\nb.wav\tcrow\n",
    "unicode text": "file\tlabel\r\na.wav\twren\r\nb.wav\tcrow\r\n".encode("utf-16"),
    "big end first": b"\xfe\xff" + "file;label\na.wav;wren\nb.wav;crow\n".encode("utf-16-be"),
    "file name": "File name,Label\na.wav,wren\nb.wav,crow\n",
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_a_table_is_read_however_it_is_spelt(case, tmp_path):
    table = read_annotations(written(tmp_path, SPELLINGS[case]))
    assert rows(table, "file", "label") == TWO
    assert list(table.columns) == FIXED and table["start_s"].isna().all() and (table["group"] == "").all()


def test_cells_are_text_as_it_is_written_and_further_columns_stay(tmp_path):
    text = "file,label,Site,n\nx/001,NA,001,1e3\nnull,,a;b,\n"
    table = read_annotations(written(tmp_path, text))
    assert list(table.columns) == [*FIXED, "Site", "n"]
    cells = [("x/001", "NA", "001", "1e3"), ("null", "", "a;b", "")]
    assert rows(table, "file", "label", "Site", "n") == cells
    assert table.index.tolist() == ["line 2", "line 3"]


@pytest.mark.parametrize(("separator", "number"), [(";", "1,5"), ("\t", "1,5"), (";", "1.5"), (",", "1.5")])
def test_seconds_have_a_decimal_comma_where_commas_separate_nothing(separator, number, tmp_path):
    text = separator.join(["file", "start", "end", "label"]) + "\n" + separator.join(["a", "0", number, "x"])
    table = read_annotations(written(tmp_path, text))
    assert rows(table, "start_s", "end_s") == [(0, 1.5)]


def test_columns_are_called_as_the_user_says(tmp_path):
    text = "picture,species,part,label\na.png,wren,val,no\n"
    columns = {"file": "picture", "label": "species", "split": "part"}
    table = read_annotations(written(tmp_path, text), columns=columns)
    assert rows(table, *FIXED[3:], "file") == [("wren", "", "valid", "a.png")]
    with pytest.raises(Fault, match=r"needs the columns picture,kind\[,group,part,.*it lacks kind"):
        read_annotations(written(tmp_path, text), columns=columns | {"label": "kind"})


def test_json_and_parquet_are_tables_too(tmp_path):
    content = [{"file": "a.wav", "label": 7, "start": 1.5, "site": None}, {"file": "b.wav", "label": "NA"}]
    for file in (tmp_path / "table.json", tmp_path / "table.parquet"):
        if file.suffix == ".json":
            file.write_text(json.dumps(content))
        else:
            pytest.importorskip("pyarrow")
            pd.DataFrame(content).astype({"label": str}).to_parquet(file)
        table = read_annotations(file)
        assert rows(table, "file", "label", "site") == [("a.wav", "7", ""), ("b.wav", "NA", "")]
        first, second = table["start_s"]
        assert first == 1.5 and math.isnan(second)


def test_parquet_without_pyarrow_is_a_fault_with_the_pip_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Fault, match="pip install pyarrow"):
        read_annotations(written(tmp_path, b"PAR1", "table.parquet"))


RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t{}\n"
    '1\tWaveform 1\t1\t0.5\t1.0\t200\t900\t"wren\tx.wav\n'
    '1\tSpectrogram 1\t1\t0.5\t1.0\t200\t900\t"wren\tx.wav\n'
    "2\tSpectrogram 1\t1\t2.0\t2.5\t300\t800\t\tx.wav\n"
)


@pytest.mark.parametrize("head", ["Annotation\tBegin File", "Species\tBegin File", "label\tBegin File"])
def test_selection_tables_of_raven_are_read_and_each_selection_counts_once(head, tmp_path):
    table = read_annotations(written(tmp_path, RAVEN.format(head), "x.selections.txt"), TIMES)
    selections = [("x.wav", 0.5, 1.0, '"wren'), ("x.wav", 2.0, 2.5, "")]
    assert rows(table, "file", "start_s", "end_s", "label") == selections
    assert table["Low Freq (Hz)"].tolist() == ["200", "300"]


COMBINED = (
    "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\tlabel\n"
    "1\tSpectrogram 1\t0,5\t1,0\tC:\\x\\a.wav\t0,5\twren\n"
    "2\tSpectrogram 1\t62,0\t62,5\tC:\\x\\b.wav\t2,0\tcrow\n"
)


def test_a_selection_table_of_several_recordings_tells_times_within_each(tmp_path):
    table = read_annotations(written(tmp_path, COMBINED, "all.txt"), TIMES)
    assert rows(table, "start_s", "end_s", "label") == [(0.5, 1, "wren"), (2, 2.5, "crow")]
    result, _ = join(Samples.of(["a.wav", "b.wav"]), table, "all.txt")
    assert result.labels.tolist() == ["wren", "crow"]
    faulty = written(tmp_path, COMBINED.replace("wav\t2,0", "wav\tno"), "all.txt")
    with pytest.raises(Fault, match=r"line 3: file offset \(s\) must be seconds from 0, got 'no'"):
        read_annotations(faulty, TIMES)


@pytest.mark.parametrize(
    "name",
    ["a.b.Table.1.selections.txt", "a.b.txt", "a.b.BirdNET.selection.table.txt", "a.b.wav.audacity.txt"],
)
def test_a_table_of_one_recording_is_called_like_it(name, tmp_path):
    for text in (RAVEN.format("label\tother"), "0.5\t1\twren\n"):
        table = read_annotations(written(tmp_path, text, name))
        assert set(table["file"]) == {"a.b"} and table["start_s"].iloc[0] == 0.5
        result, _ = join(Samples.of(["a.b_segm_0000.500.png", "a.c.png"]), table, name)
        assert result.labels.tolist() == [table["label"].iloc[0], ""]


def test_label_tracks_of_audacity_are_read_with_their_frequencies(tmp_path):
    text = '0,5\t1,25\t"wren\n\\\t200,0\t-1\n2.0\t2.0\t\n3.0\t4.0\tcrow\n\\\t100\t900\n'
    table = read_annotations(written(tmp_path, text, "x.txt"), TIMES)
    assert rows(table, "start_s", "end_s", "label") == [(0.5, 1.25, '"wren'), (2, 2, ""), (3, 4, "crow")]
    assert rows(table, "Low Freq (Hz)", "High Freq (Hz)") == [("200,0", ""), ("", ""), ("100", "900")]
    assert (table["file"] == "").all() and table.index.tolist() == ["line 1", "line 3", "line 4"]


FAULTS = [
    (
        LABELS,
        "\ufeffname;label\na;b\n",
        r"needs the columns file,label\[,.*lacks file; it has 'name', 'label'",
    ),
    (LABELS, "", r"needs the columns file,label\[.*it lacks file, label"),
    (TIMES, "file,start,stop,label\nx,0,1,t\n", r"needs the columns start,end,label\[,file,.*lacks end"),
    (TIMES, "start\tstop\tlabel\n0\t1\tt\n", "needs the columns start,end,label.* it lacks end"),
    (LABELS, "file,label\na,p\xe1ssaro\n".encode("latin-1"), r"is not UTF-8 text \(byte 14\): save it"),
    (LABELS, 'file,label\n"a,wren\n' + "x" * 131_073, r"no CSV table \(field larger.*stray quotation"),
    (LABELS, "file,label\na,b\n".encode("utf-16")[:-1], r"is not UTF-16 text \(byte 30\): save it"),
    (LABELS, b"PK\x03\x04", "is a workbook, whatever its name says: save it as CSV UTF-8"),
    (LABELS, "file,label,label\na,b,c\n", "has several columns called label: rename"),
    (LABELS, "file,label\na,b,c\n", "line 2: has more cells than .* columns: 'c'"),
    (LABELS, "[{", "is not JSON"),
    (LABELS, "[" * 100_000, "is not JSON"),
    (
        LABELS,
        '{"audio": [{"file_name": "a", "class": "class0", "data_type": "test_data"}, 7]}',
        "must be a list",
    ),
    (LABELS, '{"file": "a"}', "must be a list of mappings, each with its `file`"),
    (LABELS, '[{"name": "a"}]', r"needs the columns file,label\[,group,.* it lacks file, label"),
    (LABELS, '["a"]', "must be a list of mappings"),
]


@pytest.mark.parametrize(("required", "content", "words"), FAULTS, ids=range(len(FAULTS)))
def test_what_is_no_such_table_is_a_fault(required, content, words, tmp_path):
    name = "table.json" if content[:1] in ("[", "{") else "table.csv"
    with pytest.raises(Fault, match=f"(?s){name}.*{words}"):
        read_annotations(written(tmp_path, content, name), required)


def test_a_list_of_clips_with_their_types_and_sets_is_a_table_as_it_is(tmp_path):
    clip = {"file_name": "kenya/a.wav", "class": "class0", "data_type": "test_data", "dataset": "test_kenya"}
    clips = [
        clip,
        clip | {"file_name": "sulawesi/b.wav", "data_type": "train_data", "class": None, "dataset": "x"},
    ]
    file = written(tmp_path, json.dumps({"audio": clips}), "dataset.json")
    table = read_annotations(file, ("file",), strict=True)
    assert rows(table, "file", "label", "split", "dataset") == [
        ("kenya/a.wav", "class0", "test", "test_kenya"),
        ("sulawesi/b.wav", "", "train", "x"),
    ]
    assert list(table.columns) == [*FIXED, "dataset"]
    renamed = read_annotations(file, columns={"label": "dataset"})
    assert renamed["label"].tolist() == ["test_kenya", "x"] and renamed["split"].tolist() == ["test", "train"]
    file = written(tmp_path, json.dumps([clip | {"file": "own.wav", "label": "own"}]), "own.json")
    assert rows(read_annotations(file), "file", "label", "class") == [("own.wav", "own", "class0")]
    wrong = [clip | {"data_type": "extra_data"}, clip | {"file_name": None}]
    file = written(tmp_path, json.dumps({"audio": wrong}), "dataset.json")
    with pytest.raises(
        Fault, match="(?s)2 rows.*entry 1: split must be .* got 'extra_data'.*entry 2: names no"
    ):
        read_annotations(file, ("file",), strict=True)


def test_all_rows_that_are_not_right_are_reported_at_once(tmp_path):
    text = "file,start,end,split\na,soon,,\na,-1,,\na,2,1,\na,0,inf,\n,0,1,\na,nan,,learn\na,1,2,val\n"
    with pytest.raises(Fault, match=": 7 rows are not right, correct or delete them:\n") as caught:
        read_annotations(written(tmp_path, text), ("file",), strict=True)
    for words in (
        "line 2: start must be seconds from 0, got 'soon'",
        "line 3: start must be seconds from 0, got '-1'",
        "line 4: must end after it starts, got start 2 and end 1 s",
        "line 5: end must be seconds from 0, got 'inf'",
        "line 6: names no file",
        "line 7: split must be train, valid, test or nothing, got 'learn'",
        "line 7: start must be seconds from 0, got 'nan'",
    ):
        assert f"\n  {words}" in str(caught.value)
    one = written(tmp_path, "file,start,end\na,1,1\n")
    assert read_annotations(one, ("file",))["end_s"].tolist() == [1]
    with pytest.raises(Fault, match="line 2: must end after it starts, got start 1 and end 1 s"):
        read_annotations(one, ("file",), strict=True)
    with pytest.raises(Fault, match="line 2: start must be seconds from 0, got ''"):
        read_annotations(written(tmp_path, "start,end,label\n,1,x\n"), TIMES)
    with pytest.raises(MissingFault, match="no such file: .*gone.csv"):
        read_annotations(tmp_path / "gone.csv")


TABLES = {
    "labels.csv": "file,label,start,end,date,time\na.wav,wren,0,1,2024-05-01,05:30\nb.wav,crow,1.5,2,,\n",
    "german.csv": "sep=;\nfile;label;start;end\na.wav;wren;0,5;1,5\nb.wav;crow;1;2\n",
    "excel.txt": "file\tlabel\na.wav\twren\nb.wav\tcrow\n".encode("utf-16"),
    "labels.json": json.dumps(
        [{"file": "a.wav", "label": 7, "start": 0.5, "end": 1}, {"file": "b.wav", "label": "x"}]
    ),
    "a.selections.txt": RAVEN.format("label\tBegin File"),
    "all.selections.txt": COMBINED,
    "a.txt": "0.5\t1.25\twren\n\\\t200\t900\n2.0\t2.0\tcrow\n",
    "labels.parquet": b"",
}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes flipped, cut out, doubled or replaced by what breaks readers."""
    bad = [
        b'"',
        b",,,",
        b"\0",
        b"\xff",
        b"1e999",
        b"[[[",
        b"{",
        b"NaN",
        b"-1",
        b"9" * 5000,
        b"\n",
        b"\xed\xa0\x80",
    ]
    for _ in range(rng.integers(1, 4)):
        first, last = sorted(rng.integers(0, len(content) + 1, 2))
        last = min(last, first + 20)
        middle = [
            b"",
            content[first:last] * 3,
            bytes(rng.integers(0, 256, 3).tolist()),
            bad[rng.integers(len(bad))],
        ]
        content = content[:first] + middle[rng.integers(4)] + content[last:]
    return content


@pytest.mark.parametrize("n", [150, pytest.param(1_500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables_are_read_or_refused_in_words(name, n, tmp_path):
    good = written(tmp_path, TABLES[name], name)
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        pd.DataFrame({"file": ["a.wav", "b.wav"], "label": ["x", "y"], "start": [0.5, 1]}).to_parquet(good)
    rng, content = np.random.default_rng(0), good.read_bytes()
    samples = Samples.of(["a.wav", "b_segm_0001.500.png"])
    for _ in range(n):
        good.write_bytes(damaged(content, rng))
        with suppress(Fault):
            join(samples, read_annotations(good), name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deep.json", '[{"file": "a.wav", "label": ' + "[" * 900 + "]" * 900 + "}]"),
        ("empty.json", '[{"file": "a.wav", "label": "x", "": 5, "self": 1, "name": 2}]'),
        ("long.csv", "file,label,note\na.wav,wren," + "x" * 131_073),
        ("many.csv", "file,label\na.wav,wren\n" + ",,\n" * 1000),
    ],
)
def test_cells_that_break_readers_are_read_or_refused_in_words(name, text, tmp_path):
    with suppress(Fault):
        table = read_annotations(written(tmp_path, text, name))
        assert join(Samples.of(["a.wav"]), table, name)[0].labels.tolist() != [""]


# The join

PICTURES = Samples.of(["a_segm_0000.000.png", "a_segm_0001.000.png", "b_segm_0000.000.png", "lonely.png"])
SEGMENTS = Samples.of(
    [f"s/x_segm_000{n}.000.wav" for n in range(3)], file="s/x.wav", start_s=range(3), end_s=range(1, 4)
)


def joined(samples: Samples, text: str, tmp_path: Path, **options) -> tuple[Samples, str]:
    result, remarks = join(samples, read_annotations(written(tmp_path, text)), "table.csv", **options)
    return result, "\n".join(remarks)


FIRST, SECOND = "a_segm_0000.000.png", "a_segm_0001.000.png"
PRECEDENCE = [  # what wins is what won before there was one join; "-" is no label
    (PICTURES, f"{SECOND},wren,\n", "- wren - -", "a a b lonely.png"),
    (PICTURES, f"{SECOND},wren,monday\n", "- wren - -", "monday monday b lonely.png"),
    (PICTURES, f"{FIRST},,monday\n{SECOND},,sunday\n", "- - - -", "monday sunday b lonely.png"),
    (PICTURES, "a.wav,wren,g\n", "wren wren - -", "g g b lonely.png"),
    (PICTURES, f"a.wav,wren,\n{SECOND},crow,\n", "wren crow - -", "a a b lonely.png"),
    (SEGMENTS, "s/x.wav,wren,g\n", "wren wren wren", "g g g"),
    (SEGMENTS, "s/x.wav,wren,\ns/x_segm_0001.000.wav,crow,\n", "wren crow wren", "s/x.wav s/x.wav s/x.wav"),
]


@pytest.mark.parametrize(("samples", "text", "labels", "groups"), PRECEDENCE)
def test_rows_are_matched_by_name_then_file_then_recording(samples, text, labels, groups, tmp_path):
    result, _ = joined(samples, f"file,label,group\n{text}", tmp_path)
    assert " ".join(label or "-" for label in result.labels) == labels
    assert " ".join(result.groups) == groups


def test_what_a_table_leaves_empty_stays_and_further_columns_come(tmp_path):
    samples = PICTURES.but(label=["a", "b", "c", "d"])
    text = "file,label,site,split\na_segm_0000.000.png,,here,test\nlonely.png,wren,there,Training\n"
    result, _ = joined(samples, text, tmp_path)
    assert result.labels.tolist() == ["a", "b", "c", "wren"] and result.others == ["site"]
    assert result.texts("site").tolist() == ["here", "", "", "there"]
    assert result.splits.tolist() == ["test", "", "", "train"]


def test_a_segment_is_of_the_stretch_in_which_it_begins(tmp_path):
    text = "file,label,start,end\ns/x.wav,wren,0,1\ns/x.wav,crow,1.0004,5\n"
    result, _ = joined(SEGMENTS, text, tmp_path)
    assert result.labels.tolist() == ["wren", "crow", "crow"]
    by_name, _ = joined(Samples.of(SEGMENTS.names), text, tmp_path)  # the name says where it begins
    assert by_name.labels.tolist() == ["wren", "crow", "crow"]
    whole, _ = joined(Samples.of(["s/x.wav"]), text, tmp_path)
    assert whole.labels.tolist() == [""]  # the stretches differ
    overlapping, _ = joined(SEGMENTS, text.replace("1.0004", "0"), tmp_path)
    assert overlapping.labels.tolist() == ["", "crow", "crow"]


def slow_lines(samples: Samples, table: pd.DataFrame) -> dict[str, list[int]]:
    """Which rows of a table of stretches are of a segment, by the definition: those it begins in."""
    return {
        name: [
            number
            for number, (file, first, end) in enumerate(
                table[["file", "start_s", "end_s"]].itertuples(index=False)
            )
            if file == sample.file
            and not sample.start_s < (first if first == first else 0) - 0.001
            and not sample.start_s >= (end if end == end else math.inf)
        ]
        for name, sample in samples.table.iterrows()
    }


@pytest.mark.parametrize("seed", range(20))
def test_segments_get_what_all_the_stretches_they_begin_in_say_alike(seed):
    rng = np.random.default_rng(seed)
    starts = rng.choice(400, 60, replace=False) / 100
    files = rng.choice(["x.wav", "y.wav"], 60)
    names = [f"{file[0]}_segm_{start:08.3f}.wav" for file, start in zip(files, starts, strict=True)]
    samples = Samples.of(names, file=files, start_s=starts, end_s=starts + 0.1)
    first = rng.choice(starts, 40) + rng.choice([0, 0.0005, 0.002], 40)
    edges = np.stack([first, first + rng.choice([0, 0.05, 0.3], 40)], axis=1)
    edges[rng.random((40, 2)) < 0.02] = np.nan
    rows = zip(rng.choice(["x.wav", "y.wav", "z.wav"], 40), *edges.T, rng.choice(list("ab"), 40), strict=True)
    columns = ["file", "start_s", "end_s", "label"]
    table = annotation_table(dict(zip(columns, row, strict=True)) for row in rows)
    table = table[table["start_s"].notna() | table["end_s"].notna()]
    labels = {name: {table["label"].iloc[n] for n in of} for name, of in slow_lines(samples, table).items()}
    result, _ = join(samples, table, "table")
    expected = {name: min(of) if len(of) == 1 else "" for name, of in labels.items()}
    assert result.table["label"].to_dict() == expected and len({*expected.values()}) > 1


def test_a_recording_of_many_segments_is_joined_with_as_many_stretches():
    n = 9_999
    samples = Samples.of(f"x_segm_{start:08.3f}.png" for start in range(n))
    rows = ({"file": "x.wav", "start_s": s, "end_s": s + 1.0, "label": f"{s}"} for s in range(n))
    table = annotation_table(rows)
    result, _ = join(samples, table, "table")
    assert result.labels.tolist() == [f"{start}" for start in range(n)]


def test_with_all_a_sample_of_several_labels_is_one_for_each(tmp_path):
    text = (
        "file,label,start,end,note\na.wav,wren,0,1,x\na.wav,crow,0,9,y\nlonely.png,owl,,,\nlonely.png,,,,z\n"
    )
    result, remarks = joined(PICTURES, text, tmp_path, several="all")
    again = "a_segm_0000.000.png#2"
    names = ["a_segm_0000.000.png", again, "a_segm_0001.000.png", "b_segm_0000.000.png", "lonely.png"]
    assert result.names.tolist() == names and result.labels.tolist() == ["wren", "crow", "crow", "", "owl"]
    assert result.files[1] == names[0] and set(result.groups[:3].tolist()) == {"a"}
    assert result.begins[:3].tolist() == [0, 0, 1]
    assert result.table["note"].tolist() == ["x", "y", "y", "", ""]
    assert "1 of 4 samples has more labels than one in table.csv and is a sample for each" in remarks
    text = "file,label,group\nlonely.png,wren,g\nlonely.png,crow,h\n"
    words = "'wren' of 'g' and 'crow' of 'h'\ngive all rows of it one group and split$"
    with pytest.raises(Fault, match=words):
        joined(PICTURES, text, tmp_path, several="all")
    assert joined(PICTURES, text.replace(",h", ",g"), tmp_path, several="all")[0].labels.tolist() == [
        *("", "", ""),
        *("wren", "crow"),
    ]


def test_a_mean_over_a_recording_has_what_its_segments_agree_on(tmp_path):
    means = Samples.of(np.array(["a", "b", "x/c"]))
    rows = "a_segm_0.0.png,wren,g\na_segm_1.0.png,crow,g\nb_segm_0.0.png,owl,\nx/c.wav,tit,\n"
    assert all(type(name) is str for name in means.table.index)
    result, remarks = joined(means, f"file,label,group\n{rows}", tmp_path)
    assert result.labels.tolist() == ["", "owl", "tit"] and result.groups.tolist() == ["g", "b", "x/c"]
    assert remarks == "1 of 3 samples has more labels than one in table.csv and gets none:\n  a"


NEAR = ["lonely.PNG", ".\\lonely.png", "lonely.wav", "lonely", "C:\\songs\\lonely.png", "songs/lonely.wav"]
DECOMPOSED, COMPOSED = (unicodedata.normalize(form, "Mésange.png") for form in ("NFD", "NFC"))


@pytest.mark.parametrize(("name", "file"), [("lonely.png", file) for file in NEAR] + [(DECOMPOSED, COMPOSED)])
def test_what_is_only_written_otherwise_is_matched_and_remarked_on_once(name, file, tmp_path):
    result, output = joined(Samples.of(["a.png", name]), f"file,label\n{file},wren\n", tmp_path)
    assert result.labels[result.names == name] == ["wren"] and output.count("written otherwise") == 1
    assert "1 files are written otherwise (suffix, folders, " in output
    assert f"{file!r} with {name!r}" in output


def test_means_of_recordings_whose_names_have_dots_get_their_labels(tmp_path):
    result, _ = joined(
        Samples.of(["bird.2021", "crow"]), "file,label\nbird.2021.wav,x\ncrow.wav,y\n", tmp_path
    )
    assert result.labels.tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("names", "file"),
    [
        (["x/a.wav", "y/a.wav"], "a.wav"),  # may be either
        (["x/a.wav"], "y/a.wav"),  # in another folder
        (["a.png", "a.wav"], "a"),
        (["x/a.wav", "a.wav"], "y/a.wav\na.wav"),  # one is there as it is written
        (["rec.ch1_segm_0001.000.png"], "rec.ch2.wav"),  # another channel: what follows a dot is no suffix
        (["b_segm_0001.500"], "b_segm_0001.750"),
    ],
)
def test_what_may_be_something_else_is_not_matched(names, file, tmp_path):
    table = read_annotations(written(tmp_path, "file,label\n" + file.replace("\n", ",x\n") + ",x\n"))
    result, remarks = join(Samples.of(names), table, "table", named=False)
    assert result.labels.tolist() == ["x" if name in file.split("\n") else "" for name in sorted(names)]
    assert any("labels" in remark for remark in remarks)
    assert any("a.wav may be x/a.wav or y/a.wav" in remark for remark in remarks) == (file == "a.wav")


def test_what_does_not_match_is_counted_on_both_sides_with_near_names(tmp_path):
    text = "file,label\nlonely.png,wren\na_segm_0001.00.png,crow\n"
    result, output = joined(PICTURES, text, tmp_path, what="pictures")
    assert "1 labels of table.csv are of none of the pictures" in output
    assert "\n  a_segm_0001.00.png" in output
    assert "'a_segm_0001.00.png' is nearly 'a_segm_0001.000.png'" in output
    assert "3 of 4 pictures are in no row of table.csv" in output
    text += "".join(f"gone_{n:02d}.png,crow\n" for n in range(12))
    beside, output = joined(PICTURES, text, tmp_path, named=False)  # all for a report, ten for the log
    assert "13 labels of table.csv" in output and output.count(".png\n  gone_") == 12
    assert first_lines(output).endswith("gone_08.png\n  ... and 7 more")


@pytest.mark.parametrize("text", ["x.png,a\ny.png,b\n", ""])
def test_a_table_that_matches_nothing_is_a_fault_where_it_is_named_else_a_remark(text, tmp_path):
    reason = "'x.png' there, 'a_segm" if text else "it has no row"
    words = f"table.csv labels none of the 4 pictures: {reason}"
    with pytest.raises(Fault, match=words):
        joined(PICTURES, f"file,label\n{text}", tmp_path, what="pictures")
    result, output = joined(PICTURES, f"file,label\n{text}", tmp_path, what="pictures", named=False)
    assert result is PICTURES and words in output


def test_two_rows_that_say_different_things_of_a_sample_are_listed(tmp_path):
    text = "file,label,group\nlonely.png,wren,g\nlonely.png,wren,g\nno.png,a,\nno.png,b,\nlonely.png,crow,\n"
    words = "two things of one sample:\n  line 6: lonely.png: 'wren' of 'g' and 'crow'$"
    with pytest.raises(Fault, match=words):
        joined(PICTURES, text, tmp_path)


def test_the_nearest_table_that_names_a_sample_is_taken_and_a_faulty_one_only_far_away_is_none(tmp_path):
    folder = tmp_path / "songs" / "images"
    folder.mkdir(parents=True)
    assert nearest_labels(PICTURES, folder) == (PICTURES, [])
    faulty = "name,label\nlonely.png,wren\n"
    (tmp_path / "labels.csv").write_text(faulty)
    result, (remark,) = nearest_labels(PICTURES, folder)
    assert result is PICTURES and remark.startswith(f"not used: {tmp_path / 'labels.csv'} needs the columns")
    (folder.parent / "labels.csv").write_text(faulty)
    with pytest.raises(Fault, match="needs the columns file,label"):
        nearest_labels(PICTURES, folder)
    (folder / "labels.csv").write_text("file,label\nno.png,wren\n")
    (folder.parent / "labels.csv").write_text("file,label\nlonely.png,finch\n")
    result, remarks = nearest_labels(PICTURES, folder, what="pictures")
    assert result.labels.tolist() == ["", "", "", "finch"]
    assert remarks[0].startswith(f"{folder / 'labels.csv'} labels none of the 4 pictures: 'no.png' there")


@pytest.mark.parametrize(("here", "there"), [("train/images", "valid/images"), ("train", "valid")])
def test_labels_of_a_table_for_two_folders_are_missed_where_they_are_of_neither(tmp_path, here, there):
    for folder in (tmp_path / here, tmp_path / there):
        folder.mkdir(parents=True)
    (tmp_path / there / "other.png").touch()
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},a\n" for name in PICTURES.names))
    with (tmp_path / "labels.csv").open("a") as table:
        table.write("other.png,a\n")
    assert nearest_labels(PICTURES, tmp_path / here)[1] == []
    (tmp_path / there / "other.png").unlink()
    (remark,) = nearest_labels(PICTURES, tmp_path / here)[1]
    assert remark.startswith(f"1 labels of {tmp_path / 'labels.csv'} are of none of the samples")


def test_names_that_are_no_unicode_are_names(tmp_path):
    samples = Samples.of(["a\udcff.wav", "a.wav"]).but(label=["x", ""], site=["\udcff", ""])
    assert samples.names.tolist() == ["a.wav", "a\udcff.wav"]
    table = read_annotations(written(tmp_path, json.dumps([{"file": "a\udcff.wav", "label": "y"}]), "t.json"))
    assert join(samples, table, "table")[0].labels.tolist() == ["x", "y"]


# Splits and recordings


def grouped(n: int, per_group: int) -> Samples:
    return Samples.of(
        [f"{row:03d}.png" for row in range(n)],
        group=[f"rec{row // per_group:02d}" for row in range(n)],
        label=[f"class {row // per_group % 3}" for row in range(n)],
    )


def test_the_same_recordings_are_set_aside_as_ever():
    train, valid = split(grouped(24, 3), 0.3, 7)
    assert sorted(set(grouped(24, 3).groups[valid])) == ["rec00", "rec06", "rec07"]
    assert sorted([*train, *valid]) == list(range(24))
    _, valid = split(grouped(24, 2), 0.25, 7, by_label=True)
    assert sorted(set(grouped(24, 2).groups[valid])) == ["rec00", "rec07", "rec08"]


def assert_parted(samples: Samples, rows: tuple[np.ndarray, np.ndarray]) -> list[Samples]:
    """Returns both sides, which have all samples and share no group."""
    sides = [samples.subset(side) for side in rows]
    assert all(map(len, sides)) and not set(sides[0].groups) & set(sides[1].groups)
    assert sorted([*sides[0].names, *sides[1].names]) == samples.names.tolist()
    return sides


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.99])
def test_a_split_keeps_recordings_whole_and_no_side_empty(share, seed):
    samples = grouped(200, 4)
    _, valid = assert_parted(samples, split(samples, share, seed))
    assert min(share * 200, 196) <= len(valid) < share * 200 + 4
    assert np.array_equal(split(samples, share, seed)[1], split(samples, share, seed)[1])


def test_a_number_of_samples_is_set_aside_of_which_some_remain_to_learn_from(caplog):
    assert [len(rows) for rows in split(grouped(200, 1), 40, 0)] == [160, 40]
    assert [len(rows) for rows in split(grouped(200, 4), 41, 0)] == [156, 44]
    assert "in place of" not in caplog.text
    for n in (25, 49, 60):  # n / 25 * 25 can be more than n
        assert [len(split(grouped(n, 1), part, 0)[1]) for part in range(1, n)] == [*range(1, n)]
    assert [len(rows) for rows in split(grouped(60, 1), 25, 0, by_label=True)] == [30, 30]
    words = (
        "data.valid: 30 samples are set aside in place of 25, since recordings stay whole and classes are on"
    )
    assert words in caplog.text
    with pytest.raises(Fault, match="data.valid: 200 of 200 pictures leave none to train on"):
        split(grouped(200, 4), 200, 0, what="pictures")


def labelled(labels: str, groups: str) -> Samples:
    return Samples.of([f"{n:03d}" for n in range(len(labels))], label=list(labels), group=list(groups))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_a_split_by_label_gives_both_sides_every_class(share):
    labels = "a" * 80 + "b" * 40 + "c" * 20
    samples = labelled(labels, [f"{name}{row // 4}" for row, name in enumerate(labels)])
    _, valid = assert_parted(samples, split(samples, share, 1, by_label=True))
    for name, n in zip("abc", (80, 40, 20), strict=True):
        assert (valid.labels == name).sum() / n == pytest.approx(share, abs=4 / n)  # a group more or less
    assert split(samples, share, 2, by_label=True)[1].tolist() != split(samples, share, 1, True)[1].tolist()


@pytest.mark.parametrize("seed", range(6))
def test_a_class_of_one_recording_is_trained_on(seed, caplog):
    samples = labelled("aaaabbbbcdddd", "1234567899wxy")
    train, valid = assert_parted(samples, split(samples, 0.25, seed, by_label=True))
    assert {"a", "b", "c", "d"} == set(train.labels) and "c" not in valid.labels
    assert "1 classes have too few recordings for both sides and are not in validation:\n  c" in caplog.text


def test_what_cannot_be_split_is_refused_and_single_samples_are_warned_of(caplog):
    for labels, groups, by_label, words in (
        ("aaaabb", "rrrrrr", True, "data.valid: 0.25 needs two recordings and two samples .* got 1 and 4"),
        ("ab", "rs", True, "got 2 and 1: name a folder instead"),
        ("aabb", "rrss", True, "data.valid: 0.25 needs two recordings of a class at least"),
        ("aabb", "rrrr", False, "at least two recordings, all 4 pictures come from 'r'"),
    ):
        with pytest.raises(Fault, match=words):
            split(labelled(labels, groups), 0.25, 0, by_label, what="pictures")
    split(grouped(6, 1), 0.5, 0, what="pictures")
    assert "every picture counts as a group of its own" in caplog.text


def test_a_table_says_who_learns_and_who_validates(caplog):
    samples = grouped(5, 1).but(split=["train", "", "valid", "test", "valid"])
    assert [rows.tolist() for rows in split_by_table(samples)] == [[0, 1], [2, 4]]
    with pytest.raises(Fault, match="names no sample to train on"):
        split_by_table(samples.but(split="test"))


def test_folders_that_share_names_or_recordings_are_warned_of(caplog):
    samples = grouped(12, 4)
    warn_of_shared(samples.subset(range(4)), samples.subset(range(4, 12)))
    assert not caplog.text
    warn_of_shared(samples, samples.subset(range(4)))
    assert "share 4 file names" in caplog.text and "share 1 recordings" in caplog.text


def test_a_recording_is_what_its_samples_say_alike():
    names = ["a_segm_0000.000.png", "a_segm_0001.000.png", "b.png", "c_segm_0000.000.png"]
    samples = Samples.of(names, label=list("xyxz"), group=list("gghh"), n=[1.0, 2.0, 3.0, 4.0])
    result = per_recording(samples)
    assert result.names.tolist() == ["a", "b", "c"] and result.labels.tolist() == ["", "x", "z"]
    assert result.groups.tolist() == ["g", "h", "h"]
    np.testing.assert_array_equal(result.table["n"], [np.nan, 3, 4])
    recordings, means = means_per_recording(samples.names, np.arange(8.0).reshape(4, 2))
    assert recordings.tolist() == ["a", "b", "c"] and means.dtype == np.float32
    assert means.tolist() == [[1, 2], [4, 5], [6, 7]]


@pytest.mark.parametrize("what", sorted({DATA[name].target.samples_are for name in DATA.names()}))
def test_one_sample_of_any_kind_is_counted_as_one_speaks_of_one(what):
    assert number_of(1, what) == f"1 {what[:-1]}" and number_of(1_000, f"{what} are") == f"1,000 {what} are"
    words = f"{what} cannot be used and are left out: they are silent"
    assert number_of(1, words) == f"1 {what[:-1]} cannot be used and is left out: they are silent"
    assert (
        number_of(1, f"of 3 {what} have no label and get none") == f"1 of 3 {what} has no label and gets none"
    )
    assert number_of(1, "classes were never learnt") == "1 class was never learnt"


@pytest.mark.parametrize(
    ("of_several", "of_one"),
    [
        ("features are the same and tell nothing", "feature is the same and tells nothing"),
        (
            "values of site have no set (fewer than two classes)",
            "value of site has no set (fewer than two classes)",
        ),
        ("of 1,200 samples have no label, as they are new", "of 1,200 samples has no label, as they are new"),
        ("classes that may be one, as they are alike", "class that may be one, as they are alike"),
        ("series are left out", "series is left out"),
        ("tensors are none of the model's", "tensor is none of the model's"),
    ],
)
def test_verbs_agree_with_one_thing(of_several, of_one):
    assert (number_of(2, of_several), number_of(1, of_several)) == (f"2 {of_several}", f"1 {of_one}")
