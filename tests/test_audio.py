"""Sound as data: what is listed, how it is cut, stored and made a spectrum, and what the kind says of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch
from sounds import (
    HERTZ,
    LINEAR,
    MEL,
    RATE,
    features_session,
    heard_session,
    kind,
    record,
    record_classes,
    tone,
)
from torch.nn import functional as F

from saec import evaluate, extract
from saec.config import Config
from saec.data import Raw
from saec.data.audio import Recordings
from saec.data.cutting import Cutting
from saec.data.fronts import SoundFront
from saec.data.listed import piece_name
from saec.data.stored import Streamed
from saec.faults import Fault, Unusable
from saec.preparation import PreparationSession, plan_preparation
from saec.samples import Samples
from saec.session import SessionError, TrainingSession, load_session
from saec.sound.files import header, stream
from saec.sound.spectra import SPECTRA
from saec.training import plan_training
from saec.training.build import build
from saec.training.plan import check_training

CPU = torch.device("cpu")
Change = Callable[[bytearray], None]
REAL = os.environ.get("SAEC_REAL_DATA")


@pytest.fixture
def sounds(config: Config) -> Path:
    return record_classes(config.data / "sounds")


def rows_of(recordings: Recordings, *columns: str) -> list[tuple]:
    assert all(path.is_file() for path in recordings.paths.values())
    return list(recordings.listed.table[["file", *columns]].itertuples(index=False, name=None))


# Listing


LISTINGS = {  # files, what is listed of them, names and labels
    "the first folder below a folder is the class": (
        "b/deep/er/1.wav b/0.flac a/2.wav loose.ogg .hidden/3.wav a/.4.wav",
        [""],
        [("a/2.wav", "a"), ("b/0.flac", "b"), ("b/deep/er/1.wav", "b"), ("loose.ogg", "")],
    ),
    "class folders are classes wherever they lie": (
        "here/crow/1.wav there/far/tit/0.wav there/far/tit/x/2.wav",
        ["there/far/tit", "here/crow"],
        [("crow/1.wav", "crow"), ("tit/0.wav", "tit"), ("tit/x/2.wav", "tit")],
    ),
    "one recording": ("a.wav b.wav", ["a.wav"], [("a.wav", "")]),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_recordings_are_listed_by_name_with_their_class(case, tmp_path):
    files, chosen, expected = LISTINGS[case]
    for name in files.split():
        record(tmp_path / name, tone(300, 0.05))
    (tmp_path / "notes.txt").write_text("no sound")
    paths = tuple(tmp_path / path for path in chosen)
    assert rows_of(Recordings(paths if len(paths) > 1 else paths[0]), "label") == expected


HEADS = ("file", "label", "group", "split", "start", "end", "names")  # the last one is a further column
ROWS = [
    dict(zip(HEADS, row, strict=True))
    for row in (
        ("b.wav", "tit", "g", "Validation", 0.5, 1.25, "x"),
        ("b.wav", "crow", "g", "train", 0, 0.5, "y"),
        ("./sub\\a.wav", 7, "", "TEST", "", "", ""),
    )
]


@pytest.fixture(params=["csv", "json"])
def table(request, tmp_path) -> Path:
    record(tmp_path / "b.wav", tone(300, 1.5))
    record(tmp_path / "sub" / "a.wav", tone(300, 0.1))
    file = tmp_path / f"table.{request.param}"
    lines = [",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]
    file.write_text(json.dumps(ROWS) if request.param == "json" else "\n".join(lines), encoding="utf-8-sig")
    return file


def test_a_table_says_label_group_split_and_stretch_of_each_row(table):
    recordings = Recordings(table)
    assert rows_of(recordings, "label", "group", "split") == [
        ("b.wav", "crow", "g", "train"),
        ("b.wav", "tit", "g", "valid"),
        ("sub/a.wav", "7", "sub/a.wav", "test"),
    ]
    assert recordings.folder == table.parent and list(recordings.paths) == ["b.wav", "sub/a.wav"]
    assert np.array_equal(recordings.listed.times, [(0, 0.5), (0.5, 1.25), (np.nan, np.nan)], equal_nan=True)


def test_a_table_may_name_files_alone(tmp_path):
    record(tmp_path / "a.wav", tone(300, 0.1))
    (tmp_path / "table.csv").write_text("file\na.wav\n")
    assert rows_of(Recordings(tmp_path / "table.csv"), "label", "split") == [("a.wav", "", "")]


# Pieces


def cut(n: int, segment_s: float | None, step_s: float, *stretch: float) -> list[tuple[int, int]]:
    return Cutting(RATE, segment_s, step_s, least=1).pieces(n, *stretch)


def slow_starts(n: int, size: int, step: int, rate: int) -> list[int]:
    """Step by step while the sound goes on; then once more from its end, if 1 ms or more of it is new."""
    size, starts, at = min(size, n), [], 0
    while at + size < n:
        starts.append(at)
        at += step
    if not starts or (n - size - starts[-1]) / rate >= 0.001:
        starts.append(n - size)
    return starts


@pytest.mark.parametrize("n", [1, 1999, 2000, 2001, 2007, 2008, 2009, 3000, 3999, 4000, 4001, 9000])
@pytest.mark.parametrize(("segment_s", "step_s"), [(0.25, 0.25), (0.25, 0.1), (0.1, 0.25), (0.25, 1.0)])
def test_segments_start_every_step_and_the_last_ends_with_the_sound(n, segment_s, step_s):
    size = round(segment_s * RATE)
    pieces = cut(n, segment_s, step_s)
    assert pieces == [(first, min(n, size)) for first in slow_starts(n, size, round(step_s * RATE), RATE)]
    assert n - sum(pieces[-1]) < RATE / 1000
    assert len({round(first / RATE, 3) for first, _ in pieces}) == len(pieces)


def test_pieces_are_named_by_their_start_and_what_is_whole_by_its_file(tmp_path):
    record(tmp_path / "a" / "song.wav", tone(300, 0.1))
    recordings, n = Recordings(tmp_path), {"a/song.wav": 20_000}

    def pieces(listed: Recordings, segment_s: float | None) -> Samples:
        how = Cutting(RATE, segment_s, 0.75, 1)
        samples, windows, bad = how.cut(listed, n, lambda name, file, first: piece_name(file, first / RATE))
        assert not bad and (windows.first / RATE).tolist() == samples.times[:, 0].tolist()
        return samples

    whole, cut = pieces(recordings, None), pieces(recordings, 1.0)
    assert whole.names.tolist() == ["a/song.wav"] and whole.times.tolist() == [[0, 2.5]]
    assert cut.names.tolist() == [f"a/song_segm_{s}.wav" for s in ("0000.000", "0000.750", "0001.500")]
    assert set(cut.files) == {"a/song.wav"} and set(cut.labels) == {"a"}
    (tmp_path / "table.csv").write_text("file,start,end\na/song.wav,0.5,1\n")
    stretch = pieces(Recordings(tmp_path / "table.csv"), None)
    assert stretch.names.tolist() == ["a/song_segm_0000.500.wav"] and stretch.times.tolist() == [[0.5, 1]]


def test_a_stretch_is_cut_within_itself_and_within_the_sound():
    assert cut(12_000, None, 1.0, 0.5, 1.0) == [(4000, 4000)]
    assert cut(12_000, 0.2, 0.2, 0.5, 1.0) == [(4000, 1600), (5600, 1600), (6400, 1600)]
    assert cut(4100, None, 1.0, 0.5, 1.0) == [(4000, 100)]
    ((_, nothing),) = cut(100, None, 1.0, 0.5, 1.0)
    assert nothing == 0


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100])
def test_headers_promise_the_segments_that_resampled_recordings_give(rate, config):
    for number, seconds in enumerate((0.5, 1.0, 1.37)):
        record(config.data / "sounds" / f"{number}.wav", tone(300, seconds, rate=rate), rate)
    data = kind(config.data / "sounds", config, segment_s=0.25)
    assert data.sizes().n_samples == len(data.open()) == 2 + 4 + 6


# Headers that do not say, or do not know, how long a recording is


def flac_of(n: int) -> Change:
    """Writes that a FLAC has n frames: 0 as programs that stream do, or what it has not."""

    def change(flac: bytearray) -> None:
        flac[18:26] = (int.from_bytes(flac[18:26], "big") >> 36 << 36 | n).to_bytes(8, "big")

    return change


def chunk_of(size: int | None) -> Change:
    """Writes another size into the chunk of samples; None: that of the file."""

    def change(wav: bytearray) -> None:
        at = wav.index(b"data") + 4
        wav[at : at + 4] = (len(wav) if size is None else size).to_bytes(4, "little")

    return change


UNSURE: dict[str, Change] = {
    "streamed.flac": flac_of(0),
    "absurd.flac": flac_of(1 << 35),
    "zero.wav": chunk_of(0),
    "sox.wav": chunk_of(0x7FFFF000),
    "arecord.wav": chunk_of(0x80000000),
    "ffmpeg.wav": chunk_of(0xFFFFFFFF),
    "with_its_header.wav": chunk_of(None),
    "with_two_headers.wav": chunk_of(2 * 1600 + 88),
}


@pytest.fixture
def unsure(config) -> Path:
    """Recordings of the same sound, of which the first alone says how long it is."""
    folder, sound = config.data / "unsure" / "all", (2**15 * tone(300, seed=1)).astype(np.int16)
    for name, change in {"a.wav": None, **UNSURE}.items():
        file = record(folder / name, sound, subtype="PCM_16")
        if change:
            content = bytearray(file.read_bytes())
            change(content)
            file.write_bytes(content)
    record(folder / "b.wav", np.zeros(0)).write_bytes((folder / "b.wav").read_bytes() + b"LIST\4\0\0\0INFO")
    return folder.parent


@pytest.mark.parametrize("gigabytes", [1, 1e-7])
def test_recordings_that_do_not_say_how_long_they_are_are_read_to_their_ends(gigabytes, config, unsure, log):
    config = config.model_copy(update={"cache_gb": gigabytes})
    n = 1 + len(UNSURE)
    data = kind(unsure, config, segment_s=0.1, skip_bad=True)
    sizes, opened = data.sizes(), data.open()
    assert sizes.n_samples == len(opened) == 2 * n and sizes.n_bytes == 4 * 1600 * n
    assert opened.about["left_out"] == ["all/b.wav"]  # further chunks are no samples
    expected = soundfile.read(unsure / "all" / "a.wav", dtype="float32")[0]
    for name, first, second in zip(sorted({"a.wav", *UNSURE}), *[iter(stored(opened))] * 2, strict=True):
        assert np.array_equal(np.concatenate([first, second]), expected), name
    words = (
        f"{len(UNSURE)} recordings do not say how long they are, all that they hold is read:\n  all/absurd"
    )
    assert log.text.count(words) == log.text.count("do not say how long") == 1


def test_no_header_sizes_anything_wherever_recordings_are_read(config, unsure):
    (unsure / "all" / "b.wav").unlink()
    n = 1 + len(UNSURE)
    session = {"recordings": unsure, "segment_s": 0.1, "sample_rate": RATE, "n_fft": 256, "hop_length": 64}
    job = plan_preparation(PreparationSession(**session), config)
    assert f"about {2 * n} pictures" in job.estimate() and len(list(job.run().folder.glob("*.png"))) == 2 * n
    crafted = {"name": "handcrafted", "sample_rate": RATE, "segment_s": 0.1}
    features = extract(features_session(None, extractor=crafted, data={"sounds": "unsure"}), config)
    assert features.X.shape[0] == 2 * n and len(np.unique(features.X[::2], axis=0)) == 1
    table = pd.read_csv(evaluate({"sounds": "unsure"}, config).folder / "sounds_durations.csv")
    assert table["duration_s"].tolist() == [0.2] * n


@pytest.mark.parametrize("share", [0.5, 0.98])
def test_recordings_of_which_samples_are_missing_are_refused(share, config):
    for name, options in {"a.wav": {}, "b.rf64": {"format": "RF64"}, "c.flac": {}, "d.caf": {}}.items():
        file = record(config.data / "cut" / name, tone(300, 2.0), **options)
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    words = r"4 of 4 recordings in .*cut cannot be used[\s\S]*d.caf is truncated: 32,004 bytes"
    with pytest.raises(Fault, match=words):
        kind(config.data / "cut", config).open()


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_compressed_recordings_that_do_not_say_how_long_they_are_are_read_to_their_ends(subtype, tmp_path):
    file = record(tmp_path / "a.wav", tone(300, 2.0), subtype=subtype)
    whole, content = np.concatenate([*stream(file, RATE)]), bytearray(file.read_bytes())
    chunk_of(0)(content)
    file.write_bytes(content)
    about = header(file)
    assert (about.frames, about.subtype, about.is_complete) == (len(whole), subtype, False)
    assert np.array_equal(np.concatenate([*stream(file, RATE)]), whole) and len(whole) >= 2 * RATE
    assert np.array_equal(np.concatenate([*stream(file, RATE, "mean", 500, 90)]), whole[500:590])


@pytest.mark.skipif(os.name == "nt", reason="files without holes take 5 GB")
def test_a_file_larger_than_its_header_can_say_is_read_to_its_end(tmp_path):
    file = record(tmp_path / "a.wav", tone(300, 1.0), subtype="PCM_16")
    content = bytearray(file.read_bytes())
    chunk_of(0xFFFFFFFF)(content)
    file.write_bytes(content)
    os.truncate(file, 5 << 30)
    assert header(file).frames == ((5 << 30) - content.index(b"data") - 8) // 2


def guessed_mp3(file: Path, *parts_of: tuple[float, float]) -> Path:
    """Writes an MP3 without a frame that counts, of parts of 3 s of a gain and a compression."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 3 * 24_000)
    parts = []
    for gain, level in parts_of:
        options = {"compression_level": level, "bitrate_mode": "CONSTANT"}
        mp3 = record(file, gain * noise, 24_000, **options).read_bytes()
        parts.append(mp3[mp3.index(b"\xff\xf3", max(0, mp3.find(b"Info"))) :])
    file.write_bytes(b"".join(parts))
    return file


def test_an_mp3_whose_length_is_guessed_by_its_quiet_beginning_is_not_called_cut(tmp_path):
    file = guessed_mp3(tmp_path / "guessed.mp3", (1e-4, 0.99), (1, 0.0))
    assert header(file).frames > 10 * sum(map(len, stream(file, 24_000))) > 10 * 144_000


def test_an_mp3_whose_length_is_guessed_is_warned_of_as_its_end_may_be_missing(config, log):
    file = guessed_mp3(config.data / "guessed" / "a.mp3", (1, 0.0), (1e-4, 0.99))
    record(file.with_name("b.mp3"), tone(300))
    assert len(kind(file.parent, config).open()) == 2 and sum(map(len, stream(file, 24_000))) < 100_000
    assert log.text.count("do not say how long") == 1 and "1 recordings do not say how long" in log.text
    assert "so their ends may be missing: convert them to WAV or FLAC:\n  a.mp3\n" in log.text


def test_a_rate_that_would_make_a_file_a_hundred_times_as_long_is_refused(config, sounds):
    wav = bytearray((sounds / "low" / "0.wav").read_bytes())
    at = wav.index(b"fmt ") + 12
    wav[at : at + 4] = (1).to_bytes(4, "little")
    (sounds / "low" / "slow.wav").write_bytes(wav)
    words = "low/slow.wav says that it has 1 samples a second, too few for sample_rate: 8000"
    with pytest.raises(Fault, match=words):
        kind(sounds, config).sizes()
    with pytest.raises(Unusable, match="too few for sample_rate"):
        list(stream(sounds / "low" / "slow.wav", RATE))


def test_blocks_of_a_recording_are_the_parts_of_its_whole(tmp_path, monkeypatch):
    for suffix in ("wav", "flac", "ogg", "mp3"):
        file = record(tmp_path / f"a.{suffix}", tone(300, 1.0))
        whole = np.concatenate(list(stream(file, RATE)))
        monkeypatch.setattr("saec.sound.files.BLOCK", 1000)
        assert np.allclose(np.concatenate(list(stream(file, RATE))), whole, rtol=0, atol=1e-6)
        monkeypatch.undo()


# The store


def stored(data) -> list[np.ndarray]:
    """The samples of each item as they are kept."""
    raw = data.gather(np.arange(len(data)), CPU)
    return [sound[:n].numpy() for sound, n in zip(raw.values, raw.lengths, strict=True)]


def test_what_a_recording_holds_is_kept_as_it_is(config, log):
    sounds = {"PCM_16": tone(300, 0.1), "FLOAT": np.tile([-1.0, 1.0, -1.5, 1e-6], 200)}
    for subtype, sound in sounds.items():
        file = record(config.data / "sounds" / f"{subtype}.wav", sound, subtype=subtype)
        sounds[subtype] = soundfile.read(file)[0].astype(np.float32)
    result = stored(kind(config.data / "sounds", config).open())
    assert result[0].tolist() == sounds["FLOAT"].tolist() and result[1].tolist() == sounds["PCM_16"].tolist()
    assert "clipped" not in log.text


@pytest.mark.parametrize("decibels", [-80, -60, -20, 18])
@pytest.mark.parametrize("spectrum", [MEL, LINEAR, MEL | {"name": "mfcc", "n_mfcc": 8}])
@pytest.mark.parametrize("gigabytes", [1, 1e-6])
def test_a_spectrum_is_the_same_however_loud_the_recording_is(decibels, spectrum, gigabytes, config):
    sound = tone(700, 0.3)
    for name, gain in (("a.wav", 1.0), ("b.wav", 10 ** (decibels / 20))):
        record(config.data / "sounds" / name, gain * sound, subtype="FLOAT")
    config = config.model_copy(update={"cache_gb": gigabytes})
    data = kind(config.data / "sounds", config, spectrum=spectrum, fit="pad", length_s="longest").open()
    loud, other = data.front(data.gather(np.arange(2), CPU)).flatten(1).numpy()
    assert np.corrcoef(loud, other)[0, 1] > 0.999 and np.allclose(loud, other, atol=1e-3 * np.abs(loud).max())


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [RATE, 11_025, 44_100])
def test_recordings_that_the_cache_has_no_room_for_are_streamed_and_are_the_same(suffix, rate, config, log):
    for number, seconds in enumerate((0.5, 1.3, 3.0)):
        record(config.data / "sounds" / f"{number}.{suffix}", tone(300, seconds, number, rate), rate)
    options = {"segment_s": 0.2, "step_s": 0.13}
    kept = kind(config.data / "sounds", config, **options).open()
    small = config.model_copy(update={"cache_gb": 1e-6, "cache": config.data / "small"})
    lazy = kind(config.data / "sounds", small, **options)
    assert "decoded whenever they are used: the cache may hold" in lazy.sizes().room
    lazy = lazy.open()
    assert isinstance(lazy.stored, Streamed) and lazy.fingerprint == kept.fingerprint
    assert lazy.samples.table.equals(kept.samples.table) and lazy.stored.shape == kept.stored.shape
    rows = np.random.default_rng(0).permutation(len(kept))
    one, other = kept.gather(rows, CPU), lazy.gather(rows, CPU)
    assert torch.equal(one.lengths, other.lengths)
    assert torch.allclose(one.values, other.values, rtol=0, atol=2e-6)
    if rate == RATE:
        assert torch.equal(one.values, other.values)


@pytest.mark.parametrize("rate", [11_025, 44_100])
def test_other_rates_are_resampled_as_all_at_once(rate, config, monkeypatch):
    monkeypatch.setattr("saec.sound.files.BLOCK", 777)
    file = record(config.data / "sounds" / "a.wav", tone(300, 0.3, rate=rate), rate)
    (result,) = stored(kind(config.data / "sounds", config).open())
    expected = soxr.resample(soundfile.read(file)[0], rate, RATE, quality="HQ")
    assert result.tolist() == expected.astype(np.float32).tolist() and len(result) == 2400


@pytest.mark.parametrize(("channel", "expected"), [("mean", 0.1), (0, 0.4), (1, -0.2)])
def test_channels_are_averaged_or_one_is_chosen(channel, expected, config):
    record(config.data / "sounds" / "a.wav", np.tile([0.4, -0.2], (800, 1)), subtype="FLOAT")
    (result,) = stored(kind(config.data / "sounds", config, channel=channel).open())
    assert np.allclose(result, expected, atol=1e-6)


def test_recordings_are_decoded_once_however_they_are_cut_and_anew_when_they_change(config, sounds):
    first = kind(sounds, config)
    whole = first.open()
    (store,) = config.cache.iterdir()
    made = (store / "samples.npy").stat().st_mtime_ns
    cut_up = kind(sounds, config, segment_s=0.1, spectrum=LINEAR).open()
    again = kind(sounds, config).open()
    assert [folder.name for folder in config.cache.iterdir()] == [store.name]
    assert (store / "samples.npy").stat().st_mtime_ns == made
    assert again.fingerprint == whole.fingerprint != cut_up.fingerprint
    (sounds / "labels.csv").write_text("file,label\nlow/0.wav,hum\n")
    assert kind(sounds, config).open().fingerprint == whole.fingerprint
    record(sounds / "low" / "0.wav", tone(500, 0.3, seed=9))
    other = kind(sounds, config).open()
    assert len(list(config.cache.iterdir())) == 2 and other.fingerprint != whole.fingerprint
    workspace = other.samples.names.tolist().index("low/0.wav")
    assert len(stored(other)[workspace]) == 2400


# The front end


def front(n_frames: int, **options) -> SoundFront:
    return SoundFront(SPECTRA.parse(MEL)(RATE), n_frames, **options)


def raw(*sounds: np.ndarray) -> Raw:
    """A batch as it is stored."""
    result = np.zeros((len(sounds), max(map(len, sounds))), np.float32)
    for row, sound in zip(result, sounds, strict=True):
        row[: len(sound)] = sound
    return Raw(torch.from_numpy(result), torch.tensor([len(sound) for sound in sounds]))


def of_librosa(sound: np.ndarray) -> np.ndarray:
    """(mel bands, frames) in [0, 1], high bands on top."""
    import librosa

    mel = librosa.feature.melspectrogram(
        y=sound, sr=RATE, n_fft=256, hop_length=128, n_mels=16, pad_mode="constant"
    )
    return librosa.power_to_db(mel, ref=np.max)[::-1] / 80 + 1


def through(front: SoundFront, *sounds: np.ndarray) -> np.ndarray:
    """(items, rows, frames)."""
    return front(raw(*sounds))[:, 0].numpy()


@pytest.mark.parametrize(
    ("fit", "n_frames", "first"),  # where the first of 19 frames comes to lie
    [
        *(("pad", 19, 0), ("centre", 19, 0), ("resize", 19, 0)),
        *(("pad", 30, 0), ("centre", 30, 5), ("centre", 29, 5)),
        *(("pad", 10, 0), ("centre", 10, -5)),
    ],
)
def test_what_comes_out_is_librosas_mel_spectrogram_filled_up_with_the_floor_or_cut(fit, n_frames, first):
    sound = tone(700, 0.3)
    (result,) = through(front(n_frames, fit=fit), sound)
    expected = of_librosa(sound)[:, max(-first, 0) :][:, :n_frames]
    first = max(first, 0)
    end = first + expected.shape[1]
    assert result.shape == (16, n_frames) and np.abs(result[:, first:end] - expected).max() < 1e-3
    assert (result[:, :first] == 0).all() and (result[:, end:] == 0).all()


@pytest.mark.skipif(REAL is None, reason="SAEC_REAL_DATA is not set")
def test_what_comes_out_of_real_recordings_is_librosas_mel_spectrogram(config):
    folder = Path(REAL) / "fsdd"
    rows = [f"{folder}/{name}" for name in ("0_george_0.wav", "5_theo_1.wav", "9_nicolas_2.wav")]
    (config.data).mkdir()
    (config.data / "three.csv").write_text("\n".join(["file", *rows]))
    data = kind(config.data / "three.csv", config, fit="pad", length_s="longest").open()
    result = data.front(data.gather(np.arange(3), CPU))[:, 0].numpy()
    assert data.samples.names.tolist() == rows
    for spectrum, file in zip(result, rows, strict=True):
        expected = of_librosa(soundfile.read(file)[0].astype(np.float32))
        n = expected.shape[1]
        assert np.abs(spectrum[:, :n] - expected).max() < 1e-3 and (spectrum[:, n:] == 0).all()


@pytest.mark.parametrize("fit", ["resize", "pad", "centre"])
@pytest.mark.parametrize("n_frames", [8, 13, 40])
def test_an_spectrum_is_the_same_alone_and_beside_longer_ones(fit, n_frames):
    sounds = [tone(300, 0.1), tone(900, 0.35), tone(2000, 0.2)]
    one = front(n_frames, fit=fit)
    together = through(one, *sounds)
    assert together.shape == (3, 16, n_frames) and one.shape == (1, 16, n_frames)
    for item, sound in zip(together, sounds, strict=True):
        assert np.allclose(item, through(one, sound)[0], atol=1e-5)


@pytest.mark.parametrize("n_frames", [5, 20, 60])
def test_a_resized_item_is_bicubically_stretched_along_time(n_frames):
    sound = tone(700, 0.3)
    plain = torch.from_numpy(of_librosa(sound).copy())[None, None]
    expected = F.interpolate(plain, (16, n_frames), mode="bicubic", antialias=True).clamp(0, 1)
    assert np.abs(through(front(n_frames), sound)[0] - expected[0, 0].numpy()).max() < 1e-3


def test_items_are_standardised_each_by_itself_and_silence_stays_finite():
    result = through(front(12, standardise="item"), tone(300), tone(2000, 0.1), np.zeros(900))
    assert np.allclose(result.mean(axis=(1, 2)), 0, atol=1e-5)
    assert np.allclose(result[:2].std(axis=(1, 2)), 1, atol=1e-4) and (result[2] == 0).all()


def test_a_set_is_standardised_by_the_mean_and_deviation_of_all_its_values():
    sounds = [tone(300), tone(2000, 0.1), np.zeros(900)]
    plain = through(front(12), *sounds)
    undecided = front(12, standardise="set")
    decided = undecided.from_training_set([raw(*sounds[:2]), raw(sounds[2])])["standardise"]
    assert decided == pytest.approx((plain.mean(), plain.std()), abs=1e-5)
    assert np.allclose(through(front(12, standardise=decided), *sounds), (plain - decided[0]) / decided[1])
    assert front(12).from_training_set([raw(*sounds)]) == {}


@pytest.mark.parametrize(("fit", "n_frames"), [("resize", 20), ("pad", 24), ("centre", 24)])
def test_a_front_end_gives_as_many_frames_as_a_model_can_take(fit, n_frames):
    assert front(21, fit=fit).sized_for(None, 4).n_frames == n_frames
    assert front(1, fit=fit).sized_for(16, 8).n_frames == 8
    assert front(21, fit=fit).sized_for(16, 4, width=33).n_frames == 33


# The kind


def test_labels_of_each_segment_stand_beside_it(config, table):
    data = kind(table, config, segment_s=0.25).open()
    starts = (0, 0.25, 0.5, 0.75, 1.0)
    assert data.samples.names.tolist() == [
        *(f"b_segm_{start:08.3f}.wav" for start in starts),
        "sub/a_segm_0000.000.wav",
    ]
    assert data.samples.labels.tolist() == ["crow", "crow", "tit", "tit", "tit", "7"]
    assert data.samples.groups.tolist() == ["g"] * 5 + ["sub/a.wav"]
    assert data.samples.splits.tolist() == ["train"] * 2 + ["valid"] * 3 + ["test"]
    assert data.samples.files.tolist() == ["b.wav"] * 5 + ["sub/a.wav"]
    assert data.samples.times.tolist() == [[start, start + 0.25] for start in starts] + [[0, 0.1]]
    assert data.samples.texts("names").tolist() == [*"yyxxx", ""]  # a further column, whatever it is called
    part = data.subset(np.array([5, 2])).samples
    assert part.files.tolist() == ["sub/a.wav", "b.wav"] and part.splits.tolist() == ["test", "valid"]
    assert part.times.tolist() == [[0, 0.1], [0.5, 0.75]]
    assert data.subset(np.array([5, 2])).fingerprint != data.fingerprint


def test_a_table_of_labels_overrules_folders_and_names_groups(config, sounds):
    rows = ["low/0.wav,hum,", "low/1.wav,,pair", "mid/0.wav,,pair"]
    (sounds / "labels.csv").write_text("\n".join(["file,label,group", *rows]))
    samples = kind(sounds, config).samples
    assert kind(sounds, config).open().samples.table.equals(samples.table)
    labelled = dict(zip(samples.names, zip(samples.labels, samples.groups, strict=True), strict=True))
    assert labelled["low/0.wav"] == ("hum", "low/0.wav") and labelled["low/2.wav"] == ("low", "low/2.wav")
    assert labelled["low/1.wav"] == ("low", "pair") and labelled["mid/0.wav"] == ("mid", "pair")


@pytest.mark.parametrize("workspace", ["folder", "class folders", "table"])
def test_segments_in_files_of_their_own_belong_to_their_recording(workspace, config):
    folder = config.data / "sounds"
    names = [f"{name}/{song}_segm_000{k}.wav" for name in ("a", "b") for song in ("x", "y") for k in (0, 1)]
    for name in names:
        record(folder / name, tone(300, 0.05))
    (folder / "table.csv").write_text("\n".join(["file", *names]))
    folders = {"folder": folder, "class folders": (folder / "a", folder / "b"), "table": folder / "table.csv"}
    groups = kind(folders[workspace], config).open().samples.groups
    assert groups.tolist() == ["a/x", "a/x", "a/y", "a/y", "b/x", "b/x", "b/y", "b/y"]


@pytest.mark.parametrize(
    ("length_s", "seconds"), [("mean", 0.2 * 1.075), ("longest", 0.2 * 1.15), (0.1, 0.1), (1.0, 1.0)]
)
def test_items_are_brought_to_the_mean_the_longest_or_a_stated_length(length_s, seconds, config, sounds):
    data = kind(sounds, config, length_s=length_s)
    sizes, result = data.sizes(), data.open()
    assert sizes.front.shape == result.shape == (1, 16, 1 + round(seconds * RATE) // 128)
    decided = {"length_s": pytest.approx(seconds)} if isinstance(length_s, str) else {}
    assert sizes.from_training_set == decided and sizes.n_samples == 12
    assert kind(sounds, config, segment_s=0.1).open().shape == (1, 16, 1 + 800 // 128)


def test_the_length_of_sounds_is_settled_by_headers_though_a_recording_proves_cut(config, sounds):
    whole = record(sounds / "low" / "cut.flac", tone(300, 8.0)).read_bytes()
    (sounds / "low" / "cut.flac").write_bytes(whole[: len(whole) // 2])
    data = kind(sounds, config, skip_bad=True)
    sizes, opened = data.sizes(), data.open()
    assert sizes.n_samples == 13 and len(opened) == 12 and opened.about["left_out"] == ["low/cut.flac"]
    seconds = sizes.from_training_set["length_s"]
    assert seconds == pytest.approx((12 * 0.2 * 1.075 + 8) / 13)
    assert opened.shape == sizes.front.shape == (1, 16, 1 + round(seconds * RATE) // 128)


def test_a_limit_takes_recordings_evenly(config, sounds):
    names = kind(sounds, config, limit=4).open().samples.names.tolist()
    assert names == ["high/0.wav", "low/0.wav", "low/3.wav", "mid/3.wav"]
    with pytest.raises(SessionError, match="limit"):
        load_session(heard_session(data={"limit": 0}), TrainingSession)


def test_a_pattern_groups_recordings_where_no_table_does(config, sounds, log):
    (sounds / "low" / "0.wav").rename(sounds / "low" / "0_ann_1.wav")
    for name in ("0_theo_1.wav", "1_theo_2.wav"):
        record(sounds / "low" / name, tone(300))
    (sounds / "labels.csv").write_text("file,label,group\nlow/0_ann_1.wav,,other\n")
    samples = kind(sounds, config, group=r"_(\w+?)_", segment_s=0.1).samples
    groups = dict(zip(samples.files.tolist(), samples.groups.tolist(), strict=True))
    assert groups["low/0_theo_1.wav"] == groups["low/1_theo_2.wav"] == "theo"
    assert groups["low/0_ann_1.wav"] == "other" and groups["mid/0.wav"] == "mid/0.wav"
    assert r"11 recordings have no group by the pattern '_(\\w+?)_', each is one of its own:" in log.text
    for pattern, words in {"_": "must have one group", "(": "must be a regular expression"}.items():
        with pytest.raises(SessionError, match=f"data.audio.group: {words}|group: {words}"):
            load_session(heard_session(data={"group": pattern}), TrainingSession)


@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_sounds_far_longer_than_what_was_learnt_are_warned_of_unless_they_are_cut(fit, config, sounds, log):
    record(sounds / "low" / "long.wav", tone(300, 1.0))
    for options in ({"length_s": "mean"}, {"length_s": 0.1, "segment_s": 0.1}, {"length_s": 0.3}):
        kind(sounds, config, fit=fit, **options).sizes()
    assert log.text == ""
    kind(sounds, config, fit=fit, length_s=0.2).sizes()
    how = {"resize": "compressed", "pad": "cut off"}[fit]
    words = f"1 sounds are more than 4 times as long as the 0.2 s that all are {how} to, "
    assert words in log.text and "`segment_s: 0.2`\n  low/long.wav" in log.text


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ({"segment_s": 0.01}, "segment_s: 0.01 s are 80 samples at 8000 Hz, 128 are needed"),
        ({"segment_s": 0.1, "step_s": 0.0005}, "step_s must be at least 0.001 s, got 0.0005"),
        ({"spectrum": MEL | {"n_mels": 200}}, "24 of n_mels = 200 mel filters .* are empty"),
        (
            {"spectrum": {"name": "linear", "n_fft": 256, "hop_length": 512}},
            "hop_length must be at most n_fft",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_decoded(options, output, config, sounds):
    with pytest.raises(Fault, match=output):
        kind(sounds, config, **options)
    assert not config.cache.exists()


def test_what_the_training_set_decides_is_written_down_and_validation_is_read_alike(config):
    record_classes(config.data / "sounds")
    record_classes(config.data / "other", n=2, seconds=0.5)
    session = heard_session(data={"valid": "other", "standardise": "set"})
    built = build(check_training(load_session(session, TrainingSession), config))
    data = built.session.data
    assert data.length_s == pytest.approx(0.215)
    learnt = torch.cat([batch.seen for batch in built.train.training(0)])
    assert float(learnt.mean()) == pytest.approx(0, abs=1e-4)
    assert float(learnt.std(correction=0)) == pytest.approx(1, abs=1e-4)
    log = torch.cat([batch.seen for batch in built.valid.validation()])
    assert log.shape == (6, 1, 16, 14) and built.valid.data.front.standardise == data.standardise
    plain = kind(config.data / "other", config, length_s=data.length_s).open()
    expected = plain.front(plain.gather(np.arange(6), CPU))
    assert torch.allclose(log * data.standardise[1] + data.standardise[0], expected, atol=1e-5)
    again = load_session(built.session.model_dump(mode="json"), TrainingSession)
    assert again.data == data and isinstance(again.data.standardise, tuple)


@pytest.mark.parametrize("name", ["denoise", "pair"])
def test_views_that_take_shares_refuse_what_is_standardised(name, config, sounds):
    session = heard_session(views=name, data={"standardise": "item"})
    with pytest.raises(SessionError, match=rf"views: {name} takes values in \[0, 1\]: choose"):
        plan_training(load_session(session, TrainingSession), config)
    plan_training(load_session(heard_session(views=name), TrainingSession), config)


def test_a_recording_of_minutes_is_to_be_cut(config):
    record(config.data / "sounds" / "long.wav", np.zeros(121 * RATE, np.int16))
    with pytest.raises(Fault, match="at most 120 s long, 1 are longer: cut them by `data.segment_s`\n  long"):
        kind(config.data / "sounds", config).sizes()
    assert kind(config.data / "sounds", config, segment_s=60).sizes().n_samples == 3


def test_stretches_that_overlap_to_the_millisecond_are_refused(config):
    record(config.data / "a.wav", tone(300, 0.5))
    (config.data / "table.csv").write_text("file,start,end\na.wav,0,0.3\na.wav,0.1,0.4\n")
    assert len(kind(config.data / "table.csv", config).open()) == 2
    with pytest.raises(Fault, match="2 samples share a name:\n  a_segm_0000.100.wav"):
        kind(config.data / "table.csv", config, segment_s=0.1).sizes()


def test_a_stretch_that_is_too_short_leaves_the_others_of_its_recording(config, log):
    record(config.data / "a.wav", tone(300, 0.5))
    rows = ["a.wav,0,0.2", "a.wav,0.3,0.301", "a.wav,0.4,0.402"]
    (config.data / "table.csv").write_text("\n".join(["file,start,end", *rows]))
    with pytest.raises(Fault, match="2 of 3 recordings") as fault:
        kind(config.data / "table.csv", config).sizes()
    assert "\n  a.wav from 0.3 s on has 8 samples at 8000 Hz, 128 are needed" in str(fault.value)
    data = kind(config.data / "table.csv", config, skip_bad=True).open()
    assert data.samples.names.tolist() == ["a_segm_0000.000.wav"] and len(data.about["left_out"]) == 2


def test_the_class_of_each_made_sound_is_in_its_loudest_row(config, sounds):
    """Rows run from 4000 Hz, on top, to 0: the tones of the fixture lie where they should."""
    data = kind(sounds, config, spectrum=LINEAR).open()
    spectra = data.front(data.gather(np.arange(12), CPU))[:, 0].mean(dim=2)
    rows = spectra.argmax(dim=1).numpy()
    hertz = [HERTZ[label] for label in data.samples.labels]
    assert np.abs((127 - rows) * RATE / 256 - hertz).max() <= RATE / 256
