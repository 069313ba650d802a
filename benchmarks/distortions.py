"""Compares distortions of sound with audiomentations, and times them: `python -m benchmarks.distortions`.

Needs `pip install audiomentations` (nothing else of saec does), and the folder of real data.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from benchmarks.labelled import real_data
from saec.data import VIEWS, Batch, Draws, Raw
from saec.data.batch import Waveform
from saec.data.fronts import SoundFront
from saec.data.sound_views import NOTHING, Factors, distorted
from saec.models import MODELS, feature_shape
from saec.objectives import OBJECTIVES, Learning
from saec.optimizers import OPTIMIZERS
from saec.sound.spectra import SPECTRA

CLIPS = {"digits": ("fsdd/*_0.wav", 256, None), "soundscape": ("soundscape/S4A*.wav", 1024, 2.0)}
CASES = [
    {"noise": 0.005},
    {"gain_db": -6.0},
    {"clip_percent": 4.0},
    {"shift_s": 0.1},
    {"snr_db": 10.0},
    *({"semitones": by} for by in (-2.0, 2.0, 4.0, 12.0)),
    *({"rate": rate} for rate in (0.8, 0.9, 1.1, 1.25)),
]
MIDDLES = 1000 * 2 ** (np.arange(-10, 12) / 3)  # of thirds of an octave, in Hz
QUIET_DB = 50  # below the loudest band: bands that are compared no more
SOUNDS = {  # rate, seconds, spectrum, frames that come out
    "16 kHz, 1 s, defaults": (16_000, 1.0, {}, 64),
    "8 kHz, 0.43 s, 256/80": (8_000, 0.43, {"n_fft": 256, "hop_length": 80}, 64),
    "8 kHz, 1.92 s, 1024/64": (8_000, 1.92, {"n_fft": 1024, "hop_length": 64}, 240),
}
BATCH, ROUNDS, CPU = 64, 9, torch.device("cpu")


def clips(name: str, n: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yields (samples,) float32 and their rate."""
    pattern, _, seconds = CLIPS[name]
    for file in sorted(real_data().glob(pattern))[:n]:
        sound, rate = soundfile.read(file, dtype="float32", always_2d=True)
        yield sound[: round(seconds * rate) if seconds else None, 0].copy(), rate


def ours(sound: np.ndarray, other: np.ndarray, rate: int, n_fft: int, case: dict[str, float]) -> np.ndarray:
    """Returns one sound, distorted by us."""
    sounds, length = torch.from_numpy(sound)[None], torch.tensor([len(sound)])
    sounds = sounds + case.get("noise", 0) * torch.randn(sounds.shape)
    factors = Factors(*(torch.tensor([float(value)]) for value in NOTHING._replace(**case)))
    others = (torch.from_numpy(other)[None], torch.tensor([len(other)]), torch.tensor([0]))
    return distorted(Raw(sounds, length), factors, others, Waveform(rate, n_fft)).values[0].numpy()


def theirs(other: Path, case: dict[str, float]) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Returns the same distortion by audiomentations, by the name of its method."""
    import audiomentations as a

    ((name, value),) = case.items()
    both, methods = (value, value), ("signalsmith_stretch", "librosa_phase_vocoder")
    if name in ("semitones", "rate"):
        kind = a.PitchShift if name == "semitones" else a.TimeStretch
        return {method.split("_")[0]: kind(*both, method=method, p=1) for method in methods}
    made = {
        "noise": lambda: a.AddGaussianNoise(*both, p=1),
        "gain_db": lambda: a.Gain(*both, p=1),
        "clip_percent": lambda: a.ClippingDistortion(int(value), int(value), p=1),
        "shift_s": lambda: a.Shift(*both, shift_unit="seconds", fade_duration=0.0, p=1),
        "snr_db": lambda: a.AddBackgroundNoise(other, *both, p=1),
    }
    return {"": made[name]()}


def third_octaves(sound: np.ndarray, rate: int, pitch: float = 1) -> np.ndarray:
    """Returns the power in each third of an octave from 100 Hz to below half the rate, once it is shifted."""
    power = np.abs(np.fft.rfft(sound)) ** 2 / len(sound)
    hertz = pitch * np.fft.rfftfreq(len(sound), 1 / rate)
    middles = MIDDLES[MIDDLES * 2 ** (1 / 6) < rate / 2]
    return np.array([power[np.abs(np.log2(np.maximum(hertz, 1) / f)) <= 1 / 6].sum() for f in middles])


def expected(sound: np.ndarray, rate: int, case: dict[str, float]) -> np.ndarray:
    """Returns the levels that a shift in pitch or of rate should give, whatever the method."""
    faster, pitch = case.get("rate", 1.0), 2 ** (case.get("semitones", 0) / 12)
    return third_octaves(sound[: round(len(sound) * min(1, faster))], rate, pitch) / faster


def compare(name: str, n: int) -> None:
    """Prints differences of the levels of all clips together, by distortion."""
    print(f"{name}: levels in thirds of an octave, in dB: the largest difference (at Hz), and the median\n")
    print("| distortion | audiomentations | ours less theirs | ours less expected | theirs less expected |")
    print("|---|---|---|---|---|")
    sounds = list(clips(name, n))
    for case in CASES:
        powers: dict[str, list[tuple[np.ndarray, ...]]] = {}
        for number, (sound, rate) in enumerate(sounds):
            other = np.resize(sounds[number - 1][0], len(sound))
            here = third_octaves(ours(sound, other, rate, CLIPS[name][1], case), rate)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "other.wav"
                soundfile.write(file, other, rate, subtype="FLOAT")
                for method, change in theirs(file, case).items():
                    levels = (here, third_octaves(change(sound, rate), rate), expected(sound, rate, case))
                    powers.setdefault(method, []).append(levels)
        words = ", ".join(f"{key} {value:g}" for key, value in case.items())
        for method, levels in powers.items():
            here, there, right = np.sum(levels, axis=0)
            cells = [difference(here, there)]
            cells += [difference(one, right) if method else "" for one in (here, there)]
            print(f"| {words} | {method} | {' | '.join(cells)} |", flush=True)
    print()


def difference(one: np.ndarray, other: np.ndarray) -> str:
    """Returns in words by how much levels differ where the other's are not far below the loudest."""
    loud = other > other.max() * 10 ** (-QUIET_DB / 10)
    decibels, hertz = 10 * np.log10(one[loud] / other[loud]), MIDDLES[: len(one)][loud]
    largest = np.abs(decibels).argmax()
    return f"{decibels[largest]:+.2f} ({hertz[largest]:.0f}), {np.median(decibels):+.2f}"


def seconds_of(work: Callable[[], object]) -> float:
    """Returns the least of some rounds, in which others disturb it least."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def cost() -> None:
    """Prints how long views of a batch take beside the rest of a step of contrastive training."""
    print(f"milliseconds of a step, {BATCH} sounds, `compact`, {torch.get_num_threads()} threads\n")
    print(
        "| sounds | two spectra | `sound_pair` | `reef_pair` | learning | share |\n|---|---|---|---|---|---|"
    )
    for words, sizes in SOUNDS.items():
        spectra, taken, reef, learning = parts_of_a_step(*sizes)
        share = taken / (spectra + taken + learning)
        cells = " | ".join(f"{1000 * one:.0f}" for one in (spectra, taken, reef, learning))
        print(f"| {words} | {cells} | {share:.0%} |", flush=True)


def parts_of_a_step(rate: int, seconds: float, options: dict[str, int], n_frames: int) -> list[float]:
    """Returns the seconds of two spectra, of either view beyond that, and of learning."""
    front = SoundFront(SPECTRA.parse({"name": "mel"} | options)(rate), n_frames)
    raw = Raw(torch.randn(BATCH, round(rate * seconds)) / 10, torch.full((BATCH,), round(rate * seconds)))
    spectra, steps = 2 * seconds_of(lambda: front(raw)), count()

    def viewed(name: str) -> object:
        return VIEWS.parse(name)(raw, front, Draws.training(BATCH, CPU, (0, 0, next(steps), 0)))

    views = (seconds_of(partial(viewed, name)) - spectra for name in ("sound_pair", "reef_pair"))
    return [spectra, *views, seconds_of(step_of(front.shape))]


def step_of(shape: tuple[int, ...]) -> Callable[[], None]:
    """Returns a step of training with views of that shape."""
    model = MODELS.parse("compact")(shape)
    learning = Learning(model, OBJECTIVES.parse("contrastive")(feature_shape(model, shape), ()))
    learner = OPTIMIZERS.parse("adam")(list(learning.parameters()), 100)
    seen: Tensor = torch.rand(BATCH, *shape)
    batch = Batch(seen, seen.flip(0), [""] * BATCH)
    return lambda: learner.step(learning(batch)["loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=60, help="of each set, at most")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=("levels", "cost"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.only != "cost":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in CLIPS:
                compare(name, options.clips)
    if options.only != "levels":
        cost()


if __name__ == "__main__":
    main()
