"""Makes demo data: recordings of birds that do not exist, and the pictures of their syllables."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from saec.config import Config
from saec.data.png import SIDECAR
from saec.files import appearing_folder, remove, require_writable
from saec.preparation import PreparationSession, prepare
from saec.tables import write_table

LOG = logging.getLogger(__name__)
SEED = 20250617
RATE = 24_000  # Hz
EDGE_S = 0.008  # a syllable's rise and fall
VALID_SHARE = 0.2  # of the recordings
PHRASE = (2, 5)  # syllables, the second number excluded
GAP_S, PAUSE_S = (0.06, 0.18), (0.3, 0.7)  # within a phrase, between phrases
SNR_DB, FAR_DB = (0, 16), (-22, -12)  # the song above the noise; far song against near
ECHO_S = 0.12  # in which an echo falls to 1/e
KINDS = {  # of syllables: usual pitch in Hz, usual length in s
    "arch": (3800, 0.16),
    "buzz": (4800, 0.20),
    "clicks": (3600, 0.16),
    "down": (4200, 0.14),
    "stack": (900, 0.18),
    "trill": (4400, 0.24),
    "two_voices": (3000, 0.18),
    "up": (4000, 0.14),
    "warble": (4200, 0.22),
    "whistle": (3900, 0.20),
}
Rng = np.random.Generator


def make_demo(folder: Path, n_workers: int = 0, *, n_recordings: int = 10, n_syllables: int = 600) -> None:
    """Makes `recordings`, `train/images`, `valid/images` and `labels.csv`, unless the folder is there.

    Training and validation pictures come from different recordings. The same call makes the same bytes.
    """
    if folder.exists():
        return
    require_writable(folder.parent)
    LOG.info("making demo data in %s", folder)
    with appearing_folder(folder) as part:
        (part / "recordings").mkdir()
        rows = []
        for index, share in enumerate(np.array_split(np.arange(n_syllables), n_recordings)):
            name = f"bird_{index:02d}.wav"
            sound, sung = _recording(np.random.default_rng([SEED, index]), len(share))
            soundfile.write(part / "recordings" / name, sound, RATE, subtype="PCM_16")
            rows += [(name, f"{start_s:.4f}", f"{end_s:.4f}", kind) for start_s, end_s, kind in sung]
        annotations = part / "recordings" / "annotations.csv"
        write_table(annotations, pd.DataFrame(rows, columns=["recording", "start", "end", "label"]))
        recordings, out = str(part / "recordings"), part / "images"
        session = PreparationSession(
            recordings=recordings, out=out, annotations=annotations, colormap="viridis"
        )
        images = prepare(session, Config(workers=n_workers))
        table = pd.read_csv(images / "prepared.csv", dtype=str)
        valid = sorted(set(table["group"]))[-max(1, round(VALID_SHARE * n_recordings)) :]
        for side, is_valid in (("train", False), ("valid", True)):
            (part / side / "images").mkdir(parents=True)
            for file in [SIDECAR, *table["file"][table["group"].isin(valid) == is_valid]]:
                shutil.copyfile(images / file, part / side / "images" / file)
        remove(images)
        write_table(part / "labels.csv", table[["file", "label", "group"]])


def _recording(rng: Rng, n_syllables: int) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """Returns the sound of one bird among wind and rain, and when it sings what: start, end, kind."""
    near, sung = _song(rng, n_syllables)
    n_samples = len(near)
    far, _ = _song(rng, max(1, n_syllables // 2))
    far = _echoing(np.resize(far, n_samples), rng) * _gain(rng.uniform(*FAR_DB))
    noise = _pink(n_samples, rng, rng.uniform(0.6, 1.4))
    noise = noise + rng.uniform(0, 1.5) * _wind(n_samples, rng) + rng.uniform(0, 1.2) * _rain(n_samples, rng)
    noise *= near.std() / noise.std() * _gain(-rng.uniform(*SNR_DB))
    sound = near + far + noise
    return sound / np.abs(sound).max() * rng.uniform(0.2, 0.9), sung


def _song(rng: Rng, n_syllables: int) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """Returns phrases of one syllable repeated, all kinds about equally often, with gaps and pauses."""
    octaves = {kind: rng.normal(0, 0.12) for kind in KINDS}  # the bird's dialect
    tempo = rng.uniform(0.85, 1.2)
    pieces, sung, at_s = [], [], 0.5
    for kind, is_last in _phrases(rng, n_syllables):
        sound = syllable(kind, rng, octaves[kind], tempo) * _gain(rng.uniform(-8, 0))
        end_s = at_s + len(sound) / RATE
        pieces.append((int(at_s * RATE), sound))
        sung.append((at_s, end_s, kind))
        at_s = end_s + rng.uniform(*(PAUSE_S if is_last else GAP_S))
    track = np.zeros(int((at_s + 0.5) * RATE))
    for start, sound in pieces:
        track[start : start + len(sound)] += sound
    return track, sung


def _phrases(rng: Rng, n_syllables: int) -> list[tuple[str, bool]]:
    """Returns the kinds in the order they are sung, and whether a phrase ends there."""
    shares = np.array_split(range(n_syllables), len(KINDS))
    left = {kind: len(share) for kind, share in zip(KINDS, shares, strict=True)}
    order = []
    while any(left.values()):
        kind = str(rng.choice([kind for kind, count in left.items() if count]))
        length = min(left[kind], int(rng.integers(*PHRASE)))
        order += [(kind, n == length - 1) for n in range(length)]
        left[kind] -= length
    return order


def syllable(kind: str, rng: Rng, dialect_octaves: float, tempo: float) -> np.ndarray:
    """Returns one syllable of at most about 0.3 s with a peak of 1; pitch and length vary each time."""
    middle_hz, length_s = KINDS[kind]
    pitch_hz = middle_hz * 2 ** (dialect_octaves + rng.normal(0, 0.07))
    n_samples = int(RATE * length_s * tempo * rng.uniform(0.75, 1.25))
    sound = _sound_of(kind, np.linspace(0, 1, n_samples), pitch_hz, rng)
    n_edge = min(int(EDGE_S * RATE), n_samples // 2)
    rise = np.sin(np.linspace(0, np.pi / 2, n_edge)) ** 2
    sound[:n_edge] *= rise
    sound[n_samples - n_edge :] *= rise[::-1]
    return sound / np.abs(sound).max()


def _sound_of(kind: str, t: np.ndarray, hz: float, rng: Rng) -> np.ndarray:
    """Returns the sound of a kind of syllable, over which t runs from 0 to 1."""
    match kind:
        case "whistle":
            return _voice(hz * (1 + rng.normal(0, 0.03) * t)) * np.sin(np.pi * t) ** 0.5
        case "up":
            return _voice(hz * 2 ** (rng.uniform(0.5, 1.0) * (t ** rng.uniform(0.7, 1.6) - 0.5)))
        case "down":
            return _voice(hz * 2 ** (rng.uniform(0.5, 1.1) * (0.5 - t ** rng.uniform(0.6, 1.4))))
        case "arch":
            peak = rng.uniform(0.35, 0.65)
            return _voice(hz * 2 ** (rng.uniform(0.4, 0.9) * (0.5 - ((t - peak) / 0.5) ** 2)))
        case "trill":
            beats = rng.uniform(5, 9) * t
            return _voice(hz * 2 ** (0.25 - 0.5 * (beats % 1))) * np.abs(np.sin(np.pi * beats))
        case "warble":
            swings = rng.uniform(2.5, 5) * t + rng.uniform(0, 1)
            return _voice(hz * 2 ** (rng.uniform(0.12, 0.28) * np.sin(2 * np.pi * swings)))
        case "stack":
            strengths = tuple(rng.uniform(0.3, 1.0, 10) * np.exp(-np.arange(10) / 6))
            return _voice(hz * (1 + 0.12 * np.sin(np.pi * t) + rng.normal(0, 0.02) * t), strengths)
        case "buzz":  # a band of noise, beaten by a fast rattle
            noise = np.fft.rfft(rng.normal(size=len(t)))
            noise *= np.exp(-(((_frequencies(len(t)) - hz) / rng.uniform(700, 1200)) ** 2))
            rattle = 1 + np.sin(2 * np.pi * rng.uniform(60, 110) * t * len(t) / RATE)
            return np.fft.irfft(noise, len(t)) * rattle
        case "clicks":  # short knocks, each of many frequencies
            sound = np.zeros(len(t))
            for knock in np.linspace(0.08, 0.8, rng.integers(3, 6)) + rng.uniform(-0.02, 0.02):
                since = np.maximum(t - knock, 0) * len(t) / RATE  # seconds
                sound += (t >= knock) * np.exp(-since / 0.0025) * np.sin(2 * np.pi * hz * since)
            return sound + 0.15 * rng.normal(size=len(t)) * np.abs(sound)
        case "two_voices":  # the two sides of a syrinx: one rises while the other, higher, falls
            bend = rng.uniform(0.15, 0.4)
            return _voice(hz * 2 ** (bend * t), (1.0,)) + _voice(1.7 * hz * 2 ** (-bend * t), (0.8,))
    raise KeyError(kind)


def _voice(pitch_hz: np.ndarray, overtones: tuple[float, ...] = (1.0, 0.12)) -> np.ndarray:
    """Returns a tone that follows a curve of pitch, with the overtones that the sampling rate can carry."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    possible = [(n, a) for n, a in enumerate(overtones, start=1) if n * pitch_hz.max() < RATE / 2]
    return sum((a * np.sin(n * phase) for n, a in possible), np.zeros(len(phase)))


def _echoing(song: np.ndarray, rng: Rng) -> np.ndarray:
    """Returns the song from far away: high frequencies lost, smeared by the echoes of a forest."""
    echoes = rng.normal(size=int(3 * ECHO_S * RATE))
    echoes *= np.exp(-np.arange(len(echoes)) / (ECHO_S * RATE))
    n_samples = len(song) + len(echoes)
    roll_off = 1 / (1 + (_frequencies(n_samples) / 3000) ** 2)
    far = np.fft.irfft(np.fft.rfft(song, n_samples) * np.fft.rfft(echoes, n_samples) * roll_off, n_samples)
    return far[: len(song)] / max(np.abs(far).max(), 1e-12)


def _pink(n_samples: int, rng: Rng, exponent: float) -> np.ndarray:
    """Returns noise whose power falls with frequency, of unit variance."""
    spectrum = np.fft.rfft(rng.normal(size=n_samples))
    spectrum *= np.maximum(_frequencies(n_samples), 20.0) ** (-exponent / 2)
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / noise.std()


def _wind(n_samples: int, rng: Rng) -> np.ndarray:
    """Returns low rumbling that comes in gusts."""
    heights = rng.uniform(0, 1, n_samples // RATE * 2 + 4)
    knots = np.linspace(0, max(n_samples, 0.7 * RATE * len(heights)), len(heights))
    gusts = np.interp(np.arange(n_samples), knots, heights)
    return _pink(n_samples, rng, exponent=2.5) * gusts**2


def _rain(n_samples: int, rng: Rng, drops_per_s: float = 40) -> np.ndarray:
    """Returns drops: short bursts of every frequency, of very different strength."""
    drops = np.zeros(n_samples)
    times = rng.integers(0, n_samples, int(n_samples / RATE * drops_per_s))
    drops[times] = rng.exponential(1.0, len(times)) * rng.choice([-1, 1], len(times))
    splash = rng.normal(size=RATE // 250) * np.exp(-np.arange(RATE // 250) / (RATE / 1500))
    return np.convolve(drops, splash)[:n_samples]


def _frequencies(n_samples: int) -> np.ndarray:
    return np.fft.rfftfreq(n_samples, 1 / RATE)


def _gain(decibel: float) -> float:
    return 10 ** (decibel / 20)
