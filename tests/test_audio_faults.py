"""Whatever is wrong with sound: one message and nothing damaged, or a warning, and the work goes on."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, intensities, training_session, write_pictures
from small_runs import untrained_run, workplace
from sounds import CNN, LINEAR, MEL, RATE, features_session, heard_session, record, record_classes, tone
from test_faults import answer, contents, refused

import main_01_train
import main_02_extract
from saec.config import Config
from saec.runs import Run
from saec.runs.find import all_runs
from saec.sound.handcrafted import Handcrafted

ONE_EPOCH = {"epochs": 1, "batch_size": 4, "precision": "fp32"}


@pytest.fixture
def sounds(config: Config) -> Path:
    """Four recordings of each of three classes."""
    return record_classes(config.data / "sounds")


def session(**data: Any) -> dict[str, Any]:
    return heard_session(data=data, training=ONE_EPOCH)


def trained_on(config: Config, said: dict[str, Any]) -> tuple[Run, str]:
    """The one run that a session gives, and what was said meanwhile."""
    code, out, words = answer(main_01_train, said, config)
    (run,) = all_runs(config.models)
    assert (code, out) == (0, f"{run.folder}\n"), words
    return run, words


# Files


def cut_off(file: Path, sound: np.ndarray, **options: Any) -> None:
    whole = record(file, sound, **options).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])


def not_numbers(file: Path) -> None:
    sound = tone(300)
    sound[700] = np.nan
    record(file, sound, subtype="FLOAT")


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "three.wav": (lambda file: record(file, tone(300)[:3]), "has 3 samples at 8000 Hz, 128 are needed"),
    "nan.wav": (not_numbers, "holds samples that are not numbers (NaN or infinite)"),
    "cut.wav": (lambda file: cut_off(file, tone(300)), "is truncated: 3,200 bytes announced, "),
    "cut.flac": (lambda file: cut_off(file, tone(300, 3.0)), ""),
    "empty.wav": (lambda file: file.touch(), "is empty (0 bytes)"),
    "text.wav": (lambda file: file.write_text("no sound but long enough"), "cannot be read as sound"),
    "nothing.wav": (lambda file: record(file, np.zeros(0)), "has no samples"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_recording_that_cannot_be_used_is_named_with_what_is_wrong_and_what_to_do(name, config, sounds):
    make, reason = BAD[name]
    make(sounds / "low" / name)
    before = contents(config.data)
    said = refused(main_01_train, session(), config)
    assert f"1 of 13 recordings in {sounds} cannot be used, mend or remove them" in said
    assert "or leave them out with `data.skip_bad: true`" in said
    line = next(line for line in said.splitlines() if line.startswith(f"  low/{name} "))
    assert reason in line
    after = contents(config.data)
    assert after.keys() - before.keys() == {str(config.data / "unusable_sounds.txt")}
    assert {key: after[key] for key in before} == before and all_runs(config.models) == []


def test_with_skip_bad_a_training_leaves_them_out_and_says_so(config, sounds):
    for name, (make, _) in BAD.items():
        make(sounds / "low" / name)
    run, said = trained_on(config, session(skip_bad=True))
    left_out = sorted(f"low/{name}" for name in BAD)
    assert f"{sounds}: left out, unusable:" in said and all(name in said for name in left_out)
    assert sorted(run.record["train"]["left_out"]) == left_out
    assert run.record["train"]["n"] + run.record["valid"]["n"] == 12


def test_with_skip_bad_there_must_be_a_good_one_left(config, sounds):
    emptied(sounds)
    for place, (name, (make, _)) in enumerate(BAD.items()):
        (sounds / "ab"[place % 2]).mkdir(exist_ok=True)
        make(sounds / "ab"[place % 2] / name)
    said = refused(main_01_train, session(skip_bad=True), config)
    assert f"7 of 7 recordings in {sounds} cannot be used, mend or remove them; all are listed in" in said


# What can be learnt from all the same


def test_a_silent_recording_is_warned_of_and_learnt(config, sounds):
    for channels in ((), (2,)):
        record(sounds / "low" / f"silent{len(channels)}.wav", np.zeros((1600, *channels)))
    run, said = trained_on(config, session(standardise="item"))
    assert "2 recordings are silent, all their samples are 0:\n  low/silent0.wav\n  low/silent1.wav" in said
    assert run.record["train"]["n"] + run.record["valid"]["n"] == 14


def test_stereo_and_mono_mixed_are_learnt(config, sounds):
    for number, n_channels in enumerate((2, 3, 6)):
        record(sounds / "low" / f"many{number}.wav", np.tile(tone(300)[:, None], n_channels))
    run, said = trained_on(config, session())
    assert run.record["train"]["n"] + run.record["valid"]["n"] == 15 and "WARNING" not in said


def test_a_channel_that_some_lack_is_refused(config, sounds):
    record(sounds / "low" / "stereo.wav", np.tile(tone(300)[:, None], 2))
    said = refused(main_01_train, session(channel=1), config)
    assert "12 of 13 recordings" in said
    assert "high/0.wav has 1 channels, channel 1 is asked for (the first is 0)" in said


def test_rates_mixed_are_resampled_with_a_warning_where_they_hold_less(config, sounds):
    record(sounds / "low" / "fine.wav", tone(300, rate=44_100), 44_100)
    record(sounds / "low" / "coarse.wav", tone(300, rate=4000), 4000)
    run, said = trained_on(config, session())
    assert "resampled to 8000 Hz, recordings have 4000, 8000, 44100 Hz" in said
    assert (
        "some recordings were made at 4000 Hz: at `data.sample_rate: 8000` they hold nothing above 2000"
        in said
    )
    assert run.record["train"]["n"] + run.record["valid"]["n"] == 14


def test_a_class_of_one_recording_is_learnt_and_said_to_be_unvalidated(config, sounds):
    record(sounds / "rare" / "0.wav", tone(2000))
    run, said = trained_on(config, session())
    assert "1 classes have too few recordings for both sides and are not in validation:\n  rare" in said
    assert run.record["classes"] == ["high", "low", "mid", "rare"]


def test_a_validation_class_that_training_lacks_is_left_out_with_a_warning(config, sounds):
    record_classes(config.data / "others", n=2, low=300, odd=2000)
    record(config.data / "others" / "loose.wav", tone(300))
    run, said = trained_on(config, session(valid="others"))
    assert "3 validation samples are of no class that training has and are left out:" in said
    assert "\n  odd" in said and "\n  without a label" in said
    assert run.record["valid"]["n"] == 2 and run.record["classes"] == ["high", "low", "mid"]


# Folders


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def with_other_files_only(folder: Path) -> None:
    emptied(folder)
    (folder / "notes.txt").write_text("no sound")


def of_one_class(folder: Path) -> None:
    for name in ("high", "mid"):
        shutil.rmtree(folder / name)


def without_classes(folder: Path) -> None:
    for file in folder.rglob("*.wav"):
        file.rename(folder / f"{file.parent.name}{file.name}")


def of_one_recording_each(folder: Path) -> None:
    for file in folder.rglob("[123].wav"):
        file.unlink()


def of_one_recording(folder: Path) -> None:
    rows = [f"{file.relative_to(folder).as_posix()},,evening" for file in folder.rglob("*.wav")]
    (folder / "labels.csv").write_text("\n".join(["file,label,group", *rows]))


FOLDERS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "empty": (emptied, ["data.train: no recording in {folder} or below it", "found no file at all"]),
    "missing": (shutil.rmtree, ["data.train: no folder of recordings: {folder}"]),
    "no sound": (with_other_files_only, ["expected files such as .wav", "found 1 x .txt"]),
    "one class": (
        of_one_class,
        ["needs samples of two classes at least, got one class, 'low': sort files into folders by class"],
    ),
    "no classes": (without_classes, ["needs samples of two classes at least, got no labels"]),
    "one of each": (
        of_one_recording_each,
        ["data.valid: 0.25 needs two recordings and two samples of a class at least, got 3 and 1"],
    ),
    "one group": (of_one_recording, ["data.valid: 0.25 needs two recordings", "got 1 and 4: name a folder"]),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_cannot_be_learnt_is_refused_before_a_run_is_made(case, config, sounds):
    change, words = FOLDERS[case]
    change(sounds)
    before = contents(config.data)
    said = refused(main_01_train, session(), config)
    for word in words:
        assert word.format(folder=sounds) in said
    assert contents(config.data) == before and all_runs(config.models) == []


def test_validation_without_a_class_of_training_is_refused(config, sounds):
    record_classes(config.data / "others", n=2, odd=2000, strange=500)
    said = refused(main_01_train, session(valid="others"), config)
    assert "data.valid: none of its samples is of a class that training has" in said
    assert all_runs(config.models) == []


def test_a_table_that_leaves_one_class_to_train_on_is_refused(config, sounds):
    rows = ["low/0.wav,low,train", "low/1.wav,low,", "mid/0.wav,mid,valid", "low/2.wav,low,valid"]
    (config.data / "sounds" / "table.csv").write_text("\n".join(["file,label,split", *rows]))
    said = refused(main_01_train, session(train="sounds/table.csv"), config)
    assert "data.train: one class is left to train on, 'low': two are needed at least" in said
    assert all_runs(config.models) == []


def test_a_file_name_that_is_no_utf_8_is_a_fault_that_names_it(config, sounds, classifier):
    try:
        shutil.copy(sounds / "low" / "0.wav", os.fsdecode(os.fsencode(sounds) + b"/low/\xff.wav"))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 alone")
    words = f"{sounds} holds names that are no UTF-8 text, rename them:\n  'low/\\udcff.wav'"
    assert words in refused(main_01_train, session(), config)
    said = features_session(str(classifier[1].folder), data={"sounds": str(sounds)})
    assert words in refused(main_02_extract, said, config)


# Tables

TABLES: dict[str, tuple[str, bytes, list[str]]] = {
    "columns": ("table.csv", b"name;label\nlow/0.wav;low\n", ["needs the columns file", "it lacks file"]),
    "nothing": ("table.csv", b"", ["needs the columns file[,label,group,split,start,end]"]),
    "no rows": ("table.csv", b"file,label\n", ["names no recording: a row for each is expected"]),
    "times": (
        "table.csv",
        b"file,start,end\nlow/0.wav,soon,\nlow/1.wav,-1,\nlow/2.wav,0.1,0.1\nlow/3.wav,0,inf\n,0,1\n",
        [
            "5 rows are not right, correct or delete them:\n  line 2: start must be seconds from 0, got 'so",
            "\n  line 3: start must be seconds from 0, got '-1'",
            "\n  line 4: must end after it starts, got start 0.1 and end 0.1 s",
            "\n  line 5: end must be seconds from 0, got 'inf'",
            "\n  line 6: names no file",
        ],
    ),
    "split": (
        "table.csv",
        b"file,label,split\nlow/0.wav,low,learn\n",
        ["line 2: split must be train, valid, test or nothing, got 'learn'"],
    ),
    "missing": (
        "table.csv",
        b"file,label\nlow/0.wav,low\nlow/9.wav,low\ngone/1.wav,mid\n",
        ["names 2 files that are not there:\n", "gone/1.wav", "low/9.wav"],
    ),
    "twice": (
        "table.csv",
        b"file,label\nlow/0.wav,low\nlow/0.wav,mid\n",
        ["names the same sound more than once:\n  low/0.wav at 0 s: 2 rows"],
    ),
    "beyond": (
        "table.csv",
        b"file,label,start,end\nlow/0.wav,low,,\nmid/0.wav,mid,7,8\n",
        ["1 of 2 recordings", "\n  mid/0.wav from 7 s on has 0 samples at 8000 Hz, 128 are needed"],
    ),
    "latin": (
        "table.csv",
        "file,label\nlow/0.wav,p\xe1ssaro\n".encode("latin-1"),
        ["is not UTF-8 text (byte ", "): save it as UTF-8"],
    ),
    "latin json": ("table.json", '[{"file": "p\xe1ssaro"}]'.encode("latin-1"), ["table.json is not "]),
    "no json": ("table.json", b"[{", ["table.json is not JSON"]),
    "json of a mapping": (
        "table.json",
        b'{"file": "low/0.wav"}',
        ["must be a list of mappings, each with its `file`"],
    ),
    "json without files": (
        "table.json",
        b'[{"name": "low/0.wav"}]',
        ["needs the columns file[,label,", "it lacks file"],
    ),
    "json of times": (
        "table.json",
        b'[{"file": "low/0.wav", "start": [1]}, {"file": null}]',
        ["entry 1: start must be seconds from 0, got [1]", "entry 2: names no file"],
    ),
    "no table": ("table.xlsx", b"PK", ["is no recording and no table of them", "got '.xlsx'"]),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be_used_is_refused_with_all_that_is_wrong(case, config, sounds, classifier):
    name, content, words = TABLES[case]
    (sounds / name).write_bytes(content)
    before = contents(sounds)
    learning = refused(main_01_train, session(train=f"sounds/{name}"), config)
    asking = features_session(str(classifier[1].folder), data={"sounds": f"sounds/{name}"})
    for said in (learning, refused(main_02_extract, asking, config)):
        assert str(sounds / name) in said or case == "beyond"
        for word in words:
            assert word in said
    assert contents(sounds) == before and all_runs(config.models) == []


# Models


def test_a_spectrum_of_other_rows_than_the_model_takes_is_refused(config, sounds):
    said = refused(main_01_train, session() | {"model": TINY}, config)
    words = (
        "the spectrum has 16 rows, the model takes 128: choose `data.spectrum.n_mels: 128` of a mel spectrum"
    )
    assert f"data.train: {words}, or another model" in said


@pytest.mark.parametrize("name", ["cnn", "convae"])
def test_sound_too_short_for_the_halvings_of_a_model_is_refused(name, config, sounds):
    said = refused(main_01_train, session() | {"model": name}, config)
    assert "model: needs spectra of at least 16 rows and 16 frames, got 16 x 14: choose a smaller" in said


def test_a_model_without_a_decoder_cannot_rebuild(config, sounds):
    said = refused(main_01_train, session() | {"objective": "reconstruction"}, config)
    assert "objective: reconstruction needs a model with a decoder, cnn has none" in said


def test_sounds_of_several_folders_are_no_pictures(config, pictures):
    said = refused(
        main_01_train, training_session(data={"kind": "images", "train": ["songs/images", "songs"]}), config
    )
    assert "data.train: pictures lie in one folder, got 2" in said


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> tuple[Config, Run]:
    """A finished classifier of three classes, in a workplace of its own."""
    place = workplace(tmp_path_factory.mktemp("classifier"))
    record_classes(place.data / "sounds")
    assert answer(main_01_train, session(), place)[0] == 0
    return place, all_runs(place.models)[0]


STARTS: dict[str, tuple[dict[str, Any], str]] = {
    "too many blocks": ({"freeze": 5}, "start.freeze: cnn has 4 blocks, got 5"),
    "a negative number": ({"freeze": -1}, "start"),
    "a word": ({"freeze": "all"}, "start"),
    "no run": ({"weights_of": "20000101_000000"}, "start.weights_of: no run '20000101_000000'"),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_start_that_cannot_be_is_refused(case, classifier):
    place, run = classifier
    changes, words = STARTS[case]
    before = contents(place.models)
    start = {"weights_of": run.timestamp} | changes
    said = refused(main_01_train, session() | {"model": None, "start": start}, place)
    assert words in said and contents(place.models) == before


def test_another_model_than_the_parents_is_refused(classifier):
    place, run = classifier
    other = CNN | {"hidden": 5}
    said = refused(main_01_train, session() | {"model": other, "start": {"weights_of": run.timestamp}}, place)
    assert f"model: {run.folder} has " in said and "leave `model` out, or `start: scratch`" in said


def test_a_child_that_hears_otherwise_than_its_parent_is_warned(classifier, config, sounds):
    start = {"weights_of": str(classifier[1].folder), "freeze": 1}
    child = session(spectrum=LINEAR) | {"start": start, "model": None}
    said = refused(main_01_train, child, config)
    assert "the spectrum has 128 rows, the model takes 16" in said
    _, said = trained_on(
        config, session(spectrum=MEL | {"window": "hamming"}) | {"start": start, "model": None}
    )
    assert "data.spectrum is name='mel'" in said and "was trained with name='mel'" in said


# Extraction

ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "pictures": (
        {"data": {"images": "songs/images"}},
        "takes sounds: say `data: {sounds: ...}`, not `images`",
    ),
    "neither": ({"data": {}}, "name one of `images`, `sounds`"),
    "both": ({"data": {"images": "songs/images", "sounds": "sounds"}}, "name one of `images`, `sounds`"),
    "no such tap": ({"tap": "conv3"}, "run: the encoder has no block 'conv3': did you mean 'conv"),
    "too many dropped": ({"layers_dropped": 6}, "run: the model has 5 blocks, 6 cannot be dropped"),
    "two taps": ({"tap": "conv1", "layers_dropped": 1}, "both say where features are taken: keep one"),
    "a tap of a program": (
        {"tap": "conv1", "backend": "onnx"},
        "need the encoder's blocks: choose `backend: torch`",
    ),
    "no such fit": ({"data": {"sounds": "sounds", "fit": "crop"}}, "fit: "),
    "no such place": ({"data": {"sounds": "nowhere"}}, "data.sounds: no folder of recordings"),
    "an extractor's tap": (
        {"run": None, "extractor": "handcrafted", "tap": "conv1"},
        "`tap` is an option of a `run`",
    ),
    "an extractor and a run": ({"extractor": "handcrafted"}, "got extractor and run"),
    "an extractor's pictures": (
        {"run": None, "extractor": "handcrafted", "data": {"images": "songs/images"}},
        "handcrafted takes sounds: say `data: {sounds: ...}`, not `images`",
    ),
}


@pytest.mark.parametrize("case", ASKED)
def test_features_that_cannot_be_made_are_refused_and_nothing_is_written(case, classifier):
    place, run = classifier
    changes, words = ASKED[case]
    changes = {"run": run.timestamp} | changes
    if not (place.data / "songs").exists():
        write_pictures(place.data / "songs" / "images", intensities(2))
    before = contents(place.data)
    said = refused(main_02_extract, features_session(**changes), place)
    assert words in said and contents(place.data) == before


def test_a_run_on_pictures_takes_no_sounds(config, pictures, sounds):
    run = untrained_run(config)
    said = refused(main_02_extract, features_session(run.timestamp), config)
    assert "takes images: say `data: {images: ...}`, not `sounds`" in said


def test_a_bad_recording_leaves_the_features_that_are_there(config, sounds, classifier):
    asked = features_session(str(classifier[1].folder))
    assert answer(main_02_extract, asked, config)[0] == 0
    made = contents(config.data)
    BAD["nan.wav"][0](sounds / "low" / "nan.wav")
    said = refused(main_02_extract, asked, config)
    assert "low/nan.wav holds samples that are not numbers" in said
    after = contents(config.data)
    assert {key: after[key] for key in made} == made
    spared = asked | {"data": {"sounds": "sounds", "skip_bad": True}, "variant": "spared"}
    code, _, said = answer(main_02_extract, spared, config)
    assert code == 0 and "left out, unusable:\n  low/nan.wav" in said


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def test_a_label_that_training_never_saw_is_warned_of_at_prediction(config, sounds, classifier):
    record(sounds / "odd" / "0.wav", tone(2000))
    code, out, said = answer(main_02_extract, features_session(str(classifier[1].folder)), config)
    assert code == 0 and "1 labels are of no class that was learnt:\n  odd" in said
    (file,) = [Path(line) for line in out.splitlines() if "predictions_2" in line]
    rows = rows_of(file)
    assert [row["label"] for row in rows] == ["high"] * 4 + ["low"] * 4 + ["mid"] * 4 + ["odd"]
    assert {row["predicted"] for row in rows} <= {"high", "low", "mid"} and "p odd" not in rows[0]


def test_a_classifier_answers_for_one_recording_for_class_folders_and_for_a_table(config, sounds, classifier):
    (sounds / "table.csv").write_text("file,start,end\nlow/0.wav,0,0.1\nlow/0.wav,0.1,0.2\n")
    places = {
        "one": ("sounds/low/0.wav", ["0.wav"], sounds / "low"),
        "folders": (
            ["sounds/low", "sounds/mid"],
            [f"{n}/{k}.wav" for n in ("low", "mid") for k in range(4)],
            sounds,
        ),
        "table": ("sounds/table.csv", ["low/0.wav"] * 2, sounds),
    }
    for word, (place, files, folder) in places.items():
        asked = features_session(str(classifier[1].folder), data={"sounds": place}, variant=word)
        code, out, said = answer(main_02_extract, asked, config)
        assert code == 0, said
        (file,) = [Path(line) for line in out.splitlines() if "predictions_2" in line]
        assert [row["file"] for row in rows_of(file)] == files and file.parent == folder


# Hand-crafted features


def crafted_session(**changes: Any) -> dict[str, Any]:
    extractor = {"name": "handcrafted", "sample_rate": RATE}
    return features_session(**{"run": None, "extractor": extractor} | changes)


def crafted(config: Config, *words: str, **changes: Any) -> tuple[np.ndarray, list[str], str]:
    code, out, said = answer(main_02_extract, crafted_session(**changes), config, *words)
    assert code == 0, said
    (file,) = [line for line in out.splitlines() if line.endswith(".npz")]
    with np.load(file) as found:
        return found["X"], found["N"].tolist(), said


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """Lengths of the sounds that were listened to, each a batch of its own; the sixth ends it all, unless a
    first -1 says that there may be more.
    """
    lengths: list[int] = []
    listen = Handcrafted.__call__

    def listen_and_count(self: Handcrafted, sound: np.ndarray) -> np.ndarray:
        lengths.append(len(sound))
        if len(lengths) == 6 and lengths[0] != -1:
            raise KeyboardInterrupt
        return listen(self, sound)

    monkeypatch.setattr(Handcrafted, "__call__", listen_and_count)
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_SOUNDS", 1)
    monkeypatch.setattr("saec.extraction.sources.base.BATCHES_PER_SHARD", 2)
    return lengths


def test_an_interrupted_extraction_goes_on_and_gives_what_an_unbroken_one_gives(config, sounds, counted):
    code, out, said = answer(main_02_extract, crafted_session(), config)
    assert (code, out) == (130, "") and "interrupted: what was complete is kept" in said
    assert not list(config.data.glob("*.npz"))
    counted[:] = [-1]
    part, names, said = crafted(config)
    assert "going on: 2 of 6 shards are done" in said and len(counted) == 1 + 8
    whole, _, _ = crafted(config, variant="whole")
    assert part.shape == (12, 136) and np.array_equal(part, whole)
    assert names == [f"{name}/{number}.wav" for name in ("high", "low", "mid") for number in range(4)]


def test_only_what_has_changed_is_listened_to_again(config, sounds, counted):
    counted[:] = [-1]
    before, names, _ = crafted(config)
    counted[:] = [-1]
    assert "nothing to do, the files are there" in crafted(config)[2] and counted == [-1]
    record(sounds / "low" / "1.wav", tone(500, 0.3))
    (sounds / "mid" / "0.wav").unlink()
    record(sounds / "high" / "9.wav", tone(3100, 0.25))
    after, names_now, said = crafted(config)
    assert "10 of 12 sounds are as they were" in said and sorted(counted[1:]) == [2000, 2400]
    assert "high/9.wav" in names_now and "mid/0.wav" not in names_now
    fresh, _, _ = crafted(config, variant="fresh")
    assert np.array_equal(after, fresh)
    changed = [name for name in names_now if name not in names or name == "low/1.wav"]
    assert changed == ["high/9.wav", "low/1.wav"]
    kept = [names.index(name) for name in names_now if name not in changed]
    assert np.array_equal(after[[names_now.index(names[row]) for row in kept]], before[kept])


def test_features_made_otherwise_are_kept(config, sounds):
    crafted(config)
    before = contents(config.data)
    extractor = {"name": "handcrafted", "sample_rate": RATE, "hop_s": 0.02}
    said = refused(main_02_extract, crafted_session(extractor=extractor), config)
    assert "holds features saec_handcrafted made otherwise:" in said and "choose a `variant:` word" in said
    assert contents(config.data) == before


@pytest.mark.parametrize("rate", [2000, 96_000])
def test_any_sampling_rate_will_do_that_holds_the_filters(rate, config, sounds):
    extractor = {"name": "handcrafted", "sample_rate": rate, "window_s": 0.1}
    if rate == 2000:
        said = refused(main_02_extract, crafted_session(extractor=extractor), config)
        assert "13 MFCC need as many filters" in said and "a higher sampling rate" in said
    else:
        assert crafted(config, extractor=extractor)[0].shape == (12, 136)


def test_a_bad_recording_ends_hand_crafted_features_too(config, sounds):
    for name in ("three.wav", "text.wav"):
        BAD[name][0](sounds / "low" / name)
    said = refused(main_02_extract, crafted_session(), config)
    assert "2 of 14 recordings" in said and "low/three.wav has 3 samples at 8000 Hz, 80 are needed" in said
    found, names, _ = crafted(config, data={"sounds": "sounds", "skip_bad": True})
    assert len(found) == len(names) == 12 and np.isfinite(found).all()


def test_a_step_that_is_no_time_is_refused_by_name(config, sounds):
    extractor = {"name": "handcrafted", "sample_rate": RATE, "segment_s": 0.1, "step_s": 1e-5}
    said = refused(main_02_extract, crafted_session(extractor=extractor), config)
    assert "step_s must be at least 0.001 s" in said


def test_what_was_made_says_how(config, sounds):
    crafted(config)
    about = json.loads((config.data / "saec_handcrafted.json").read_text(encoding="utf-8"))
    assert about["settings"]["weights"]["sample_rate"] == RATE and len(about["pictures"]) == 12
