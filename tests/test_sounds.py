"""A folder of sound is looked through: what is in it is reported, and what to choose is recommended."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.figure import Figure
from sounds import record_classes

from saec import figures
from saec.config import Config
from saec.data.audio import Recordings
from saec.faults import Fault
from saec.report import EvaluationSession, evaluate, plan_evaluation
from saec.sections.data import read_through
from saec.session import load_session

RATE = 8000


def record(
    file: Path, seconds: float, rate: int = RATE, channels: int = 1, peak: float = 0.5, **more
) -> None:
    """Noise whose largest sample is `peak` of full scale."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(0).uniform(-1, 1, round(seconds * rate))
    sound *= peak / np.abs(sound).max()
    soundfile.write(file, np.tile(sound[:, None], channels), rate, **more)


@pytest.fixture
def sounds(config: Config) -> Path:
    """Two classes of three recordings each, alike in all but length."""
    folder = config.data / "sounds"
    for number in range(3):
        record(folder / "crow" / f"{number}.wav", 1 + number / 4)
        record(folder / "tit" / "deep" / f"{number}.flac", 2)
    return folder


def looked(config: Config, *folders: str) -> tuple[Path, dict, str]:
    """The report's folder, its section on recordings, and the remarks there."""
    report = evaluate({"sounds": list(folders) or "sounds"}, config)
    (section,) = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))["sections"]
    return report.folder, section, "\n".join(section["remarks"])


def test_a_table_names_recordings_as_other_systems_do_and_the_first_of_several_labels(tmp_path, caplog):
    record_classes(tmp_path)
    rows = ["file,label,note", "low\\0.WAV,a,x", "C:\\sounds\\mid\\1.wav,b,", "low/0.wav,c,y"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    with pytest.raises(Fault, match="low/0.wav at 0 s: 2 rows, more labels than one: a and c"):
        Recordings(tmp_path / "list.csv")
    listed = Recordings(tmp_path / "list.csv", several="first").listed
    assert listed.files.tolist() == ["low/0.wav", "mid/1.wav"] and listed.labels.tolist() == ["a", "b"]
    assert "2 files are written otherwise" in caplog.text and "the first row counts" in caplog.text


def test_lengths_are_listed_and_summed_by_class(config, sounds):
    folder, section, output = looked(config)
    table = pd.read_csv(folder / "sounds_durations.csv").set_index("file")
    assert table.columns.tolist() == ["class", "duration_s", "rate_hz", "channels", "format", "peak"]
    assert table["duration_s"].tolist() == [1, 1.25, 1.5, 2, 2, 2] and set(table["rate_hz"]) == {RATE}
    assert table.loc["crow/0.wav", ["class", "channels", "format"]].tolist() == ["crow", 1, "WAV PCM_16"]
    assert table.loc["tit/deep/0.flac", ["class", "format"]].tolist() == ["tit", "FLAC PCM_16"]
    assert table["peak"].tolist() == pytest.approx([0.5] * 6, abs=1e-4)
    rows = {row["class"]: row for row in section["tables"]["Durations in seconds"]}
    assert list(rows) == ["all", "crow", "tit"] and output == ""
    lengths = np.array([1, 1.25, 1.5, 2, 2, 2])
    low, high = np.percentile(lengths, [5, 95])
    assert rows["all"] == {
        **{"class": "all", "recordings": 6, "total": pytest.approx(9.75), "median": 1.75, "min": 1, "max": 2},
        **{"mean": pytest.approx(lengths.mean()), "5th percentile": pytest.approx(low)},
        **{"95th percentile": pytest.approx(high)},
    }
    assert (rows["crow"]["median"], rows["tit"]["total"]) == (1.25, 6)
    assert (folder / "sounds_durations.png").is_file()
    (config.data / "twice.csv").write_text("file,label\nsounds/crow/0.wav,crow\nsounds/crow/0.wav,tit\n")
    _, section, _ = looked(config, "twice.csv")
    assert [row["recordings"] for row in section["tables"]["Durations in seconds"]] == [1, 1]
    by_class, *_ = looked(config, "sounds/tit", "sounds/crow")
    files = [one / "sounds_durations.csv" for one in (folder, by_class)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_several_threads_and_blocks_give_the_same(sounds, monkeypatch):
    for number in range(70):
        record(sounds / "crow" / f"short_{number}.wav", 0.01 + number / 1000)
    listed = Recordings(sounds)
    tables = [read_through(listed), read_through(listed, n_workers=3)]
    monkeypatch.setattr("saec.sound.files.BLOCK", 700)
    tables.append(read_through(listed))
    for one, other in zip(tables[0] * 2, (*tables[1], *tables[2]), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_what_cannot_be_read_is_listed_with_the_reason_and_stops_nothing(config, sounds):
    (sounds / "crow" / "empty.wav").touch()
    (sounds / "crow" / "text.wav").write_text("no sound")
    whole = (sounds / "crow" / "0.wav").read_bytes()
    (sounds / "crow" / "cut.wav").write_bytes(whole[:3000])
    record(sounds / "crow" / "odd.wav", 0.1, peak=np.nan, subtype="FLOAT")
    soundfile.write(sounds / "crow" / "nothing.wav", np.zeros(0), RATE)
    folder, section, output = looked(config)
    bad = pd.read_csv(folder / "sounds_unreadable.csv").set_index("file")["reason"]
    assert len(bad) == 5 and "5 recordings cannot be read" in output
    reasons = {"cut": "truncated", "empty": "is empty", "nothing": "has no samples", "odd": "not numbers"}
    for name, reason in (reasons | {"text": "cannot be read as sound"}).items():
        assert reason in bad[f"crow/{name}.wav"] and f"crow/{name}.wav {bad[f'crow/{name}.wav']}" in output
    assert len(pd.read_csv(folder / "sounds_durations.csv")) == 6


def test_silent_and_clipped_recordings_are_named(config, sounds):
    record(sounds / "crow" / "silent.wav", 1, peak=0)
    record(sounds / "crow" / "loud.wav", 1, peak=0.99)
    sound = np.sin(np.arange(RATE) / 20)
    touching = sound / np.abs(sound).max()  # one sample, no more
    soundfile.write(sounds / "crow" / "touching.wav", touching, RATE)
    soundfile.write(sounds / "crow" / "clipped.wav", np.clip(1.2 * sound, -1, 1), RATE)
    _, _, output = looked(config)
    assert "1 recording is silent: no sample but 0:\n  crow/silent.wav" in output
    assert "1 recording is clipped: samples in a row at full scale:\n  crow/clipped.wav" in output


def test_what_to_choose_is_remarked_on(config, sounds):
    record(sounds / "tit" / "fast.wav", 2, rate=16000)
    record(sounds / "tit" / "two.wav", 2, channels=2)
    record(sounds / "owl" / "long.wav", 30)
    record(sounds / "nobody.wav", 2)
    _, section, output = looked(config)
    for words in (
        "recordings have 2 sampling rates, 8,000 (9), 16,000 (1): choose the lowest, sample_rate: 8000",
        "different numbers of channels, 1 (9), 2 (1)",
        "half are shorter than 2 s: cut recordings into segments, such as segment_s: 2",
        "1 recording lies in no class folder",
        "1 class has fewer than 2 recordings",
        "owl: 1",
    ):
        assert words in output, output
    rows = section["tables"]["Durations in seconds"]
    assert [row["class"] for row in rows] == ["all", "no class", "crow", "owl", "tit"]


def test_one_class_only_is_remarked_on_and_none_is_not(config, sounds):
    _, _, output = looked(config, "sounds/crow")  # its recordings lie directly in it
    assert output == ""
    for file in (sounds / "tit").rglob("*.flac"):
        file.unlink()
    _, _, output = looked(config)
    assert "there is one class only, crow" in output


def test_a_long_tail_is_drawn_over_widening_bins_and_many_classes_as_one(tmp_path, monkeypatch):
    drawn = []
    real = Figure.subplots
    monkeypatch.setattr(Figure, "subplots", lambda *a, **k: drawn.append(real(*a, **k)) or drawn[-1])
    figures.histograms(
        tmp_path / "a.png", {"a": np.array([1.0, 1, 2]), "b": np.array([500.0])}, "t", "s", "n"
    )
    figures.histograms(tmp_path / "b.png", {"all": np.array([2.0, 2.0])}, "t", "s", "n")
    assert [grid[0, 0].get_xscale() for grid in drawn] == ["log", "linear"]
    for grid, n in zip(drawn, (4, 2), strict=True):  # all values are in some bin
        assert sum(patch.get_data().values.sum() for axes in grid.flat for patch in axes.patches) == n
    assert [[axes.get_ylabel() for axes in grid.flat] for grid in drawn] == [["a", "b"], [""]]


@pytest.mark.parametrize(
    "folders, words",
    [
        ("gone", "no folder of recordings: .*gone"),
        ("pictures/a.png", "a.png is no recording and no table of them"),
        ("pictures", "no recording in .*pictures or below it"),
        (["sounds/crow", "other/crow"], "two are called crow"),
        ("broken", "none of the 2 recordings of .*broken can be opened as sound, such as a.wav"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_before_any_work(config, sounds, folders, words):
    record(config.data / "other" / "crow" / "1.wav", 0.1)
    for file in ("pictures/a.png", "broken/a.wav", "broken/b.mp3"):
        (config.data / file).parent.mkdir(exist_ok=True)
        (config.data / file).write_text("nothing")
    with pytest.raises(Fault, match=f"(?s)sounds: .*{words}"):
        evaluate({"sounds": folders}, config)
    assert not (config.data / "reports").exists()


def test_recordings_that_open_and_then_fail_leave_a_report_and_names_are_words_on_its_page(config, sounds):
    record(sounds / "<b>$x_" / "<i>.wav", 1)
    for file in sounds.rglob("*.*"):
        file.write_bytes(file.read_bytes()[:1000])
    folder, section, output = looked(config)
    assert "7 recordings cannot be read" in output and "Durations in seconds" not in section["tables"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page and "<b>" not in page and "<i>" not in page


def test_sound_and_predictions_are_looked_at_together(config, sounds):
    (config.data / "given.csv").write_text("file,start,end,label,predicted,p crow\na.wav,0,1,crow,crow,1\n")
    session = {"sounds": "sounds", "predictions": "given.csv"}
    job = plan_evaluation(load_session(session, EvaluationSession), config)
    assert "to look through: 6 recordings of" in job.describe()
    names = {file.name for file in evaluate(session, config).folder.iterdir()}
    assert {"sounds_durations.csv", "predicted_scores.csv", "report.html"} <= names


@pytest.mark.skipif("SAEC_REAL_DATA" not in os.environ, reason="SAEC_REAL_DATA is not set")
def test_real_recordings_have_the_lengths_that_their_headers_say():
    folder = Path(os.environ["SAEC_REAL_DATA"]) / "soundscape"
    table, unreadable = read_through(Recordings(folder), n_workers=2)
    assert len(table) == 13 and not len(unreadable)
    for row in table.itertuples():
        about = soundfile.info(folder / row.file)
        sound = soundfile.read(folder / row.file, always_2d=True)[0].mean(1)
        assert row.duration_s == about.frames / about.samplerate and row.peak == np.abs(sound).max()
