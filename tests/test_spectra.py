"""Spectra: librosa's numbers, each item as if it were alone, and faults in words."""

import os
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from saec.faults import Fault
from saec.sound.spectra import SPECTRA, cosine_bank, delta_filter

REAL = os.environ.get("SAEC_REAL_DATA")
FEW = {"n_fft": 256, "hop_length": 64, "n_mels": 20}
CASES = [
    ("linear", {}),
    ("linear", {"n_fft": 400, "hop_length": 100, "window": "hamming", "floor_db": 50.0}),
    ("linear", {"n_fft": 512, "hop_length": 512, "reference": 0.5}),
    ("linear", {"n_fft": 512, "win_length": 320, "hop_length": 128}),
    ("mel", {"chroma": True}),
    ("mel", {"n_fft": 1024, "win_length": 512, "hop_length": 64}),
    ("mel", {"scale": "htk", "n_fft": 512, "hop_length": 100, "n_mels": 40, "floor_db": 100.0}),
    ("mel", {"reference": 0.01, "fmin": 200.0, "fmax": 3500.0, "n_mels": 64, "chroma": True}),
    ("mel", {"window": "hamming", "n_fft": 2048, "hop_length": 2048, "chroma": True, "floor_db": 40.0}),
    ("mfcc", {}),
    ("mfcc", {"deltas": 2, "n_mfcc": 20, "n_mels": 40, "scale": "htk", "hop_length": 80}),
    ("mfcc", {"deltas": 1, "reference": 0.01, "fmin": 100.0, "n_fft": 512, "n_mels": 40}),
]


def spectrum(name: str, rate: int = 8000, **options):
    """Options that a spectrum has no use for are left out."""
    labelled = {key: value for key, value in options.items() if key in SPECTRA[name].options}
    return SPECTRA.parse({"name": name} | labelled)(rate)


def of_one(name: str, sound: np.ndarray, rate: int = 8000, **options) -> np.ndarray:
    seen = spectrum(name, rate, **options)(torch.from_numpy(sound)[None], torch.tensor([len(sound)]))
    return seen[0].numpy()


def noise(n: int, seed: int = 0, gain: float = 0.1) -> np.ndarray:
    return (gain * np.random.default_rng(seed).normal(size=n)).astype(np.float32)


def tone(frequency: float, n: int = 8000, rate: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(n) / rate).astype(np.float32)


def by_librosa(name: str, sound: np.ndarray, rate: int, options: dict) -> np.ndarray:
    """In double precision; levels against a fixed power are cut at 0 dB and at the floor."""
    chosen = SPECTRA.parse({"name": name} | options)
    floor, fixed = chosen.floor_db, chosen.reference != "max"
    n_frames = 1 + len(sound) // chosen.hop_length
    waves = librosa.stft(
        np.pad(sound.astype(np.float64), (0, chosen.n_fft)),  # it warns of sounds shorter than a window
        n_fft=chosen.n_fft,
        win_length=chosen.win_length,
        hop_length=chosen.hop_length,
        window=chosen.window,
    )
    power = np.abs(waves[:, :n_frames]) ** 2

    def levels(power: np.ndarray, reference: float) -> np.ndarray:
        if fixed:
            return np.clip(librosa.power_to_db(power, ref=reference, top_db=None), -floor, 0)
        return librosa.power_to_db(power, ref=np.max, top_db=floor)

    if name == "linear":
        return levels(power[:-1], chosen.reference)[::-1] / floor + 1
    bands = {key: getattr(chosen, key) for key in ("n_mels", "fmin", "fmax")} | {"htk": chosen.scale == "htk"}
    mel = levels(librosa.feature.melspectrogram(S=power, sr=rate, **bands), chosen.reference)
    if name == "mel":
        chroma = librosa.feature.chroma_stft(S=power, sr=rate, tuning=0.0)
        below = [levels(chroma, 1.0)[::-1]] if chosen.chroma else []
        return np.concatenate([mel[::-1], *below]) / floor + 1
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=chosen.n_mfcc)
    orders = range(1, chosen.deltas + 1)
    return np.concatenate([mfcc, *(librosa.feature.delta(mfcc, order=order) for order in orders)])


# The contract


@pytest.mark.parametrize("name", SPECTRA.names())
def test_a_spectrum_has_documented_options_with_immutable_defaults_that_can_be_written_down(name):
    component = SPECTRA.parse(name)
    assert SPECTRA.parse(component.model_dump(mode="json")) == component
    hash(tuple(getattr(component, option) for option in component.options))
    assert "win_length" not in component.model_dump(mode="json")  # settings that were kept stay the same
    first = SPECTRA[name].__doc__.partition("\n")[0]
    assert first.endswith(".") and len(first.split()) >= 4
    with pytest.raises(ValueError, match="unknown key, did you mean 'n_fft'"):
        SPECTRA.parse({"name": name, "nfft": 1})


@pytest.mark.parametrize("name", SPECTRA.names())
def test_a_spectrum_has_the_rows_and_frames_that_it_promises(name):
    made = spectrum(name, **FEW, chroma=True, deltas=2)
    assert made.n_rows == {"linear": 128, "mel": 20 + 12, "mfcc": 3 * 13}[name]
    assert (made.n_fft, made.hop_length, made.in_units) == (256, 64, name != "mfcc")
    for n in (1, 63, 64, 1000):
        seen = made(torch.from_numpy(noise(2 * n)).view(2, n), torch.tensor([n, n]))
        assert seen.shape == (2, made.n_rows, made.n_frames(n)) and seen.dtype == torch.float32
        assert not made.in_units or (seen.min() >= 0 and seen.max() == 1)
    assert made.n_frames(torch.tensor([0, 63, 64])).tolist() == [1, 1, 2]


# Against librosa


SOUNDS = [None, "fsdd/7_jackson_0.wav", "fsdd/3_nicolas_5.wav", "soundscape/spinetail.wav"]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("file", SOUNDS if REAL else SOUNDS[:1])
def test_a_spectrum_is_that_of_librosa(file, name, options):
    sound, rate = noise(8001) * np.linspace(0, 1, 8001, dtype=np.float32) + 0.3 * tone(700, 8001), 8000
    if file:
        sound, rate = soundfile.read(Path(REAL) / file, frames=30_000, dtype="float32")
    seen, expected = of_one(name, sound, rate, **options), by_librosa(name, sound, rate, options)
    np.testing.assert_allclose(seen, expected, atol=1e-3)


def test_differences_of_a_polynomial_are_its_derivatives_and_the_cosines_are_orthonormal():
    steps = np.arange(-4, 5)
    for order in (1, 2):
        assert np.isclose(delta_filter(order).numpy() @ (3.0 * steps**order + 5), 3 * order)
    cosines = cosine_bank(12, 12).double()
    assert torch.allclose(cosines @ cosines.T, torch.eye(12, dtype=torch.float64), atol=1e-6)


# Each item as if it were alone


@pytest.mark.parametrize("reference", ["max", 0.01])
@pytest.mark.parametrize("name", SPECTRA.names())
def test_an_item_depends_on_neither_its_padding_nor_the_others(name, reference):
    made = spectrum(name, **FEW, chroma=True, deltas=2, reference=reference)
    sizes = [4000, 2501, 3, 64 * 8 - 1, 64 * 8, 1000, 0]  # of which two have 8 and 9 frames
    batch = torch.zeros(len(sizes), 5000)
    for index, n in enumerate(sizes):
        batch[index, :n] = torch.from_numpy(noise(n, index, gain=0.3**index))
    together = made(batch, torch.tensor(sizes))
    for index, n in enumerate(sizes):
        alone = made(batch[index : index + 1, : max(n, 1)], torch.tensor([n]))[0]
        alone = alone[:, : made.n_frames(n)]
        among = together[index, :, : made.n_frames(n)]
        torch.testing.assert_close(among, alone, rtol=1e-6, atol=1e-6 if made.in_units else 1e-4)
        assert not together[index, :, made.n_frames(n) :].any()


@pytest.mark.parametrize("name", ["linear", "mel"])
def test_an_item_is_loudest_inside_its_own_frames(name):
    """Its last sample is a click that the first frame beyond it would see from nearer."""
    batch = torch.zeros(1, 1000)
    batch[0, 126] = 1
    result = spectrum(name, **FEW)(batch, torch.tensor([127]))
    assert result.max() == 1 and result.shape[-1] == 16 and not result[..., 2:].any()


def test_differences_end_where_the_item_ends_and_are_none_of_fewer_than_nine_frames():
    """As librosa's of the item alone, though the batch goes on for twice its length."""
    options = FEW | {"deltas": 2}
    sound = noise(1000)
    batch = torch.from_numpy(np.pad(sound, (0, 1000)))[None]
    result = spectrum("mfcc", **options)(batch, torch.tensor([1000]))[0, :, : 1 + 1000 // 64]
    np.testing.assert_allclose(result, by_librosa("mfcc", sound, 8000, options), atol=1e-3)
    short = of_one("mfcc", noise(64 * 8 - 1), **options)
    assert short.shape == (39, 8) and short[:13].any() and not short[13:].any()
    assert of_one("mfcc", noise(64 * 8), **options)[13:].all()


# By hand


@pytest.mark.parametrize("reference", ["max", 0.01, 1e-12])
@pytest.mark.parametrize("name", ["linear", "mel"])
def test_silence_is_dark(name, reference):
    for silence in (np.zeros(2000, np.float32), np.full(2000, 1e-9, np.float32)):
        assert not of_one(name, silence, **FEW, reference=reference, floor_db=120.0).any()
    assert not of_one("mel", np.zeros(2000, np.float32), **FEW, reference=reference, chroma=True).any()


def test_silent_mfcc_are_those_of_levels_at_the_floor():
    result = of_one("mfcc", np.zeros(2000, np.float32), **FEW, floor_db=60.0, deltas=2)
    assert np.allclose(result[0], -60 * np.sqrt(20), atol=1e-3) and np.allclose(result[1:], 0, atol=1e-3)


@pytest.mark.parametrize("name", SPECTRA.names())
def test_three_samples_make_one_frame_that_is_right(name):
    sound = np.array([0.5, -1.0, 0.25], np.float32)
    result = of_one(name, sound, **FEW)
    options = {key: value for key, value in FEW.items() if key in SPECTRA[name].options}
    assert result.shape[1] == 1
    np.testing.assert_allclose(result, by_librosa(name, sound, 8000, options), atol=1e-3)


def test_a_tone_lights_its_row_and_its_chord_below_and_high_frequencies_are_on_top():
    """440 Hz is A, the tenth class from C, the third from B; an octave makes no difference."""
    for frequency, row in [(1000.0, 127 - 32), (3000.0, 127 - 96)]:  # 8000 / 256 Hz a row
        assert (of_one("linear", tone(frequency), **FEW).argmax(axis=0)[4:-4] == row).all()
        middles = librosa.mel_frequencies(22, fmax=4000.0)[1:-1]
        nearest = 19 - np.abs(middles - frequency).argmin()
        assert (of_one("mel", tone(frequency), **FEW).argmax(axis=0)[4:-4] == nearest).all()
    for frequency in (440.0, 880.0):
        result = of_one("mel", tone(frequency), n_fft=2048, n_mels=40, chroma=True)
        assert result.shape[0] == 52 and (result[40:].argmax(axis=0)[8:-8] == 2).all()


def test_a_fixed_reference_tells_loud_from_quiet_and_the_own_maximum_does_not():
    loud, quiet = noise(4000), noise(4000) / np.float32(10)
    for name in ("linear", "mel"):
        options = FEW | {"floor_db": 80.0, "n_mels": 10}
        assert np.allclose(of_one(name, loud, **options), of_one(name, quiet, **options), atol=1e-4)
        levels = [of_one(name, sound, **options, reference=100.0) for sound in (loud, quiet)]
        assert np.median(levels[0] - levels[1]) == pytest.approx(20 / 80, abs=1e-4)


@pytest.mark.parametrize("name", SPECTRA.names())
def test_what_comes_in_and_autocast_change_no_precision(name):
    made, n = spectrum(name, **FEW), torch.tensor([2000])
    sound = torch.from_numpy(noise(2000))[None]
    plain = made(sound, n)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(sound, n), plain)
    assert torch.equal(made(sound.double(), n), plain)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", SPECTRA.names())
def test_a_spectrum_is_the_same_on_a_gpu(name):
    made, n = spectrum(name, **FEW, chroma=True, deltas=2), torch.tensor([2000, 900])
    sound = torch.from_numpy(np.stack([noise(2000), np.pad(noise(900), (0, 1100))]))
    result = made(sound.cuda(), n)
    assert result.is_cuda
    torch.testing.assert_close(result.cpu(), made(sound, n), rtol=1e-3, atol=1e-3)


# Faults

FEWER = {"n_mels": 2, "n_mfcc": 1, "fmin": 1, "fmax": 5}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("linear", {"hop_length": 1025}, "at most n_fft = 1024, got 1025: the sound between two windows"),
        ("mfcc", {"win_length": 1026}, "win_length must be at most n_fft = 1024, got 1026"),
        ("mel", {"win_length": 254}, "at most win_length = 254, got 256: the sound between two windows"),
        ("mel", {"fmax": 5000}, "at most 4,000 Hz, half the rate of 8,000 Hz, got 5,000 Hz"),
        ("mel", {"fmin": 4000}, "fmin must be below fmax = 4,000 Hz, got 4,000 Hz"),
        ("mfcc", {"fmin": 300, "fmax": 300}, "fmin must be below fmax = 300 Hz, got 300 Hz"),
        ("mfcc", {"n_mfcc": 21, "n_mels": 20}, "n_mfcc must be at most n_mels = 20, got 21"),
        ("mel", {"n_fft": 64, "hop_length": 16}, "of n_mels = 128 mel .* n_fft = 64 at 8,000 Hz .* 125 Hz"),
        ("mfcc", FEWER, "^2 of n_mels = 2 mel filters from 1 to 5 Hz"),
    ],
)
def test_options_that_do_not_go_together_are_refused_with_the_remedy(name, options, words):
    with pytest.raises(Fault, match=words):
        SPECTRA.parse({"name": name} | options)(8000)


@pytest.mark.parametrize("name", SPECTRA.names())
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("n_fft", 255, "multiple of 2, got 255"),
        ("n_fft", 0, "greater than or equal to 4, got 0"),
        ("hop_length", 0, "greater than 0, got 0"),
        ("window", "kaiser", "'hann' or 'hamming', got 'kaiser'"),
        ("reference", "mean", "must be max or a positive power, got 'mean'"),
        ("reference", 0, "must be max or a positive power, got 0"),
        ("reference", float("inf"), "must be max or a positive power, got inf"),
        ("floor_db", 0, "greater than 0, got 0"),
    ],
)
def test_an_option_out_of_range_is_refused(name, option, value, words):
    with pytest.raises(ValueError, match=words):
        SPECTRA.parse({"name": name, option: value})
