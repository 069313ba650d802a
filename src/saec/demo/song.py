"""Birds that do not exist: kinds of syllables, each with its variation, and the noise around them."""

from collections.abc import Callable

import numpy as np

RATE = 24_000  # Hz
EDGE_S = 0.008  # a syllable's rise and fall
Rng = np.random.Generator


def syllable(kind: str, rng: Rng, dialect_octaves: float, tempo: float) -> np.ndarray:
    """Returns one syllable of at most about 0.3 s with a peak of 1; pitch and length vary each time."""
    make, pitch_hz, length_s = KINDS[kind]
    pitch_hz = pitch_hz * 2 ** (dialect_octaves + rng.normal(0, 0.07))
    n_samples = int(RATE * length_s * tempo * rng.uniform(0.75, 1.25))
    return _shaped(make(np.linspace(0, 1, n_samples), pitch_hz, rng))


def echoing(song: np.ndarray, rng: Rng, decay_s: float = 0.12) -> np.ndarray:
    """Returns the song from far away: high frequencies lost, smeared by the echoes of a forest."""
    echoes = rng.normal(size=int(3 * decay_s * RATE))
    echoes *= np.exp(-np.arange(len(echoes)) / (decay_s * RATE))
    n_samples = len(song) + len(echoes)
    roll_off = 1 / (1 + (_frequencies(n_samples) / 3000) ** 2)
    far = np.fft.irfft(np.fft.rfft(song, n_samples) * np.fft.rfft(echoes, n_samples) * roll_off, n_samples)
    return far[: len(song)] / max(np.abs(far).max(), 1e-12)


def pink(n_samples: int, rng: Rng, exponent: float = 1.0) -> np.ndarray:
    """Returns noise whose power falls with frequency, of unit variance."""
    spectrum = np.fft.rfft(rng.normal(size=n_samples))
    spectrum *= np.maximum(_frequencies(n_samples), 20.0) ** (-exponent / 2)
    noise = np.fft.irfft(spectrum, n_samples)
    return noise / noise.std()


def wind(n_samples: int, rng: Rng) -> np.ndarray:
    """Returns low rumbling that comes in gusts."""
    gusts = np.interp(
        np.arange(n_samples), *_knots(n_samples, 0.7, rng.uniform(0, 1, n_samples // RATE * 2 + 4))
    )
    return pink(n_samples, rng, exponent=2.5) * gusts**2


def rain(n_samples: int, rng: Rng, drops_per_s: float = 40) -> np.ndarray:
    """Returns drops: short bursts of every frequency, of very different strength."""
    drops = np.zeros(n_samples)
    times = rng.integers(0, n_samples, int(n_samples / RATE * drops_per_s))
    drops[times] = rng.exponential(1.0, len(times)) * rng.choice([-1, 1], len(times))
    splash = rng.normal(size=RATE // 250) * np.exp(-np.arange(RATE // 250) / (RATE / 1500))
    return np.convolve(drops, splash)[:n_samples]


def _knots(n_samples: int, every_s: float, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.linspace(0, max(n_samples, every_s * RATE * len(heights)), len(heights)), heights


def _frequencies(n_samples: int) -> np.ndarray:
    return np.fft.rfftfreq(n_samples, 1 / RATE)


def _shaped(sound: np.ndarray) -> np.ndarray:
    n_edge = min(int(EDGE_S * RATE), len(sound) // 2)
    rise = np.sin(np.linspace(0, np.pi / 2, n_edge)) ** 2
    sound[:n_edge] *= rise
    sound[len(sound) - n_edge :] *= rise[::-1]
    return sound / np.abs(sound).max()


def _voice(pitch_hz: np.ndarray, overtones: tuple[float, ...] = (1.0, 0.12)) -> np.ndarray:
    """Returns a tone that follows a curve of pitch, with the overtones that the sampling rate can carry."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    possible = [(n, a) for n, a in enumerate(overtones, start=1) if n * pitch_hz.max() < RATE / 2]
    return sum(a * np.sin(n * phase) for n, a in possible)


# Below, t runs from 0 to 1 over the syllable.


def _whistle(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    return _voice(pitch_hz * (1 + rng.normal(0, 0.03) * t)) * np.sin(np.pi * t) ** 0.5


def _up(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    return _voice(pitch_hz * 2 ** (rng.uniform(0.5, 1.0) * (t ** rng.uniform(0.7, 1.6) - 0.5)))


def _down(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    return _voice(pitch_hz * 2 ** (rng.uniform(0.5, 1.1) * (0.5 - t ** rng.uniform(0.6, 1.4))))


def _arch(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    peak = rng.uniform(0.35, 0.65)
    return _voice(pitch_hz * 2 ** (rng.uniform(0.4, 0.9) * (0.5 - ((t - peak) / 0.5) ** 2)))


def _trill(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    beats = rng.uniform(5, 9) * t
    return _voice(pitch_hz * 2 ** (0.25 - 0.5 * (beats % 1))) * np.abs(np.sin(np.pi * beats))


def _warble(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    swings = rng.uniform(2.5, 5) * t + rng.uniform(0, 1)
    return _voice(pitch_hz * 2 ** (rng.uniform(0.12, 0.28) * np.sin(2 * np.pi * swings)))


def _stack(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    strengths = tuple(rng.uniform(0.3, 1.0, 10) * np.exp(-np.arange(10) / 6))
    return _voice(pitch_hz * (1 + 0.12 * np.sin(np.pi * t) + rng.normal(0, 0.02) * t), strengths)


def _buzz(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    """Returns a band of noise, beaten by a fast rattle."""
    noise = np.fft.rfft(rng.normal(size=len(t)))
    noise *= np.exp(-(((_frequencies(len(t)) - pitch_hz) / rng.uniform(700, 1200)) ** 2))
    rattle = 1 + np.sin(2 * np.pi * rng.uniform(60, 110) * t * len(t) / RATE)
    return np.fft.irfft(noise, len(t)) * rattle


def _clicks(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    """Returns short knocks, each of many frequencies."""
    sound = np.zeros(len(t))
    for knock in np.linspace(0.08, 0.8, rng.integers(3, 6)) + rng.uniform(-0.02, 0.02):
        since = np.maximum(t - knock, 0) * len(t) / RATE  # seconds
        sound += (t >= knock) * np.exp(-since / 0.0025) * np.sin(2 * np.pi * pitch_hz * since)
    return sound + 0.15 * rng.normal(size=len(t)) * np.abs(sound)


def _two_voices(t: np.ndarray, pitch_hz: float, rng: Rng) -> np.ndarray:
    """Returns what the two sides of a syrinx sing: one rises while the other, higher, falls."""
    bend = rng.uniform(0.15, 0.4)
    return _voice(pitch_hz * 2 ** (bend * t), (1.0,)) + _voice(1.7 * pitch_hz * 2 ** (-bend * t), (0.8,))


Make = Callable[[np.ndarray, float, Rng], np.ndarray]
KINDS: dict[str, tuple[Make, float, float]] = {  # how it is made, usual pitch in Hz, usual length in s
    "arch": (_arch, 3800, 0.16),
    "buzz": (_buzz, 4800, 0.20),
    "clicks": (_clicks, 3600, 0.16),
    "down": (_down, 4200, 0.14),
    "stack": (_stack, 900, 0.18),
    "trill": (_trill, 4400, 0.24),
    "two_voices": (_two_voices, 3000, 0.18),
    "up": (_up, 4000, 0.14),
    "warble": (_warble, 4200, 0.22),
    "whistle": (_whistle, 3900, 0.20),
}
