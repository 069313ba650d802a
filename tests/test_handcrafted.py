"""Hand-crafted features: against a slow loop over frames, values computed by hand, and by the script."""

import json
import os
from cmath import exp as cexp
from math import cos, floor, log2, log10, pi, sqrt
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import answer, contents, refused
from pytest import approx
from sounds import features_session, record, record_classes
from sounds import tone as noisy_tone

import main_02_extract
from saec.config import Config
from saec.faults import Fault
from saec.sound import handcrafted as module
from saec.sound.handcrafted import NAMES, Handcrafted, handcrafted

RATE = 8000
EPS = 2.0**-52


def feature(sound: np.ndarray, name: str, rate: int = RATE, **sizes: float) -> float:
    return float(handcrafted(sound, rate, **sizes)[NAMES.index(name)])


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def noise(n: int, seed: int = 0) -> np.ndarray:
    """Louder and rougher towards the end, with an offset."""
    rng = np.random.default_rng(seed)
    smooth = np.convolve(rng.normal(size=n), np.ones(5) / 5, "same")
    return 0.1 + 0.05 * np.linspace(0.2, 1, n) * (smooth + np.linspace(0, 1, n) * rng.normal(size=n))


def bits(parts: list[float]) -> float:
    return -sum(part / sum(parts) * log2(part / sum(parts)) for part in parts if part)


def in_blocks(values: list[float]) -> list[float]:
    length = len(values) // 10
    return [sum(values[i * length : (i + 1) * length]) for i in range(10)]


def slow_mfcc(magnitudes: list[float], hertz: list[float], rate: int) -> list[float]:
    edges = [133.33 + i * 200 / 3 for i in range(13)]
    while len(edges) < 42:
        edges.append(edges[-1] * 1.0711703)
    logs = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        total, n = 0.0, 0
        for f, m in zip(hertz, magnitudes, strict=True):
            if low < f < high:
                side = (f - low) / (centre - low) if f <= centre else (high - f) / (high - centre)
                total, n = total + m * side * 2 / (high - low), n + 1
        if high <= rate / 2 and n:
            logs.append(log10(total + EPS))
    n = len(logs)
    waves = [[cos(pi * k * (2 * j + 1) / (2 * n)) for j in range(n)] for k in range(13)]
    return [sqrt((2 if k else 1) / n) * sum(map(mul, logs, wave)) for k, wave in enumerate(waves)]


def slow_chroma(energies: list[float], hertz: list[float]) -> list[float]:
    semitones: dict[int, list[float]] = {}
    for f, e in list(zip(hertz, energies, strict=True))[1:]:
        semitones.setdefault(round(12 * log2(f / 27.5)), []).append(e)
    classes = [0.0] * 12
    for semitone, result in semitones.items():
        classes[semitone % 12] += sum(result) / len(result) / sum(energies)
    return classes


def slow_frame(x: list[float], before: list[float] | None, rate: int) -> tuple[list[float], list[float]]:
    """34 features, and the magnitudes that the next frame's flux is measured from."""
    n, half = len(x), len(x) // 2
    turn = [cexp(-2j * pi * i / n) for i in range(n)]
    M = [abs(sum(v * turn[k * t % n] for t, v in enumerate(x))) / half for k in range(half)]
    energies, hertz = [m * m for m in M], [k * rate / n for k in range(half)]
    centroid = sum(f * m for f, m in zip(hertz, M, strict=True)) / sum(M)
    deviation = sqrt(sum((f - centroid) ** 2 * m for f, m in zip(hertz, M, strict=True)) / sum(M))
    last = M if before is None else before
    flux = sum((a / sum(M) - b / sum(last)) ** 2 for a, b in zip(M, last, strict=True))
    rolloff = next(k for k in range(half) if sum(energies[: k + 1]) > 0.9 * sum(energies)) / half
    chroma = slow_chroma(energies, hertz)
    zcr = sum(abs(np.sign(b) - np.sign(a)) / 2 for a, b in zip(x, x[1:], strict=False)) / (n - 1)
    squares = [v * v for v in x]
    shapes = [zcr, sum(squares) / n, bits(in_blocks(squares)), 2 * centroid / rate, 2 * deviation / rate]
    shapes += [bits(in_blocks(energies)), flux, rolloff]
    return [*shapes, *slow_mfcc(M, hertz, rate), *chroma, float(np.std(chroma))], M


def slow(sound: np.ndarray, rate: int, window_s: float, step_s: float, mid_s: float) -> np.ndarray:
    """As the definition says it, for mid windows that follow each other."""
    x = sound - sound.mean()
    x = (x / abs(x).max()).tolist()
    n, step = round(window_s * rate), round(step_s * rate)
    rows, before, M = [], None, None
    for start in range(0, len(x) - n + 1, step):
        values, M = slow_frame(x[start : start + n], M, rate)
        rows.append(values + [v - b for v, b in zip(values, before or values, strict=True)])
        before = values
    held, mid = [], floor(mid_s * rate)
    for first in range(0, max(len(x), mid), mid):
        inside = [row for i, row in enumerate(rows) if first <= i * step and i * step + n <= first + mid]
        if inside:
            held.append([*np.mean(inside, axis=0), *np.std(inside, axis=0)])
    return np.mean(held, axis=0)


def assert_same(result: np.ndarray, expected: np.ndarray) -> None:
    far = np.flatnonzero(~np.isclose(result, expected, rtol=1e-4, atol=1e-7))
    assert not far.size, [(NAMES[i], result[i], expected[i]) for i in far]


@pytest.mark.parametrize(
    ("rate", "n", "window_s"),
    [(8000, 1500, 0.02), (16000, 1100, 0.02), (4000, 900, 0.02), (5000, 1000, 0.0198)],
    ids=["8 kHz", "all filters", "few filters", "odd windows"],
)
def test_all_features_are_those_of_a_slow_loop_over_frames(rate, n, window_s):
    sizes = {"window_s": window_s, "step_s": 0.01}
    expected = slow(noise(n), rate, mid_s=0.08, **sizes)
    assert len(np.unique(expected.round(9))) > 120
    assert_same(handcrafted(noise(n), rate, mid_window_s=0.08, mid_step_s=0.08, **sizes), expected)


@pytest.mark.skipif("SAEC_REAL_DATA" not in os.environ, reason="SAEC_REAL_DATA is not set")
def test_a_real_digit_has_the_features_of_a_slow_loop_over_frames():
    sound, rate = soundfile.read(Path(os.environ["SAEC_REAL_DATA"]) / "fsdd" / "7_jackson_3.wav", frames=1200)
    assert_same(handcrafted(sound, rate), slow(sound, rate, 0.05, 0.01, 1.0))


def test_names_are_those_of_the_numbers():
    assert len(NAMES) == len(set(NAMES)) == 136
    assert NAMES[:3] == ("mean zcr", "mean energy", "mean energy_entropy")
    assert NAMES[7:9] == ("mean rolloff", "mean mfcc1") and NAMES[20:22] == ("mean mfcc13", "mean chroma1")
    assert NAMES[33:35] == ("mean chroma_std", "mean delta zcr") and NAMES[68] == "std zcr"
    assert NAMES[-1] == "std delta chroma_std"
    result = handcrafted(noise(RATE), RATE)
    assert result.shape == (136,) and result.dtype == np.float32


EVEN = np.tile([1.0, -1.0], 2000)
CLICK = np.eye(1, 400, 200)[0]  # one window, whose spectrum is flat
CHANGING = np.concatenate([tone(1000, 0.25), tone(3000, 0.25)])
N_FRAMES = 1 + (len(CHANGING) - 400) // 80
KNOWN = [  # by hand
    *((tone(hertz), "centroid", approx(hertz / 4000, rel=1e-6)) for hertz in (440, 1000, 3000)),
    *((tone(hertz), "spread", approx(0, abs=1e-4)) for hertz in (440, 1000, 3000)),
    *((tone(hertz), "rolloff", approx(hertz / 4000)) for hertz in (440, 1000, 3000)),
    *((tone(hertz), "zcr", approx(2 * hertz / RATE, rel=0.02)) for hertz in (440, 1000, 3000)),
    *((tone(hertz), "energy", approx(0.5, rel=1e-2)) for hertz in (440, 1000, 3000)),
    (tone(440), "chroma1", approx(1, rel=1e-6)),
    (tone(3520), "chroma1", approx(1 / 11, rel=1e-6)),  # a semitone there has 11 bins, and weighs as one
    (EVEN, "zcr", 1),
    (np.tile([1.0, 1.0, -1.0, -1.0], 1000), "zcr", approx(0.5, rel=1e-2)),
    (EVEN, "energy_entropy", approx(log2(10), rel=1e-6)),  # of ten blocks
    (CLICK, "spectral_entropy", approx(log2(10), rel=1e-2)),
    (CLICK, "energy_entropy", approx(0, abs=0.05)),
    (tone(1000), "spectral_entropy", approx(0, abs=1e-6)),
    (tone(1000), "flux", approx(0, abs=1e-9)),
    (tone(1000), "delta centroid", approx(0, abs=1e-7)),
    (CHANGING, "delta centroid", approx((3000 - 1000) / 4000 / N_FRAMES, rel=1e-5)),
]


def test_values_computed_by_hand():
    for sound, name, value in KNOWN:
        assert feature(sound, f"mean {name}") == value, name
    assert feature(CHANGING, "mean flux") > 1e-3
    even = np.tile(EVEN, 2)
    assert feature(even, "mean energy_entropy", 8360) == approx(log2(10), rel=1e-6)  # 418 samples: no tenths
    silent = feature(np.zeros(16000), "mean mfcc1", 16000)  # forty filters at the floor of the logarithm
    assert silent == approx(sqrt(40) * log10(EPS), rel=1e-6)


@pytest.mark.parametrize(("hertz", "number"), [(220, 1), (440, 1), (880, 1), (520, 4), (660, 8)])
def test_a_tone_has_its_chroma_in_its_pitch_class(hertz, number):
    """Classes count from A; 520 Hz is a C, 660 Hz an E."""
    chroma = [feature(tone(hertz), f"mean chroma{i}") for i in range(1, 13)]
    assert np.argmax(chroma) == number - 1 and sum(chroma) == approx(chroma[number - 1], rel=1e-6)


@pytest.mark.parametrize(("gain", "offset"), [(1e-4, 0.0), (0.5, 0.3), (-1.0, 0.0), (32768.0, -500.0)])
def test_neither_gain_nor_offset_matters(gain, offset):
    assert_same(handcrafted(gain * noise(4000) + offset, RATE), handcrafted(noise(4000), RATE))


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 22050, 44100, 48000, 96000])
def test_every_sound_has_finite_numbers(rate):
    for sound in (
        np.zeros(5000),
        np.full(9000, 0.1),
        np.full(9000, 0.1, np.float32),
        np.full(3, -0.7),
        np.array([0.1, -0.2, 0.3]),
        np.array([0.5]),
        np.eye(1, 9000, 4500)[0],
        np.concatenate([np.zeros(6000), noise(6000), np.zeros(6000)]),
        1e-300 * noise(9000),
    ):
        assert np.isfinite(handcrafted(sound, rate)).all()


@pytest.mark.parametrize("level", [0.0, 0.1, -0.3, 1.0])
def test_a_constant_sound_is_silence_and_not_what_rounding_leaves(level):
    result = dict(zip(NAMES, handcrafted(np.full(12_345, level), RATE), strict=True))
    assert {name for name, value in result.items() if abs(value) > 1e-6} == {"mean mfcc1"}


def test_a_sound_shorter_than_a_window_is_one_padded_window():
    short = noise(150)
    padded = np.concatenate([short - short.mean(), np.zeros(250)])
    result = handcrafted(short, RATE)
    x = padded / abs(padded).max()
    assert result[1] == approx(float((x**2).mean()), rel=1e-6)
    assert not result[68:].any() and not result[34:68].any()  # one frame: no std, no delta


@pytest.mark.parametrize("n", [400, 3000, 7999])
@pytest.mark.parametrize("mid_step_s", [0.25, 1.0])
def test_a_sound_shorter_than_a_mid_window_has_one_of_all_its_frames(n, mid_step_s):
    sound = noise(n)
    whole = handcrafted(sound, RATE, mid_window_s=100.0, mid_step_s=100.0)
    assert np.array_equal(handcrafted(sound, RATE, mid_step_s=mid_step_s), whole)


def test_mid_windows_follow_the_sound_and_have_only_frames_within_them():
    """Energies 0 and 1 within each second have no std, but over both they have."""
    sound = np.tile([1.0, -1.0], RATE)
    sound[:RATE] = 0
    assert feature(sound, "mean energy") == approx(0.5, rel=1e-6)
    assert feature(sound, "std energy") == approx(0, abs=1e-6)
    assert feature(sound, "std energy", mid_window_s=2.0, mid_step_s=2.0) == approx(0.5, rel=1e-2)
    sound = noise(8240)  # of which three frames begin in the first second and end after it
    assert_same(handcrafted(sound, RATE), handcrafted(sound, RATE, mid_window_s=1.0, mid_step_s=9.0))


def test_frames_taken_piece_by_piece_give_the_same_numbers(monkeypatch):
    sound = noise(9000)
    whole = handcrafted(sound, RATE)
    monkeypatch.setattr(module, "AT_ONCE", 7)
    assert_same(handcrafted(sound, RATE), whole)


@pytest.mark.parametrize(
    ("sound", "rate", "sizes", "words"),
    [
        (np.empty(0), RATE, {}, r"one channel of finite samples, got an array of shape \(0,\)"),
        (np.zeros((100, 2)), RATE, {}, r"got an array of shape \(100, 2\)"),
        (np.array([0.1, np.nan]), RATE, {}, "got NaN or infinity"),
        (CLICK, RATE, {"window_s": 0.001}, "windows of 20 samples.*got 8 and 80: 8000 Hz ask for more than "),
        (CLICK, RATE, {"step_s": 0.0}, "steps of 1 at least, got 400 and 0"),
        (CLICK, RATE, {"mid_window_s": 0.02}, r"mid_window_s of window_s \(0.05\)"),
        (CLICK, RATE, {"mid_step_s": 0.0}, r"mid_step_s of step_s \(0.01\)"),
        (CLICK, 1000, {}, "got 4 that fit windows of 50 samples at 1000 Hz"),
    ],
)
def test_what_cannot_be_taken_is_a_fault(sound, rate, sizes, words):
    with pytest.raises(Fault, match=words):
        handcrafted(sound, rate, **sizes)


# By the script


def crafted(
    config: Config, variant: str | None = None, **extractor: Any
) -> tuple[np.ndarray, list[str], str]:
    """Features and names of the recordings, and what the script writes beside their paths."""
    session = features_session(None, extractor={"name": "handcrafted", "sample_rate": RATE} | extractor)
    if variant and variant.startswith("spared"):
        session["data"]["skip_bad"] = True
    code, out, text = answer(main_02_extract, session | {"variant": variant}, config)
    assert code == 0, text
    with np.load(next(line for line in out.splitlines() if line.endswith(".npz"))) as result:
        return result["X"], result["N"].tolist(), text


@pytest.fixture
def lengths(monkeypatch) -> list[int]:
    """Collects the lengths of sounds, each a batch of its own; a list that begins with 0 ends at six."""
    lengths: list[int] = []
    call = Handcrafted.__call__

    def counted(self: Handcrafted, sound: np.ndarray) -> np.ndarray:
        lengths.append(len(sound))
        if len(lengths) == 7 and lengths[0] == 0:
            raise KeyboardInterrupt
        return call(self, sound)

    monkeypatch.setattr(Handcrafted, "__call__", counted)
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_SOUNDS", 1)
    monkeypatch.setattr("saec.extraction.parts.BATCHES_AT_ONCE", 2)
    return lengths


def test_an_interrupted_extraction_goes_on_and_gives_what_an_unbroken_one_gives(config, lengths):
    record_classes(config.data / "sounds")
    lengths.append(0)
    session = features_session(None, extractor={"name": "handcrafted", "sample_rate": RATE})
    code, out, text = answer(main_02_extract, session, config)
    assert (code, out) == (130, "") and "interrupted: what was complete is kept" in text
    assert not list(config.data.glob("*.npz"))
    lengths.clear()
    part, names, text = crafted(config)
    assert "going on: 4 of 12 sounds are done" in text and len(lengths) == 8
    assert part.shape == (12, 136) and np.array_equal(part, crafted(config, "whole")[0])
    assert names == [f"{name}/{number}.wav" for name in ("high", "low", "mid") for number in range(4)]


def test_only_sounds_that_have_changed_are_computed_again(config, lengths):
    sounds = record_classes(config.data / "sounds")
    before, names, _ = crafted(config)
    about = json.loads((config.data / "saec_handcrafted.json").read_text(encoding="utf-8"))
    assert about["settings"]["weights"]["sample_rate"] == RATE and len(about["pictures"]) == 12
    lengths.clear()
    assert "nothing to do, the files are there" in crafted(config)[2] and lengths == []
    record(sounds / "low" / "1.wav", noisy_tone(500, 0.3))
    (sounds / "mid" / "0.wav").unlink()
    record(sounds / "high" / "9.wav", noisy_tone(3100, 0.25))
    after, names_now, text = crafted(config)
    assert "10 of 12 sounds are as they were" in text and sorted(lengths) == [2000, 2400]
    assert np.array_equal(after, crafted(config, "fresh")[0])
    assert sorted({*names, "high/9.wav"} - {"mid/0.wav"}) == names_now
    kept = [name for name in names_now if name not in ("high/9.wav", "low/1.wav")]
    assert np.array_equal(after[[*map(names_now.index, kept)]], before[[*map(names.index, kept)]])
    files = contents(config.data)
    session = features_session(None, extractor={"name": "handcrafted", "sample_rate": RATE, "hop_s": 0.02})
    text = refused(main_02_extract, session, config)
    assert "holds features saec_handcrafted made otherwise:" in text and "choose a `variant:` word" in text
    assert contents(config.data) == files


def test_a_recording_shorter_than_a_step_is_bad_and_any_rate_that_holds_the_filters_will_do(config):
    sounds = record_classes(config.data / "sounds")
    record(sounds / "low" / "three.wav", noisy_tone(300)[:3])
    session = features_session(None, extractor={"name": "handcrafted", "sample_rate": RATE})
    text = refused(main_02_extract, session, config)
    assert "1 of 13 recordings" in text and "low/three.wav has 3 samples at 8000 Hz, 80 are needed" in text
    for rate in (RATE, 96_000):
        result, names, _ = crafted(config, f"spared{rate}", sample_rate=rate, window_s=0.1)
        assert result.shape == (12, 136) and len(names) == 12 and np.isfinite(result).all()
