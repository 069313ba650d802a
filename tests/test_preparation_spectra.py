"""Pictures of named spectra: librosa's levels, true sidecars, faults with keys, older folders as ever."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from pydantic import ValidationError
from test_preparation import MEL, RATE, check, noise, prepare, record, recordings, sidecar, table
from test_spectra import by_librosa

from saec.config import ROOT
from saec.data.batch import Raw
from saec.data.fronts import SoundFront
from saec.data.png import to_intensity
from saec.faults import Fault
from saec.preparation import PreparationSession, plan_preparation
from saec.session import SessionError, load_session
from saec.sound.spectra import SPECTRA

__all__ = ["recordings"]  # a fixture
REAL = os.environ.get("SAEC_REAL_DATA")
LINEAR = {"name": "linear", "n_fft": 128, "hop_length": 32, "floor_db": 50.0}
N_SAMPLES = 800


def settings(recordings: Path, **changes: Any) -> PreparationSession:
    chosen = {"spectrum": MEL, "equalize": False, "sample_rate": RATE, "segment_s": 0.1}
    return PreparationSession(
        **{"recordings": recordings, "out": recordings.parent / "out"} | chosen | changes
    )


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def levels_of(file: Path, colormap: str = "gray") -> np.ndarray:
    with Image.open(file) as picture:
        return to_intensity(np.asarray(picture), colormap).astype(int)


def off_by(levels: np.ndarray, units: np.ndarray, n_steps: int) -> float:
    """The largest distance of values from the middle of their level, in levels."""
    return float(np.abs(np.minimum(levels, n_steps - 1) + 0.5 - n_steps * units).max())


@pytest.mark.parametrize(("colormap", "n_steps"), [("gray", 255), ("magma", 256)])
@pytest.mark.parametrize("options", [MEL, LINEAR], ids=["mel", "linear"])
def test_pictures_are_the_spectrum_to_half_a_level(recordings, options, colormap, n_steps):
    record(recordings / "a.wav", noise(0.35))
    out = prepare(settings(recordings, spectrum=options, colormap=colormap))
    raw, _ = soundfile.read(recordings / "a.wav", dtype="float32")
    spectrum = SPECTRA.parse(options)(RATE)
    front = SoundFront(spectrum, spectrum.n_frames(N_SAMPLES), fit="pad")
    assert len(pictures(out)) == 3
    for k, file in enumerate(pictures(out)):
        first = int(RATE * (k * 0.8 * 0.1))
        segment, levels = raw[first : first + N_SAMPLES], levels_of(file, colormap)
        seen = front(Raw(torch.from_numpy(segment)[None], torch.tensor([N_SAMPLES])))[0, 0].numpy()
        assert off_by(levels, seen, n_steps) < 0.51
        assert off_by(levels, by_librosa(options["name"], segment, RATE, options), n_steps) < 0.51
        assert levels.max() > 200 and len(np.unique(levels)) > 30


def test_the_sidecar_tells_the_spectrum_and_nothing_that_was_not_used(recordings):
    record(recordings / "a.wav", noise(0.2))
    options = MEL | {"fmin": 200.0, "fmax": 3000.0, "scale": "htk"}
    out = prepare(settings(recordings, spectrum=options))
    stated = sidecar(out)
    frequencies, times = np.array(stated.pop("frequency_axis")), np.array(stated.pop("time_axis"))
    assert stated == {
        "sampling_frequency": RATE,
        "segment_duration_sec": 0.1,
        "segment_step_size": 0.8,
        "fft_window_size_bins": 256,
        "fft_window_overlap_bins": 192,
        "colormap": "gray",
        "equalize": False,
        "max_segm_per_file": None,
        "eps": 1e-10,
        "spectrum": options | {"window": "hann", "reference": "max", "floor_db": 80.0, "chroma": False},
    }
    mel = 2595 * np.log10(1 + np.array([200, 3000]) / 700)
    centres = np.linspace(*mel, 26)[1:-1]
    assert np.allclose(frequencies, 700 * (10 ** (centres / 2595) - 1))
    assert np.allclose(times, np.arange(13) * 64 / RATE)
    about = json.loads((out / "prepared.json").read_text())["settings"]
    assert about["spectrum"]["n_mels"] == 24 and not {"n_fft", "hop_length", "equalize"} & about.keys()


def test_sessions_without_a_spectrum_give_the_same_folders_as_ever(recordings):
    record(recordings / "a.wav", noise(0.5))
    os.utime(recordings / "a.wav", ns=(1_700_000_000_000_000_000,) * 2)
    own = {"recordings": recordings, "sample_rate": RATE, "segment_s": 0.1, "n_fft": 64, "hop_length": 16}
    chosen = PreparationSession(**own, out=recordings.parent / "out")
    out = prepare(chosen)
    about = json.loads((out / "prepared.json").read_text())
    assert about["fingerprint"] == "8fcd57c44ea4db9af137d6cb48d3fd91"  # of the same before spectra had names
    keys = "sample_rate segment_s step n_fft hop_length colormap equalize".split()
    assert list(about["settings"])[:7] == keys
    assert "spectrum" not in sidecar(out)
    assert "there already" in check(chosen.model_copy(update={"spectrum": None}))
    words = "(?s)was not prepared from these recordings with these settings:.*spectrum: there null, here {"
    with pytest.raises(Fault, match=words):
        check(settings(recordings))
    with pytest.raises(Fault, match="  segment_s: there 0.1, here 0.2\n  equalize: there true, here false\n"):
        check(chosen.model_copy(update={"segment_s": 0.2, "equalize": False}))
    record(recordings / "b.wav", noise(0.5))
    with pytest.raises(Fault, match="settings:\n  recordings: there 1, here 2\ngive"):
        check(chosen)
    (out / "prepared.json").unlink()
    with pytest.raises(Fault, match="it has no prepared.json of a preparation"):
        check(chosen)


def test_another_option_of_a_spectrum_is_another_folder(recordings):
    record(recordings / "a.wav", noise(0.2))
    prepare(settings(recordings))
    assert "there already" in check(settings(recordings, spectrum=MEL | {"fmax": None}))
    with pytest.raises(Fault, match="another `out`, or delete it"):
        check(settings(recordings, spectrum=MEL | {"window": "hamming"}))


def test_segments_without_a_level_are_skipped_and_listed(recordings):
    silent, constant = np.zeros((N_SAMPLES, 1)), np.full((N_SAMPLES, 1), 0.25)
    record(recordings / "a.wav", np.concatenate([noise(0.1), silent, constant, noise(0.1)]))
    out = prepare(settings(recordings, step=1.0))
    assert [file.name for file in pictures(out)] == ["a_segm_0000.000.png", "a_segm_0000.300.png"]
    assert [(float(row["start"]), row["reason"]) for row in table(out / "skipped.csv")] == [
        (start, "nothing to see: constant, or nothing above the spectrum's floor") for start in (0.1, 0.2)
    ]
    loud = settings(recordings, spectrum=MEL | {"reference": 1e9}, out=recordings.parent / "loud")
    with pytest.raises(Fault, match="no picture came out of 1 recordings:\n  a.wav: nothing to see"):
        prepare(loud)


def test_a_padded_recording_lies_in_the_middle_of_the_floor(recordings):
    record(recordings / "a.wav", noise(0.05))
    torch.set_num_threads(2)
    levels = levels_of(pictures(prepare(settings(recordings)))[0])
    assert torch.get_num_threads() == 2  # given back
    sounding = np.flatnonzero(levels.any(axis=0))  # columns whose window touches samples 200 to 600
    assert (sounding[0], sounding[-1]) == (2, 11)


@pytest.mark.parametrize("name", SPECTRA.names())
def test_every_spectrum_in_units_can_be_a_picture_and_no_other(recordings, name):
    if SPECTRA[name].target.in_units:
        assert settings(recordings, spectrum={"name": name}, segment_s=1).size[0] > 1
    else:
        with pytest.raises(ValidationError, match=f"{name} gives no levels .* choose from linear, mel"):
            settings(recordings, spectrum=name, segment_s=1)


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"spectrum": MEL | {"fmax": 5000}}, ["spectrum: fmax must be at most 4,000 Hz, half the rate"]),
        ({"spectrum": MEL | {"n_mels": 200}}, ["spectrum: ", "lower n_mels or raise n_fft"]),
        ({"spectrum": LINEAR | {"hop_length": 129}}, ["spectrum: hop_length must be at most n_fft = 128"]),
        ({"spectrum": MEL | {"n_fft": 1024}}, ["n_fft = 1024 samples, but 0.1 s", "lower spectrum.n_fft"]),
        ({"spectrum": MEL | {"n_mel": 24}}, ["spectrum.n_mel: unknown key, did you mean 'n_mels'?"]),
        ({"spectrum": "mell"}, ["spectrum: unknown spectrum 'mell', did you mean 'mel'?"]),
        ({"equalize": True}, ["equalize: must be false with a spectrum", "set `equalize: false`"]),
        (
            {"spectrum": MEL | {"fmax": 5000}, "n_fft": 512, "hop_length": 64, "equalize": True},
            [
                "spectrum: fmax",
                "n_fft: is the spectrum's to say, got 512",
                "`spectrum.hop_length: 64`",
                "equ",
            ],
        ),
    ],
)
def test_what_a_spectrum_cannot_be_is_a_fault_with_its_key_before_anything_is_touched(changes, faults):
    raw = {"recordings": "nowhere", "sample_rate": RATE, "segment_s": 0.1, "spectrum": MEL, "equalize": False}
    with pytest.raises(SessionError) as caught:
        load_session(raw | changes, PreparationSession)
    for words in faults:
        assert words in str(caught.value)


def test_the_shipped_session_gives_what_its_comment_says(config):
    file = ROOT / "session_params" / "preparation" / "mel.yaml"
    session = load_session(file, PreparationSession)
    assert session.size == (256, 128)
    record(config.data / "songs" / "recordings" / "a.wav", np.tile(noise(1.0), (3, 1)))
    assert "about 1 pictures of 256 x 128 (W x H)" in plan_preparation(session, config).estimate()
    assert load_session(session, PreparationSession) == session
    changed = load_session(file, PreparationSession, ["spectrum=null", "equalize=true"])
    assert changed.size[1] == 128 and changed.spectrum is None


@pytest.mark.parametrize(
    ("look", "own", "warned"),
    [
        ({"spectrum": MEL | {"fmax": None}}, RATE // 2, True),
        ({"spectrum": MEL | {"fmax": 1900.0}}, RATE // 2, False),
        ({"spectrum": None, "n_fft": 64}, RATE // 2, True),
        ({"spectrum": None, "n_fft": 64}, RATE, False),
        ({"spectrum": None, "n_fft": 64}, 2 * RATE, False),
    ],
)
def test_rows_that_hold_nothing_are_warned_of_where_there_are_some(recordings, caplog, look, own, warned):
    record(recordings / "a.wav", noise(0.3, own), own)
    prepare(settings(recordings, **look))
    words = (
        "lower sampling rate (4000 Hz) than sample_rate: 8000, the top rows of their pictures hold nothing"
    )
    assert (words in caplog.text) == warned


@pytest.mark.skipif(not REAL, reason="SAEC_REAL_DATA is not set")
def test_real_digits_are_librosas_levels(recordings):
    options = {"name": "mel", "n_fft": 512, "hop_length": 64, "n_mels": 64}
    for digit in (0, 3, 9):
        shutil.copy(Path(REAL) / "fsdd" / f"{digit}_theo_13.wav", recordings)
    out = prepare(settings(recordings, spectrum=options, segment_s=0.2, max_segments=1))
    assert len(pictures(out)) == 3
    for file in pictures(out):
        sound, _ = soundfile.read(recordings / f"{file.name.split('_segm_')[0]}.wav")
        levels = levels_of(file)
        expected = by_librosa("mel", sound[:1600], RATE, options)
        assert levels.shape == (64, 26)
        assert off_by(levels, expected, 255) < 0.51
