"""Pictures against the formulas written slowly, names, faults, and what a kill or a second call leaves."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from conftest import contents
from matplotlib import colormaps
from PIL import Image
from pydantic import ValidationError
from small_runs import begun, killed_when

import saec
from saec.config import Config
from saec.data import Cache
from saec.data.images import Images
from saec.faults import Fault, MissingFault
from saec.files import fingerprint, locked
from saec.preparation import PreparationSession, plan_preparation
from saec.sound.files import stubs_of

RATE = 8000
SMALL = {"sample_rate": RATE, "segment_s": 0.1, "n_fft": 64, "hop_length": 16}
MEL = {"name": "mel", "n_fft": 256, "hop_length": 64, "n_mels": 24}
NO_WINDOWS = {"n_fft": 256, "hop_length": 36}  # their defaults


@pytest.fixture
def recordings(tmp_path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


def noise(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (round(seconds * rate), channels)
    return 0.1 * np.random.default_rng(seed).normal(size=shape) * np.linspace(0.2, 1, shape[0])[:, None]


def record(path: Path, sound: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype=subtype)


def settings(recordings: Path, **changes) -> PreparationSession:
    return PreparationSession(
        **{"recordings": recordings, "out": recordings.parent / "out", **SMALL, **changes}
    )


def prepare(chosen: PreparationSession, n_workers: int = 0) -> Path:
    return saec.prepare(chosen, Config(workers=n_workers))


def check(chosen: PreparationSession) -> str:
    """What `--check` says."""
    job = plan_preparation(chosen, Config())
    return f"{job.describe()}\n{job.estimate()}"


def pictures(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.png"))


def table(file: Path) -> list[dict[str, str]]:
    return pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")


def sidecar(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "_feature_extraction_parameters.json").read_text())


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture).astype(int)


def slow_picture(sound: np.ndarray, n_fft: int, hop: int, colormap: str, equalize: bool) -> np.ndarray:
    """C2 and C3 once more, one column after the other, without scipy."""
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    columns = []
    for start in range(0, len(sound) - n_fft + 1, hop):
        piece = sound[start : start + n_fft]
        power = np.abs(np.fft.rfft((piece - piece.mean()) * window)) ** 2 / window.sum() ** 2
        power[1:-1] *= 2  # one side stands for both
        columns.append(power[:-1])
    shown = np.array(columns).T[::-1]
    if equalize:
        for row in shown:
            middle, least = np.median(row), row.min()
            row[:] = np.maximum((row - middle) / (middle - least), 1)
    shown = np.log10(shown + 1e-10)
    shown = (shown - shown.min()) / (shown - shown.min()).max()
    if colormap == "gray":
        return np.array([[int(255 * x) for x in row] for row in shown], np.uint8)
    lut = [[int(255 * part) for part in colour[:3]] for colour in colormaps[colormap](np.arange(256))]
    return np.array([[lut[min(255, int(256 * x))] for x in row] for row in shown], np.uint8)


@pytest.mark.parametrize("colormap", ["gray", "viridis"])
@pytest.mark.parametrize("equalize", [True, False])
@pytest.mark.parametrize("rate", [RATE, 11025])
def test_pictures_equal_the_formulas_pixel_by_pixel(recordings, colormap, equalize, rate):
    record(recordings / "a.wav", noise(0.35, rate, channels=2), rate)
    out = prepare(settings(recordings, colormap=colormap, equalize=equalize))
    sound = soundfile.read(recordings / "a.wav")[0].mean(axis=1)
    sound = soxr.resample(sound, rate, RATE, quality="HQ")
    for k, name in enumerate(pictures(out)):
        first = int(RATE * (k * 0.8 * 0.1))
        expected = slow_picture(sound[first : first + 800], 64, 16, colormap, equalize)
        difference = np.abs(pixels(out / name) - expected)
        assert (difference > 0).mean() < 0.002 and difference.max() <= 2  # another FFT rounds otherwise
    assert len(pictures(out)) == 3


REFERENCE = {"sample_rate": 24000, "n_fft": 256, "hop_length": 36}
BY_LEVELS = {"equalize": False, **NO_WINDOWS}


@pytest.mark.parametrize(
    ("changes", "width", "height", "n_frequencies"),
    [
        ({**REFERENCE, "segment_s": 0.394}, 256, 128, 129),  # with the Nyquist row, which no picture shows
        ({**REFERENCE, "segment_s": 1.738}, 1152, 128, 129),
        ({**REFERENCE, "segment_s": 1.0, "n_fft": 512, "hop_length": 320}, 74, 256, 257),
        ({"spectrum": MEL, **BY_LEVELS}, 13, 24, 24),
        ({"spectrum": MEL | {"chroma": True}, **BY_LEVELS}, 13, 36, 24),
        ({"spectrum": {"name": "linear", "n_fft": 128, "hop_length": 32}, **BY_LEVELS}, 26, 64, 65),
    ],
)
def test_check_picture_and_sidecar_agree_on_the_size(recordings, changes, width, height, n_frequencies):
    record(recordings / "a.wav", noise(2, 24000), 24000)
    chosen = settings(recordings, max_segments=1, **changes)
    assert f"about 1 pictures of {width} x {height} (W x H)" in check(chosen)
    out = prepare(chosen)
    (name,) = pictures(out)
    assert pixels(out / name).shape == (height, width)
    axes = [len(sidecar(out)[axis]) for axis in ("time_axis", "frequency_axis")]
    assert axes == [width, n_frequencies]


def test_names_starts_and_the_tables_are_those_of_the_contract(recordings):
    record(recordings / "XC1 Mésange-bleue (tü).wav", noise(2.0, 24000), 24000)
    out = prepare(PreparationSession(recordings=recordings))
    assert out.parent == recordings.parent and re.fullmatch(r"images_24000sps_\d{8}_\d{6}", out.name)
    starts = ["0000.000", "0000.315", "0000.630", "0000.946", "0001.261", "0001.576"]
    assert pictures(out) == [f"XC1_Mesange_bleue_tu_segm_{start}.png" for start in starts]
    first, second, *_ = table(out / "prepared.csv")
    assert list(second) == ["file", "recording", "start", "end"]
    assert (float(first["start"]), float(second["start"]), float(second["end"])) == (0, 0.3152, 0.7092)
    assert table(out / "failed.csv") == table(out / "skipped.csv") == []
    about = sidecar(out)
    axes = (about.pop("frequency_axis"), about.pop("time_axis"))
    assert about == {
        "sampling_frequency": 24000,
        "segment_duration_sec": 0.394,
        "segment_step_size": 0.8,
        "fft_window_size_bins": 256,
        "fft_window_overlap_bins": 220,
        "colormap": "gray",
        "equalize": True,
        "max_segm_per_file": None,
        "eps": 1e-10,
    }
    assert (axes[0][1], axes[0][-1], axes[1][0]) == (93.75, 12000, 128 / 24000)


def test_recordings_are_listed_in_folders_and_share_no_name(recordings):
    for name in ("x/song.wav", "y/song.flac", "y/Song.WAV", "other.ogg", ".trash/no.wav", "._other.wav"):
        record(recordings / name, noise(0.1), subtype="VORBIS" if name.endswith("ogg") else "PCM_16")
    out = prepare(settings(recordings))
    result = {row["recording"]: row["file"] for row in table(out / "prepared.csv")}
    assert sorted(result) == ["other.ogg", "x/song.wav", "y/Song.WAV", "y/song.flac"]
    assert result["other.ogg"] == "other_segm_0000.000.png"
    stubs = [result[name].split("_segm_")[0] for name in ("x/song.wav", "y/Song.WAV", "y/song.flac")]
    assert len(set(stubs)) == 3
    assert all(len(stub) == 11 and stub[4] == "_" for stub in stubs)


STUBS = {
    "XC1 Mésange-bleue (tü).wav": "XC1_Mesange_bleue_tu",
    "XC123456 - Eurasian Wren - Troglodytes.wav": "XC123456___Eurasian_Wren___Tro",
    "Borneo_Danum_Valley_Plot_007_AM12_20230501_070600.WAV": "Borneo_Danum_V_20230501_070600",
    "Borneo_Danum_Valley_Plot_007_AM12_20230501T070600Z.WAV": "Borneo_Danum__20230501T070600Z",
    "A_call_of_some_other_bird_nearby_2.wav": "A_call_of_some_other_bird_ne_2",
    "ホトトギス.wav": "recording",
}


def test_names_of_pictures_keep_date_and_time_and_are_of_one_recording():
    """Of 20,160 files of a minute each of one site, six digits of a hash are too few."""
    assert stubs_of(list(STUBS)) == STUBS
    days = pd.date_range("2023-05-01", periods=20_160, freq="min").strftime("%Y%m%d_%H%M%S")
    names = [f"Borneo_Danum_Valley_Plot_{plot}_{day}.WAV" for plot in ("007", "008") for day in days]
    stubs = stubs_of([*names, "x/a.wav", "y/A.flac"])
    assert len({stub.lower() for stub in stubs.values()}) == len(names) + 2
    assert all(day in stubs[name] for day, name in zip([*days, *days], names, strict=True))
    taken = stubs_of(["x/a.wav", "y/A.flac"])["x/a.wav"]
    assert len(set(stubs_of(["x/a.wav", "y/A.flac", f"{taken}.wav"]).values())) == 3


def test_short_recordings_are_padded_in_the_middle_or_skipped(recordings, caplog):
    for name, seconds in (("mostly", 0.07), ("hardly", 0.03), ("long", 0.1)):
        record(recordings / f"{name}.wav", noise(seconds))
    out = prepare(settings(recordings))
    assert len(pictures(out)) == 3
    assert "2 recordings are shorter than a segment of 0.1 s and were padded" in caplog.text
    sound = np.pad(soundfile.read(recordings / "mostly.wav")[0], (120, 120))
    difference = pixels(out / "mostly_segm_0000.000.png") - slow_picture(sound, 64, 16, "gray", True)
    assert (difference != 0).mean() < 0.002
    shown = pixels(out / "hardly_segm_0000.000.png")  # more zeros than sound
    assert shown[:, 20:26].any() and not shown[:, :13].any() and not shown[:, -13:].any()
    skipping = prepare(settings(recordings, short="skip", out=recordings.parent / "other"))
    assert pictures(skipping) == ["long_segm_0000.000.png"]
    assert [row["recording"] for row in table(skipping / "skipped.csv")] == ["hardly.wav", "mostly.wav"]
    assert "shorter than a segment of 0.1 s" in (skipping / "skipped.csv").read_text()


def test_constant_segments_are_skipped_and_listed(recordings):
    sound = noise(0.5)
    sound[: RATE // 4] = 0.25
    record(recordings / "a.wav", sound)
    out = prepare(settings(recordings))
    rows = table(out / "skipped.csv")
    assert [float(row["start"]) for row in rows] == [0.0, 0.08, 0.16]  # the third: constant for the most part
    assert all("nothing to see" in row["reason"] for row in rows)
    assert pictures(out) == ["a_segm_0000.240.png", "a_segm_0000.320.png", "a_segm_0000.400.png"]


def test_unreadable_recordings_are_listed_and_the_others_done(recordings):
    record(recordings / "good.wav", noise(0.2))
    record(recordings / "none.wav", np.zeros((0, 1)))
    record(recordings / "nan.wav", np.where(np.arange(999) == 5, np.nan, 0.1), subtype="FLOAT")
    for suffix in ("wav", "flac", "mp3", "aiff"):
        whole = recordings / f"cut.{suffix}"
        soundfile.write(whole, noise(2), RATE)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (recordings / "empty.wav").touch()
    (recordings / "text.mp3").write_text("no sound at all")
    out = prepare(settings(recordings))
    reasons = {row["recording"]: row["reason"] for row in table(out / "failed.csv")}
    assert {row["recording"] for row in table(out / "prepared.csv")} == {"good.wav"}
    assert reasons["none.wav"] == "has no samples"
    assert "NaN" in reasons["nan.wav"]
    assert reasons["empty.wav"] == "is empty (0 bytes)"
    assert "cannot be read as sound" in reasons["text.mp3"]
    assert "truncated: 32,000 bytes announced" in reasons["cut.wav"]
    assert {"cut.wav", "cut.flac", "cut.mp3", "cut.aiff"} < set(reasons) and len(reasons) == 8


def test_labels_come_from_a_table_beside_the_recordings_else_from_class_folders(recordings):
    for name in ("x/a.wav", "x/c.wav", "b.wav"):
        record(recordings / name, noise(0.1))
    rows = "file,label,group\r\na.wav,wren,site 1\r\nx/no.wav,owl,\r\n"
    (recordings.parent / "labels.csv").write_text(rows)
    out = prepare(settings(recordings))
    rows = {row["recording"]: (row["label"], row["group"]) for row in table(out / "prepared.csv")}
    assert rows == {"b.wav": ("", "b.wav"), "x/a.wav": ("wren", "site 1"), "x/c.wav": ("x", "x/c.wav")}
    (recordings.parent / "labels.csv").unlink()
    out = prepare(settings(recordings, out=recordings.parent / "classes"))
    samples = Images(out, Cache(recordings.parent / "cache")).samples
    assert samples.labels.tolist() == ["x", "", "x"]
    assert samples.groups.tolist() == ["x/a.wav", "b.wav", "x/c.wav"]


EVENTS = [("0.50", "0.54", "wren"), ("0", "0.02", "owl"), ("0.97", "1.1", "wren"), ("0.51", "0.53", "crow")]
MADE = [("000", "owl"), ("470", "wren"), ("900", "wren")]
ANNOTATIONS = {
    "marks.csv": ["recording,start,end,label", *(f"a.wav,{','.join(row)}" for row in EVENTS)],
    "a.txt": ["\t".join(row) for row in EVENTS],  # a label track called like its recording
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations_give_one_picture_each_in_its_middle(recordings, name):
    record(recordings / "a.wav", noise(1))
    record(recordings / "unheard.wav", noise(1))
    marks = recordings / name
    marks.write_text("\n".join(ANNOTATIONS[name]))
    out = prepare(settings(recordings, annotations=marks))
    made = [(row["file"][-12:-4], row["label"], row["group"]) for row in table(out / "prepared.csv")]
    assert made == [(f"0000.{ms}", label, "a.wav") for ms, label in MADE]
    (skipped,) = table(out / "skipped.csv")
    assert "labelled 'wren'; this one 'crow'" in skipped["reason"]
    chosen = settings(recordings, annotations=marks, several="all", out=recordings.parent / "all")
    assert "several" not in settings(recordings).look and chosen.look["several"] == "all"
    both = prepare(chosen)
    made = {row["file"].partition("_segm_")[2]: row["label"] for row in table(both / "prepared.csv")}
    once = {f"0000.{ms}.png": label for ms, label in MADE}
    assert made == once | {"0000.470-2.png": "crow"} and table(both / "skipped.csv") == []
    pictures = [next(both.glob(f"*_0000.470{end}.png")).read_bytes() for end in ("", "-2")]
    assert pictures[0] == pictures[1] and chosen.look != settings(recordings).look


def test_annotations_that_are_not_right_are_all_listed(recordings):
    for name in ("a.wav", "x/c.wav", "y/c.wav"):
        record(recordings / name, noise(1))
    marks = recordings / "marks.csv"
    chosen = settings(recordings, annotations=marks)
    with pytest.raises(MissingFault, match="no such file: .*marks.csv"):
        check(chosen)
    for text, words in (
        ("recording,start,label\n", r"needs the columns start,end,label\[,file,.* it lacks end"),
        ("recording,start,end,label\n", "has no row"),
        ("start,end,label\n0,1,x\n", "has no column `file`, and there are 3 recordings"),
    ):
        marks.write_text(text)
        with pytest.raises(Fault, match=words):
            check(chosen)
    rows = ["b.wav,0,1,x", "a.wav,2,1,x", "a.wav,zero,1,x", "a.wav,3,4,x", "c.wav,0,1,x"]
    marks.write_text("\n".join(["recording,start,end,label", *rows]))
    with pytest.raises(Fault, match="5 rows are not right") as fault:
        prepare(chosen)
    for words in (
        "line 2: 'b.wav' is no recording in the folder",
        "line 3: must end after it starts, got start 2 and end 1 s",
        "line 4: start must be seconds from 0, got 'zero'",
        "a.wav: a row starts at 3 s, the recording has 1.000 s",
        "line 6: 'c.wav' may be x/c.wav or y/c.wav: give its path",
    ):
        assert words in str(fault.value)
    assert not chosen.out.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hop_length": 65}, "hop_length must be at most n_fft = 64, got 65"),
        ({"n_fft": 63}, "must be even, got 63"),
        ({"segment_s": 0.005}, "must hold a window of n_fft = 64 samples"),
        ({"step": 0}, "greater than 0"),
        ({"step": 0.001}, "0.001 s apart"),
        ({"colormap": "virids"}, "did you mean 'viridis'"),
        ({"short": "cut"}, "'pad' or 'skip'"),
        ({"max_segments": 0}, "greater than or equal to 1"),
        ({"hop_lenght": 10}, "did you mean 'hop_length'"),
    ],
)
def test_settings_that_cannot_be_are_refused(recordings, changes, words):
    with pytest.raises(ValidationError, match=words):
        settings(recordings, **changes)


def test_missing_recordings_are_a_fault_that_says_what_was_expected(recordings):
    with pytest.raises(MissingFault, match="no folder of recordings: .*elsewhere"):
        check(settings(recordings / "elsewhere"))
    (recordings / "notes.txt").touch()
    with pytest.raises(MissingFault, match=r"no recording in .*expected files such as .wav.*found 1 x .txt"):
        prepare(settings(recordings))
    (recordings / "text.wav").write_text("no sound")
    with pytest.raises(Fault, match="none of 1 recordings can be read:\n  text.wav cannot be read as sound"):
        prepare(settings(recordings))
    record(recordings / "silence.wav", np.zeros((RATE, 1)))
    with pytest.raises(Fault, match="no picture came out of 2 recordings:\n  silence.wav: nothing to see"):
        prepare(settings(recordings))
    assert sorted(path.name for path in recordings.parent.iterdir()) == ["recordings"]


def test_a_folder_that_is_taken_is_a_fault_with_remedies(recordings):
    record(recordings / "a.wav", noise(0.2))
    out = recordings.parent / "out"
    out.mkdir()
    chosen = settings(recordings)
    assert prepare(chosen) == out  # empty is as good as none
    for other in (settings(recordings, step=0.5), settings(recordings, out=recordings)):
        for call in (check, prepare):
            with pytest.raises(Fault, match="another `out`, or delete it"):
                call(other)
    with pytest.raises(Fault, match="cannot write into"):
        check(settings(recordings, out=recordings / "a.wav" / "out"))


def test_the_same_call_again_does_nothing_and_another_takes_the_next_second(recordings):
    record(recordings / "a.wav", noise(0.2))
    chosen = settings(recordings, out=None)
    out = prepare(chosen)
    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    assert prepare(chosen) == out
    assert before == {file: file.stat().st_mtime_ns for file in out.iterdir()}
    assert "there already" in check(chosen)
    other = prepare(settings(recordings, out=None, step=0.5))
    assert other.name > out.name and len(other.name) == len(out.name)
    (out / pictures(out)[0]).unlink()
    assert prepare(chosen).name > other.name


def test_two_at_the_same_work_do_not_disturb_each_other(recordings):
    record(recordings / "a.wav", noise(0.2))
    chosen = settings(recordings)
    lock = plan_preparation(chosen, Config()).part.with_suffix(".lock")
    with locked(lock, "it"), pytest.raises(Fault, match="another process is at work on pictures of .*record"):
        prepare(chosen)
    late = plan_preparation(chosen, Config())
    out = prepare(chosen)
    before = contents(out)
    (out / ".writing_1_a.png").touch()  # hidden files do not count
    assert late.run().folder == prepare(chosen) == out
    assert contents(out) == before | {".writing_1_a.png": b""}
    assert sorted(path.name for path in recordings.parent.iterdir()) == ["out", "recordings"]


def test_pictures_made_by_0_1_0_are_recognised_though_rows_of_their_table_say_nothing(recordings):
    for name in ("a.wav", "x/b.wav", "x/c.wav"):
        record(recordings / name, noise(0.2))
    (recordings / "labels.csv").write_text("file,label\na.wav,wren\nb.wav,\n")
    chosen = settings(recordings)
    out = prepare(chosen)
    names = {"a.wav": "a", "x/b.wav": "b", "x/c.wav": "c"}
    states = [((recordings / one).stat().st_size, (recordings / one).stat().st_mtime_ns) for one in names]
    wanted, labels = (
        [(*pair, None) for pair in names.items()],
        {"a.wav": ("wren", "a.wav"), "x/b.wav": ("", "x/b.wav")},
    )
    about = json.loads((out / "prepared.json").read_text())
    about["fingerprint"] = fingerprint(1, chosen.look, wanted, states, labels)
    (out / "prepared.json").write_text(json.dumps(about))
    assert prepare(chosen) == out and "there already" in check(chosen)


def test_the_check_counts_and_writes_nothing(recordings, monkeypatch):
    record(recordings / "a.wav", noise(9))
    (recordings / "text.wav").write_text("no sound")
    words = check(settings(recordings))
    assert "2 recordings" in words and "9 s of sound, 1 cannot be opened" in words
    assert re.search(r"about 112 pictures of 47 x 32 \(W x H\) from 9 s of .*\ntime: about \d+ s$", words)
    assert [path.name for path in recordings.parent.iterdir()] == ["recordings"]
    assert len(pictures(prepare(settings(recordings)))) == 112
    for name, length_s in {"shortest.wav": 0.01, "longest.wav": 20}.items():
        record(recordings / name, noise(length_s))
    seconds = {"a.wav": 18.0 * max(1, Config().n_workers)}  # by the shortest of those that are not too short
    monkeypatch.setattr("saec.preparation.job.seconds_for", lambda *of: seconds[of[-1].recording])
    other = settings(recordings, out=recordings.parent / "other")
    assert check(other).endswith("time: about 58 s")
    monkeypatch.setattr("saec.preparation.job.MOST_S", 8)
    assert check(other).endswith("time: not measured, as each recording is longer than 8 s")


@pytest.mark.parametrize("look", [{}, {"spectrum": MEL, **BY_LEVELS}])
def test_two_threads_give_the_same_bytes(recordings, look):
    for k in range(9):
        record(recordings / f"{k}.wav", noise(0.4, seed=k))
    (recordings / "text.wav").write_text("no sound")
    alone = prepare(settings(recordings, **look))
    together = prepare(settings(recordings, out=recordings.parent / "together", **look), n_workers=2)
    alone, together = contents(alone), contents(together)
    assert alone == together and len(alone) == 9 * 4 + 5


def test_an_interrupted_preparation_goes_on(recordings, monkeypatch, caplog):
    for k in range(3):
        record(recordings / f"{k}.wav", noise(0.3, seed=k))
    chosen = settings(recordings)
    whole = contents(prepare(chosen))
    shutil.rmtree(chosen.out)
    with monkeypatch.context() as patch, pytest.raises(Fault, match="session goes on where it stopped"):
        patch.setattr("saec.preparation.pictures.write_json", _disk_full)
        prepare(chosen)
    (part,) = (path for path in recordings.parent.iterdir() if path.suffix == ".part")
    notes = sorted((part / "notes").iterdir())
    notes[1].rename(notes[1].with_name(".writing_1.json"))
    notes[2].unlink()
    (part / "pictures" / "2_segm_0000.000.png").write_bytes(b"half a pic")
    assert contents(prepare(chosen)) == whole
    assert "1 of 3 recordings are done" in caplog.text
    assert not part.exists()


def _disk_full(path: Path, content: object) -> None:
    raise OSError(28, "No space left on device", str(path))


KILLED = """
from saec.config import Config
from saec.preparation import PreparationSession, prepare
prepare(PreparationSession.model_validate_json({session!r}), Config(workers=2))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_killed_preparation_goes_on_to_the_same_bytes(recordings, tmp_path, caplog):
    for k in range(12):
        record(recordings / f"{k:02d}.wav", noise(6, seed=k))
    chosen = settings(recordings)
    printed = tmp_path / "printed.txt"
    process = begun(KILLED.format(session=chosen.model_dump_json()), printed)
    killed_when(process, lambda: any(tmp_path.glob(".*.part/notes/[!.]*.json")), printed)
    assert not chosen.out.exists()
    gone_on = contents(prepare(chosen))
    assert "going on where it was interrupted" in caplog.text
    shutil.rmtree(chosen.out)
    assert contents(prepare(chosen)) == gone_on
