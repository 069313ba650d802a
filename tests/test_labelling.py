"""Labels, groups, splits and further columns of the samples of feature files: which source wins."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sounds import record, tone

from saec.config import Config
from saec.data.audio import Recordings
from saec.faults import Fault
from saec.preparation import PreparationSession, plan_preparation
from saec.report import EvaluationSession, plan_evaluation
from saec.samples import written_alike
from saec.sections.labels import Labels
from saec.session import SessionError, load_session

PICTURES = ["a_segm_0000.000.png", "a_segm_0001.000.png", "b_segm_0000.000.png", "c.png"]
SEGMENTS = ["crow/a_segm_0000.000.wav", "crow/a_segm_0000.200.wav", "tit/b_segm_0000.000.wav"]


def features(config: Config, names: list[str], file: str = "features.npz", **columns: list) -> str:
    """A feature file of these samples: an NPZ, or a CSV with further columns."""
    path = config.data / file
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(0).normal(size=(len(names), 3)).astype(np.float32)
    if path.suffix == ".npz":
        np.savez(path, X=rows, N=names)
    else:
        frame = pd.DataFrame(rows, columns=["Feature_1", "Feature_2", "Feature_3"])
        frame.assign(file=names, **columns).to_csv(path, index=False)
    return file


def table(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def pictures(config: Config) -> Path:
    """Four pictures that are listed and never opened, with a `labels.csv` beside their folder."""
    folder = config.data / "songs" / "images"
    folder.mkdir(parents=True)
    for name in PICTURES:
        (folder / name).touch()
    rows = (f"{PICTURES[0]},near,one,x", f"{PICTURES[2]},far,,y", "stranger.png,far,,")
    table(config.data / "songs" / "labels.csv", "file,label,group,site", *rows)
    return folder


@pytest.fixture
def sounds(config: Config) -> Path:
    """Two class folders with a recording each."""
    folder = config.data / "sounds"
    for name in ("crow/a.wav", "tit/b.wav"):
        record(folder / name, tone(500, 0.5))
    return folder


def joined(config: Config, **session) -> tuple[pd.DataFrame, str]:
    """One row a sample: label, group, split and further columns; and all remarks."""
    plain = {"evaluations": ["kmeans"], "explorer": None, "table": None, "inspect": False, "pixels": False}
    wanted = plain | session
    (one,) = plan_evaluation(load_session(wanted, EvaluationSession), config).sets.values()
    return one.samples.table, "\n".join(one.remarks)


def labels(config: Config, **session) -> list[str]:
    return joined(config, **session)[0]["label"].tolist()


def test_the_nearest_table_wins_over_the_feature_file_and_what_it_lacks_is_empty(config, pictures):
    file = features(
        config, PICTURES, "own.csv", Label=list("wxyz"), site=["p", "q", "r", "s"], size=[1, 2, 3, 4]
    )
    labelled, output = joined(config, images="songs/images", features=file)
    assert labelled["label"].tolist() == ["near", "", "far", ""]
    assert labelled["group"].tolist() == ["one", "one", "b", "c.png"]  # a recording's samples share its group
    assert labelled["site"].tolist() == ["x", "", "y", ""] and labelled["size"].tolist() == [1, 2, 3, 4]
    assert "2 of 4 pictures are in no row of" in output and "1 labels of" in output
    assert "have no label" not in output


def test_without_a_table_the_feature_files_own_labels_count_and_groups_are_recordings(config, pictures):
    file = features(config, PICTURES, "own.csv", Label=list("wxyz"), site=["p", "q", "r", "s"])
    labelled, _ = joined(config, features=file)
    assert labelled["label"].tolist() == list("wxyz") and labelled["site"].tolist() == ["p", "q", "r", "s"]
    assert labelled["group"].tolist() == ["a", "a", "b", "c.png"] and set(labelled["split"]) == {""}
    both = {"own": file, "plain": features(config, PICTURES)}
    assert labels(config, features=both) == list("wxyz")
    other = features(config, PICTURES, "other.csv", Label=list("wxyy"))
    with pytest.raises(Fault, match="own and other label 1 samples differently:\n  c.png"):
        joined(config, features={"own": file, "other": other})


def test_a_table_that_the_session_names_wins_over_the_nearest_one(config, pictures):
    table(config.data / "mine.csv", "file,label", *(f"{name},mine" for name in PICTURES[:3]), "d.png,mine")
    session = {"images": "songs/images", "features": features(config, PICTURES)}
    labelled, output = joined(config, labels="mine.csv", **session)
    assert labelled["label"].tolist() == ["mine"] * 3 + [""] and "site" not in labelled
    assert "mine.csv are of none of the pictures" in output
    assert labels(config, labels={"least": 1}, **session) == ["near", "", "far", ""]
    assert labels(config, labels={"least": 2}, **session) == ["", "", "", ""]


def test_folders_and_patterns_win_over_the_nearest_table(config, pictures):
    for name in (*PICTURES[:2], "d.png"):
        table(config.data / "sorted" / name[0] / name)
    table(config.data / "sorted" / "a" / "._d.png")  # as macOS leaves them
    session = {"images": "songs/images", "features": features(config, PICTURES)}
    labelled, output = joined(config, labels={"folders": "sorted"}, **session)
    assert labelled["label"].tolist() == ["a", "a", "", ""] and "1 labels of" in output
    pattern = r"^(?P<group>(?P<label>[ab]))_segm_(?P<split>\d)?"
    labelled, _ = joined(config, labels={"pattern": pattern}, **session)
    assert (
        labelled["label"].tolist() == ["a", "a", "b", ""] == labelled["group"].replace("c.png", "").tolist()
    )
    assert labelled["split"].tolist() == ["0", "0", "0", ""]


def test_labels_that_two_rows_or_folders_say_otherwise_are_refused(config, pictures):
    session = {"features": features(config, PICTURES)}
    table(config.data / "twice.csv", "file,label,site", "c.png,a,x", "c.png,b,x")
    with pytest.raises(Fault, match="says two things of one sample:\n *line 3: c.png: 'a' and 'b'"):
        joined(config, labels="twice.csv", **session)
    for label in "ab":
        table(config.data / "sorted" / label / "c.png")
    with pytest.raises(Fault, match="says two things of one sample:\n *.*b/c.png: c.png: 'a' and 'b'"):
        joined(config, labels={"folders": "sorted"}, **session)
    table(config.data / "else.csv", "file,label", "x.png,a")
    with pytest.raises(Fault, match="labels none of the 4 samples: 'x.png' there"):
        joined(config, labels="else.csv", **session)


def test_of_several_labels_the_session_may_take_the_first(config, pictures):
    session = {"features": features(config, PICTURES)}
    head, of_sound = "file,label,start,end", ("a.wav,x,0,2", "a.wav,y,1,2")
    table(config.data / "twice.csv", head, "c.png,a,,", "c.png,b,,", *of_sound)
    with pytest.raises(Fault, match=r"(?s)says two things of one sample:.*`several: first` takes the first$"):
        joined(config, labels="twice.csv", **session)
    table(config.data / "twice.csv", head, "c.png,,,", *of_sound)
    labelled, output = joined(config, labels="twice.csv", **session)
    assert labelled["label"].tolist() == ["x", "", "", ""]
    several = "1 of 4 samples has more labels than one in"
    assert several in output and f"and gets none:\n  {PICTURES[1]}\n`several: first`" in output
    assert "1 of 4 samples has no label in their row of" in output
    labelled, output = joined(config, labels={"file": "twice.csv", "several": "first"}, **session)
    assert (
        labelled["label"].tolist() == ["x", "x", "", ""] and several in output and "gets the first" in output
    )
    with pytest.raises(SessionError, match="rows of features have one label each, .* `several: first`, or"):
        joined(config, labels={"file": "twice.csv", "several": "all"}, **session)


def test_columns_may_be_called_otherwise_and_words_of_the_split_are_lowered(config, pictures):
    rows = zip(PICTURES, "abab", ("Train", "TEST", "", "x"), strict=True)
    lines = [f"{name},{label},{side}" for name, label, side in rows]
    table(config.data / "mine.csv", "picture,species,part", *lines)
    columns = {"file": "picture", "label": "species", "split": "part"}
    file = features(config, PICTURES)
    labelled, output = joined(config, features=file, labels={"file": "mine.csv", "columns": columns})
    assert labelled["label"].tolist() == list("abab")
    assert labelled["split"].tolist() == ["train", "test", "", "x"]
    assert "2 samples with a label are neither 'train' nor 'test'" in output
    assert "1 group (recordings) is on both sides of the split" in output


def test_labels_of_a_recording_hold_for_its_segments(config, pictures):
    lines = ["a.wav,whole,g", "b.wav,other,", "e.wav,gone,"]
    table(config.data / "mine.csv", "file,label,group", *lines)
    labelled, output = joined(config, features=features(config, PICTURES), labels="mine.csv")
    assert labelled["label"].tolist() == ["whole", "whole", "other", ""]
    assert labelled["group"].tolist() == ["g", "g", "b", "c.png"]
    assert "1 labels of" in output and "e.wav" in output and "a.wav" not in output


def test_of_means_over_recordings_what_all_segments_agree_on_is_kept(config, sounds):
    lines = [f"{name},{label},g,{site}" for name, label, site in zip(SEGMENTS, "aab", "xyz", strict=True)]
    table(config.data / "mine.csv", "file,label,group,site", *lines)
    file = features(config, SEGMENTS)
    labelled, _ = joined(config, features=file, labels="mine.csv", per="recording")
    assert labelled.index.tolist() == ["crow/a", "tit/b"] and labelled["label"].tolist() == ["a", "b"]
    assert labelled["site"].tolist() == ["", "z"] and labelled["group"].tolist() == ["g", "g"]
    own = features(config, SEGMENTS, "own.csv", Label=list("abb"), site=list("xyz"))
    labelled, _ = joined(config, features=own, per="recording")
    assert labelled["label"].tolist() == ["", "b"] and "site" not in labelled


def test_classes_that_are_written_alike_and_a_split_of_one_side_are_named(config, sounds):
    table(sounds / "list.csv", "file,label,split", "crow/a.wav,Wren,train", "tit/b.wav,wren,valid")
    labelled, output = joined(config, features=features(config, SEGMENTS), sounds="sounds/list.csv")
    assert "classes that may be one, as they are written alike:\n  'Wren' and 'wren'" in output
    assert written_alike(["1.1", "11", "C", "C++", "a-b", "ab"]) == []
    assert f"all of {sounds} is of the split train, which parts nothing" in output
    assert set(labelled["split"]) == {""}


REEFS = {"kenya": "test_data", "bermuda": "test_data", "sulawesi": "train_data", "lonely": "test_data"}


@pytest.fixture
def reefs(config: Config) -> tuple[dict, list[str]]:
    """A session on clips that a `dataset.json` names, and their names; on the reef `lonely` is one class."""
    clips = []
    for reef, kind in REEFS.items():
        for n in range(4):
            name = f"class{n % 2 if reef != 'lonely' else 0}"
            clips.append({"file_name": f"{reef}/{n}.wav", "class": name, "data_type": kind, "dataset": reef})
            record(config.data / "reef" / reef / f"{n}.wav", tone(500, 0.1))
    table(config.data / "reef" / "dataset.json", json.dumps({"audio": clips}))
    names = [clip["file_name"] for clip in clips]
    session = {"sounds": "reef/dataset.json", "by": "dataset", "evaluations": [], "explorer": None}
    return session | {"features": features(config, names), "inspect": False}, names


def test_each_value_of_a_column_is_a_set_of_its_own(config, reefs):
    session, names = reefs
    sets = plan_evaluation(load_session(session, EvaluationSession), config).sets
    assert list(sets) == ["bermuda", "kenya"]  # lonely has one class, and sulawesi is trained on
    one = sets["kenya"]
    assert one.names.tolist() == names[:4] and one.samples.labels.tolist() == ["class0", "class1"] * 2
    assert one.split is None
    assert "all of dataset kenya is of the split test, which parts nothing and is not used" in one.remarks
    whole = np.load(config.data / "features.npz")["X"]
    assert np.array_equal(one.tables["features"].rows, whole[:4])
    left = "2 values of dataset have no set .*:\n  lonely: 4 sounds\n  sulawesi: 4 sounds"
    assert re.search(left, "\n".join(sets["bermuda"].remarks))
    whole[:, 0] = 1
    np.savez(config.data / "features.npz", X=whole, N=names)
    constant = plan_evaluation(load_session(session, EvaluationSession), config).sets
    said = ["the same for all" in "".join(one.remarks) for one in constant.values()]
    assert said == [True, False]  # once
    several = {key: session.pop(key) for key in ("by", "features", "sounds")}
    sets = plan_evaluation(
        load_session(session | {"sets": {"a": several, "b": several}}, EvaluationSession), config
    )
    assert list(sets.sets) == ["a bermuda", "a kenya", "b bermuda", "b kenya"]
    session["sets"] = {"a": several, "b": several | {"by": "reef"}}
    with pytest.raises(SessionError, match="fault:\n  sets.b.by: no column 'reef'"):
        plan_evaluation(load_session(session, EvaluationSession), config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"by": "reef"}, "fault:\n  by: no column 'reef', choose from dataset"),
        ({"by": "split"}, "by: no column 'split', choose from dataset"),
        ({"labels": {"pattern": "(?P<label>[0-9])"}}, "by: no column 'dataset', there are none"),
        ({"labels": {"least": 3}}, "by: no value of dataset has samples of two classes"),
    ],
)
def test_a_column_that_makes_no_sets_is_a_fault(config, reefs, changes, words):
    with pytest.raises(SessionError, match=words):
        plan_evaluation(load_session(reefs[0] | changes, EvaluationSession), config)


def test_classes_of_too_few_groups_are_left_out_of_each_part_for_itself(config, reefs):
    session, names = reefs
    rows = [(name, f"class{n % 2}", name.partition("/")[0]) for n, name in enumerate(names)]
    rows = [row for row in rows if row[0] != "kenya/1.wav"]  # one alone of class1 is left in kenya
    table(config.data / "few.csv", "file,label,dataset\n" + "\n".join(map(",".join, rows)))
    session = session | {"evaluations": ["knn"], "labels": "few.csv", "sounds": None}
    with pytest.raises(
        SessionError, match="(?s)evaluations of kenya: .*leave them out by `labels: {least: 2}`"
    ):
        plan_evaluation(load_session(session, EvaluationSession), config)
    labels = {"file": "few.csv", "least": 2}
    sets = plan_evaluation(load_session(session | {"labels": labels}, EvaluationSession), config).sets
    assert list(sets) == ["bermuda", "lonely", "sulawesi"]
    assert any("kenya: 3 samples" in remark for remark in sets["bermuda"].remarks)


def test_a_table_that_tests_everything_parts_nothing(config, reefs):
    session, names = reefs
    file = features(config, names[:8], "tested.npz")
    labelled, output = joined(config, features=file, labels="reef/dataset.json")
    assert set(labelled["split"]) == {""} and labelled["dataset"].tolist() == ["bermuda"] * 4 + ["kenya"] * 4
    assert "dataset.json is of the split test, which parts nothing and is not used" in output


def test_class_folders_of_sound_label_segments_unless_a_table_or_a_pattern_does(config, sounds):
    session = {"features": features(config, SEGMENTS), "sounds": "sounds"}
    labelled, output = joined(config, **session)
    assert labelled["label"].tolist() == ["crow", "crow", "tit"] and set(labelled["split"]) == {""}
    assert labelled["group"].tolist() == ["crow/a.wav", "crow/a.wav", "tit/b.wav"]
    table(config.data / "mine.csv", "file,label", "crow/a.wav,mine")
    assert labels(config, labels="mine.csv", **session) == ["mine", "mine", ""]
    assert labels(config, labels={"pattern": "/(?P<label>.)_"}, **session) == ["a", "a", "b"]
    table(sounds / "labels.csv", "file,label,group", "crow/a.wav,told,one")
    labelled, _ = joined(config, **session)
    assert labelled["label"].tolist() == ["told", "told", "tit"]
    assert labelled["group"].tolist() == ["one", "one", "tit/b.wav"]
    assert joined(config, per="recording", **session)[0]["label"].tolist() == ["told", "tit"]


def test_a_table_of_sound_says_labels_of_stretches_and_splits(config, sounds):
    head = "file,label,split,start,end"
    lines = ["crow/a.wav,caw,train,0,0.2", "crow/a.wav,alarm,valid,0.2,0.4", "tit/b.wav,song,test,,"]
    table(sounds / "list.csv", head, *lines)
    session = {"features": features(config, SEGMENTS), "sounds": "sounds/list.csv"}
    labelled, _ = joined(config, **session)
    assert labelled["label"].tolist() == ["caw", "alarm", "song"]
    assert labelled["split"].tolist() == ["train", "train", "test"]  # what chose among trainings is no test
    table(sounds / "list.csv", head, *lines[:2], "tit/b.wav,song,valid,,")
    labelled, _ = joined(config, **session)
    assert set(labelled["split"]) == {""}  # one side alone parts nothing
    labelled, _ = joined(config, per="recording", **session)
    assert labelled["label"].tolist() == ["", "song"]
    session["features"] = features(config, ["x.png", "y.png"])
    with pytest.raises(Fault, match="labels none of the 2 sounds: 'crow/a.wav' there, 'x.png' here"):
        joined(config, **session)


MOTHS = ["20240501_235950_segm_0012.500.png", "S4A01234_20240501_053000.png", "x.png"]


def when(table: pd.DataFrame) -> list[tuple]:
    return list(table[["time", "date", "hour", "site"]].fillna(-1).itertuples(index=False, name=None))


def test_names_of_recorders_say_when_and_where_and_segments_begin_later(config):
    labelled, output = joined(config, features=features(config, MOTHS))
    assert when(labelled) == [
        ("2024-05-02T00:00:02.500", "2024-05-02", pytest.approx(2.5 / 3600), ""),
        ("2024-05-01T05:30:00", "2024-05-01", 5.5, "S4A01234"),
        ("", "", -1, ""),
    ]
    assert "1 of 3 samples has no date and time in a table or in the names of files:\n  x.png" in output
    labelled, output = joined(config, features=features(config, PICTURES))
    assert not {"time", "hour", "date", "site"} & {*labelled.columns} and "date and time" not in output


def test_a_pattern_says_when_and_where_beside_labels_of_any_source(config):
    names = ["north-2023.12.31-2359_segm_0090.000.png", "south-2024.01.01-0001_segm_0000.000.png"]
    pattern = r"(?P<site>\w+)-(?P<date>[\d.]+)-(?P<time>\d+)"
    table(config.data / "mine.csv", "file,label", *(f"{name},wren" for name in names))
    session = {"features": features(config, names)}
    labelled, _ = joined(config, labels={"file": "mine.csv", "pattern": pattern}, **session)
    assert labelled["label"].tolist() == ["wren", "wren"] and labelled["site"].tolist() == ["north", "south"]
    assert labelled["time"].tolist() == ["2024-01-01T00:00:30", "2024-01-01T00:01:00"]
    both = r"(?P<label>(?P<site>\w+))-(?P<date>[\d.]+)"
    labelled, _ = joined(config, labels={"pattern": both}, **session)
    assert labelled["label"].tolist() == ["north", "south"]
    assert labelled["time"].tolist() == ["2023-12-31", "2024-01-01"] and "hour" not in labelled
    with pytest.raises(Fault, match="matches none of 2 names, such as 'north"):
        joined(config, labels={"pattern": "(?P<site>q)"}, **session)


CLOCKS = {  # a table, and when the two segments of a (at 0 and 1 s) begin
    "recording": ("file,label,Date,Time\na.wav,x,2024-05-01,05:30", "2024-05-01T05:30:0"),
    "german": ("file;label;Date;Time\na.wav;x;01.05.2024;05:30:00", "2024-05-01T05:30:0"),
    "one column": ("file,label,datetime\na.wav,x,2024-05-01 05:30:00", "2024-05-01T05:30:0"),
    "zone as written": ("file,label,datetime\na.wav,x,2024-05-01T05:30+0200", "2024-05-01T05:30:0{}+02:00"),
    "stretches": ("file,label,start,end,date,time\n" + "a.wav,x,0,9,20240501,053000", "2024-05-01T05:30:0"),
    "own rows": (
        f"file,label,date,time\n{PICTURES[0]},x,20240501,5:30\n{PICTURES[1]},x,20240501,5:30:01",
        "2024-05-01T05:30:0",
    ),
    "raven": (
        "Begin File\tBegin Time (s)\tEnd Time (s)\tlabel\tBegin Date\tBegin Clock Time\n"
        "a.wav\t0\t.5\tx\t2024/05/01\t05:30:00.000\na.wav\t.7\t9\tx\t2024/05/01\t05:30:00.700",
        "2024-05-01T05:30:0",
    ),
    "time alone": ("file,label,time\na.wav,x,5:30 PM", "17:30:0"),
}
READ = {  # a table of two recordings, a column of their samples, and whether something cannot be read
    "numbers are no time": ("file,label,time\n{},x,1.5\n{},y,2", "time", ["1.5", "2"], False),
    "words are no date": (
        "file,label,date,time\n{},x,12/31/2023,05:30\n{},y,,05:30",
        "time",
        ["05:30:00"] * 2,
        True,
    ),
    "fractions of a day": (
        "file,label,date,time\n{},x,2024-05-01,0.2292\n{},y,2024-05-01,0.229",
        "time",
        ["2024-05-01"] * 2,
        True,
    ),
    "sites of numbers": ("file,label,site\n{},x,001\n{},y,0", "site", ["001", "0"], False),
    "a date and the time of the name": (
        "file,label,date\nA_20240501_053000.wav,x,2024-05-01\nB_20240501_053000.wav,y,2024-05-02",
        "time",
        ["2024-05-01T05:30:00", "2024-05-02"],
        False,
    ),
    "a time and the date of the name": (
        "file,label,time\nA_20240501_053000.wav,x,05:31\nB_20240501_053000.wav,y,",
        "time",
        ["2024-05-01T05:31:00", "2024-05-01T05:30:00"],
        False,
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_a_table_says_of_when_and_where_is_read_as_it_is_written_or_counted(case, config):
    text, column, wanted, unread = READ[case]
    text = text.format("a.wav", "b.wav")
    table(config.data / "mine.csv", *text.split("\n"))
    names = [line.partition(",")[0] for line in text.split("\n")[1:]]
    labelled, output = joined(config, features=features(config, names), labels="mine.csv")
    assert labelled[column].tolist() == wanted and ("cannot be read" in output) == unread


@pytest.mark.parametrize("case", CLOCKS)
def test_tables_say_when_files_begin_whatever_their_columns_are_called(case, config, pictures):
    text, time = CLOCKS[case]
    table(config.data / "mine.txt", *text.split("\n"))
    labelled, output = joined(config, features=features(config, PICTURES), labels="mine.txt")
    time = time if "{}" in time else time + "{}"
    assert labelled["time"].tolist() == [time.format(0), time.format(1), "", ""]
    assert "cannot be read" not in output


NIGHT = ["A_20240331_005959_segm_0001.000.png", "B_20240501T223000Z.png", "C_20240501T053000-0700.png"]
ZONES = {  # what a session states, when samples of these names begin, and what is said
    "nothing": (
        {},
        ["2024-03-31T01:00:00", "2024-05-01T22:30:00+00:00", "2024-05-01T05:30:00-07:00"],
        "(none: 1, UTC: 1, UTC-07:00: 1)",
    ),
    "both": (  # in the first recording summer time begins
        {"clock": "UTC", "shown_in": "Europe/Zurich"},
        ["2024-03-31T03:00:00+02:00", "2024-05-02T00:30:00+02:00", "2024-05-01T14:30:00+02:00"],
        "",
    ),
    "clock": (
        {"clock": "UTC+2"},
        ["2024-03-31T01:00:00+02:00", "2024-05-02T00:30:00+02:00", "2024-05-01T14:30:00+02:00"],
        "",
    ),
    "shown_in": (
        {"shown_in": "+0530"},
        ["2024-03-31T01:00:00", "2024-05-02T04:00:00+05:30", "2024-05-01T18:00:00+05:30"],
        "1 of 3 samples has times without a date or time zone",
    ),
}


@pytest.mark.parametrize("case", ZONES)
def test_times_are_converted_where_the_user_or_they_themselves_state_a_zone(case, config):
    stated, times, words = ZONES[case]
    labelled, output = joined(config, features=features(config, NIGHT), labels=stated)
    assert labelled["time"].tolist() == times and labelled["date"].tolist() == [time[:10] for time in times]
    assert labelled["hour"].tolist() == [int(time[11:13]) + int(time[14:16]) / 60 for time in times]
    assert words in output and ("time zone" in output) == bool(words)


@pytest.mark.parametrize("zone", ["Z", "+00:00", " UTC", " (UTC)", " GMT+0", "+0000"])
def test_a_time_states_its_zone_in_any_usual_way(zone, config):
    table(config.data / "mine.csv", "file,label,datetime", f"a.png,x,2024-05-01 05:30:00{zone}", "b.png,y,")
    given = {"file": "mine.csv", "shown_in": "Asia/Tokyo"}
    labelled, _ = joined(config, features=features(config, ["a.png", "b.png"]), labels=given)
    assert labelled["time"].tolist() == ["2024-05-01T14:30:00+09:00", ""]


def test_a_zone_that_is_none_or_has_nothing_to_convert_is_a_fault(config):
    near = {"Europe/Zürich": "Europe/Zurich", "zurich": "Europe/Zurich", "UTC+25": "or UTC[+]2", "": "or UTC"}
    for zone, words in near.items():
        with pytest.raises(ValidationError, match=f"no time zone '{zone.replace('+', '.')}'.*{words}"):
            Labels(clock=zone)
    for names, words in ((["x.png", "y.png"], "0 of 2"), (MOTHS[1:], "1 of 2")):
        with pytest.raises(Fault, match=f"no time is converted: {words} samples have times without"):
            joined(config, features=features(config, names), labels={"shown_in": "UTC"})


def test_a_date_that_cannot_be_read_is_counted_and_a_recordings_own_name_says_the_site(config, pictures):
    table(config.data / "mine.csv", "file,label,date,site", "a.wav,x,5/1/2024,here", "b.wav,y,20240501,there")
    rows = [f"{PICTURES[3]},A_very_long_name_of_a_site_20240501_053000.wav,0,1"]
    table(pictures / "prepared.csv", "file,recording,start,end", *rows)
    labelled, output = joined(
        config, images="songs/images", features=features(config, PICTURES), labels="mine.csv"
    )
    assert "1 row of" in output
    assert "has a date or time that cannot be read" in output
    assert "\n  5/1/2024" in output
    assert labelled["site"].tolist() == ["here", "here", "there", "A_very_long_name_of_a_site"]
    assert labelled["time"].tolist() == ["", "", "2024-05-01", "2024-05-01T05:30:00"]


def test_files_that_are_cut_before_begin_when_a_table_of_sound_says(config):
    name = "rec_segm_0010.000.wav"
    for file in (name, "other.wav"):
        record(config.data / "sounds" / file, tone(500, 0.5))
    rows = [f"{name},x,2024-05-01,05:30:10", "other.wav,y,2024-05-01,05:30:10"]
    table(config.data / "sounds" / "list.csv", "file,label,date,time", *rows)
    labelled, _ = joined(config, features=features(config, [name, "other.wav"]), sounds="sounds/list.csv")
    assert sorted(labelled["time"]) == ["2024-05-01T05:30:10"] * 2


def test_folders_are_no_classes_where_a_table_labels_some_of_their_pictures(config):
    names = [f"2024-05-0{day}/{name}.png" for day in (1, 2) for name in "ab"]
    for name in names:
        (config.data / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (config.data / "images" / name).touch()
    session = {"features": features(config, names), "images": "images"}
    assert labels(config, **session) == ["2024-05-01"] * 2 + ["2024-05-02"] * 2
    file = table(config.data / "images" / "labels.csv", "file,label,group", f"{names[0]},wren,g")
    assert labels(config, **session) == ["wren", "", "", ""]
    table(file, "file,label,group", f"{names[0]},,g")
    assert labels(config, **session) == ["2024-05-01"] * 2 + ["2024-05-02"] * 2


RAVEN = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation"
WRITTEN = {  # two sounds of crow/a.wav
    "german.csv": "sep=;\nFile;Start;End;Label\na.wav;0,0;0,2;caw\na.wav;0,2;0,4;alarm\n;;;\n",
    "unicode.txt": "FILE\tSTART\tEND\tLABEL\r\ncrow\\a.WAV\t0\t0,2\tcaw\r\ncrow\\a.WAV\t0,2\t0,4\talarm\r\n",
    "all.selections.txt": f"{RAVEN}\tBegin Path\tFile Offset (s)\n"
    "1\tSpectrogram 1\t60.0\t60.2\t1\t2\tcaw\tC:\\x\\crow\\a.wav\t0.0\n"
    "2\tSpectrogram 1\t60.2\t60.4\t1\t2\talarm\tC:\\x\\crow\\a.wav\t0.2\n",
    "a.Table.1.selections.txt": f"{RAVEN}\n1\tWaveform 1\t0.0\t0.2\t1\t2\tcaw\n"
    "1\tSpectrogram 1\t0.0\t0.2\t1\t2\tcaw\n"
    "2\tSpectrogram 1\t0.2\t0.4\t1\t2\talarm\n",
    "a.txt": "0.0\t0.2\tcaw\n\\\t100.0\t900.0\n0.2\t0.4\talarm\n\\\t-1\t-1\n",
    "rows.json": '[{"file": "a.wav", "start": 0, "end": 0.2, "label": "caw"},'
    ' {"file": "a.wav", "start": 0.2, "end": 0.4, "label": "alarm"}]',
}
SOUNDS = [(0.0, 0.2, "caw"), (0.2, 0.4, "alarm")]


@pytest.mark.parametrize("name", WRITTEN)
def test_every_kind_of_table_is_read_wherever_tables_are(name, config, sounds):
    path = sounds / name
    path.write_bytes(WRITTEN[name].encode("utf-16" if name == "unicode.txt" else "utf-8"))
    assert labels(config, features=features(config, SEGMENTS), labels=str(path)) == ["caw", "alarm", ""]
    listed = Recordings(path).listed
    assert set(listed.files) == {"crow/a.wav"}
    assert [(*times, label) for times, label in zip(listed.times, listed.labels, strict=True)] == SOUNDS
    session = {"recordings": sounds, "annotations": path, "segment_s": 0.1, "sample_rate": 8000}
    (wanted,) = plan_preparation(load_session(session, PreparationSession), config).wanted
    assert [(one.start_s, one.end_s, one.label) for one in wanted.annotations] == SOUNDS
    rows = [f"{file},0,0.4,caw,1,0" for file in ("crow/a.wav", "tit/b.wav")]
    table(config.data / "predictions.csv", "file,start,end,predicted,p caw,p alarm", *rows)
    session = {"predictions": {"file": "predictions.csv", "truth": str(path)}}
    tracks = plan_evaluation(load_session(session, EvaluationSession), config).sections["predictions"].tracks
    assert tracks["truth"].tolist() == ["caw", "caw", "alarm", "alarm"]
    assert set(tracks["file"]) == {"crow/a.wav"}
