"""Computes views of sound: recordings are distorted in batches before the front end makes spectra of them."""

from collections.abc import Callable
from functools import partial
from math import ceil, inf
from typing import Annotated, Generic, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from saec.data.batch import FrontEnd, Raw, Waveform, own_columns
from saec.data.draws import Draws
from saec.data.views import VIEWS, Share, marked

V = TypeVar("V")
Amplitude = Annotated[float, Field(ge=0)]
Decibels = Annotated[float, Field(ge=-120, le=120)]
Percent = Annotated[float, Field(ge=0, lt=100)]
Rate = Annotated[float, Field(ge=0.25, le=4)]
Seconds = Annotated[float, Field(ge=-3600, le=3600)]
Semitones = Annotated[float, Field(ge=-24, le=24)]

REEF = {  # the ranges that SimCLR on reef sound was trained with, all with a probability of 0.5
    "noise_amplitude": (1e-4, 5e-4),
    "pitch_semitones": (-2.0, 12.0),
    "shift_prob": 0.0,
    "background_prob": 0.0,
}
OVERLAP = 4  # windows over each step of the phase vocoder
FINER = 2  # times as many steps a second, between which pitch is shifted
FIXED = 20  # binary digits of the parts of a step that positions are counted in
AT_ONCE = 1 << 17  # steps of sounds that are stretched together: what fits into a CPU's cache


class Factors(NamedTuple, Generic[V]):
    """Holds what is done to each sound of a batch, (batch,) each, in this order; or what that depends on."""

    noise: V  # standard deviation
    semitones: V
    rate: V  # how many times as fast
    shift_s: V
    snr_db: V  # of the sound over the background
    clip_percent: V
    gain_db: V


NOTHING = Factors(0.0, 0.0, 1.0, 0.0, inf, 0.0, 0.0)


@VIEWS.register("reef_pair", defaults=REEF)
@VIEWS.register("sound_pair")
@marked("sound", "two")
def sound_pair(
    raw: Raw,
    front: FrontEnd,
    draws: Draws,
    *,
    noise_amplitude: tuple[Amplitude, Amplitude] = (0.0, 0.005),
    noise_prob: Share = 0.5,
    pitch_semitones: tuple[Semitones, Semitones] = (-2.0, 2.0),
    pitch_prob: Share = 0.5,
    stretch: tuple[Rate, Rate] = (0.8, 1.25),
    stretch_prob: Share = 0.5,
    shift_s: tuple[Seconds, Seconds] = (-0.1, 0.1),
    shift_prob: Share = 0.5,
    background_snr_db: tuple[Decibels, Decibels] = (5.0, 30.0),
    background_prob: Share = 0.5,
    clip_percent: tuple[Percent, Percent] = (0.0, 5.0),
    clip_prob: Share = 0.5,
    gain_db: tuple[Decibels, Decibels] = (-10.0, 5.0),
    gain_prob: Share = 0.5,
) -> tuple[Tensor, Tensor]:
    """Returns spectra of two distortions of one sound as seen and target, in validation too.

    With a probability of its own each is given Gaussian noise (standard deviation; full scale is 1), shifted
    in pitch, played `stretch` times as fast, shifted in time (what leaves at one end comes in at the other),
    mixed with another sound of its batch, clipped (so many percent of its samples), and made louder. Values
    are drawn uniformly from the ranges. All keeps the length of the sound, and its scale but for the gain.

    Validation mixes no other sound in: a sample's views would depend on the batch that it is in.
    """
    assert front.waveform is not None  # as these views take sound alone, which a session's check sees to
    ranges = Factors(
        noise_amplitude, pitch_semitones, stretch, shift_s, background_snr_db, clip_percent, gain_db
    )
    mix_prob = background_prob if draws.learning and len(raw.values) > 1 else 0.0
    probs = Factors(noise_prob, pitch_prob, stretch_prob, shift_prob, mix_prob, clip_prob, gain_prob)
    chance = draws.uniform(2, len(ranges) + 1, 2).permute(1, 2, 3, 0)  # (views, factors, 2, batch)
    views = []
    for of_view in chance:
        factors = Factors(*map(within, of_view[:-1], ranges, probs, NOTHING))
        sound = raw.values
        if noise_prob:
            sound = sound + factors.noise[:, None] * draws.normal_of(raw.n_steps, sound.shape[1])
        others = another(raw, of_view[-1])
        views.append(front(distorted(raw._replace(values=sound), factors, others, front.waveform)))
    return views[0], views[1]


def within(chance: Tensor, limits: tuple[float, float], prob: float, nothing: float) -> Tensor:
    """Returns values between the limits with that probability, by two uniform numbers each, (2, batch)."""
    low, high = limits
    return torch.where(chance[0] < prob, low + (high - low) * chance[1], nothing)


def another(raw: Raw, chance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns another sound of the batch for each, its length, and a step of it, by chance (2, batch)."""
    n = len(raw.values)
    others = (torch.arange(n, device=chance.device) + 1 + (chance[0] * (n - 1)).long()) % n
    lengths = raw.n_steps[others]
    return raw.values[others], lengths, (chance[1] * lengths).long()


def distorted(raw: Raw, factors: Factors, others: tuple[Tensor, ...], waveform: Waveform) -> Raw:
    """Returns sounds to which each of the factors is done; noise is in them already."""
    noise, semitones, rate, shift_s, snr_db, percent, gain_db = factors
    steps = (shift_s * waveform.rate_hz).round().long()
    is_moved = (semitones != 0) | (rate != 1)
    raw = on_rows(partial(vocoded, n_fft=waveform.n_fft), raw, is_moved, 2 ** (semitones / 12), rate)
    raw = on_rows(rolled, raw, steps != 0, steps)
    raw = on_rows(mixed, raw, snr_db < inf, snr_db, *others)
    raw = on_rows(clipped, raw, percent > 0, percent)
    return raw._replace(values=raw.values * 10 ** (gain_db[:, None] / 20))


def on_rows(change: Callable[..., Tensor], raw: Raw, chosen: Tensor, *factors: Tensor) -> Raw:
    """Returns the sounds, those that are chosen (batch,) changed, and nothing behind their own steps."""
    (rows,) = chosen.nonzero(as_tuple=True)
    if not len(rows):
        return raw
    some = Raw(raw.values[rows], raw.n_steps[rows])
    values = change(some, *(factor[rows] for factor in factors))
    values = values.where(own_columns(some.n_steps, values.shape[1]), 0)
    return raw._replace(values=raw.values.index_copy(0, rows, values))


def rolled(raw: Raw, steps: Tensor) -> Tensor:
    """Returns sounds so many steps later; what leaves at the end comes in at the beginning."""
    index = torch.arange(raw.values.shape[1], device=steps.device) - steps[:, None]
    return raw.values.gather(1, index % raw.n_steps[:, None])


def mixed(raw: Raw, snr_db: Tensor, others: Tensor, lengths: Tensor, first: Tensor) -> Tensor:
    """Adds others from their step `first` on, repeated where they are shorter, at a signal-to-noise ratio.

    Where one of the two is silent there is no such ratio, and nothing is added.
    """
    own = own_columns(raw.n_steps, raw.values.shape[1])
    index = (torch.arange(own.shape[1], device=own.device) + first[:, None]) % lengths[:, None]
    background = others.gather(1, index).where(own, 0)
    ratio = raw.values.norm(dim=1) / background.norm(dim=1) * 10 ** (-snr_db / 20)
    return raw.values + background * ratio.where(ratio < inf, 0)[:, None]


def clipped(raw: Raw, percent: Tensor) -> Tensor:
    """Returns sounds without their extremes: half so many percent of the steps at each end are cut down."""
    beyond = ~own_columns(raw.n_steps, raw.values.shape[1])
    at = percent / 200 * (raw.n_steps - 1)
    high = nth_largest(raw.values.masked_fill(beyond, -inf), at)
    low = -nth_largest((-raw.values).masked_fill(beyond, -inf), at)
    return raw.values.clamp(low, high)


def nth_largest(values: Tensor, at: Tensor) -> Tensor:
    """Returns the largest value of each row (`at` 0), the next (1), ... or one between two, (batch, 1)."""
    ordered = values.topk(int(at.max().ceil()) + 1).values
    before, after = at.long()[:, None], at.ceil().long()[:, None]
    return torch.lerp(ordered.gather(1, before), ordered.gather(1, after), at[:, None] - before)


def vocoded(raw: Raw, pitch: Tensor, rate: Tensor, n_fft: int) -> Tensor:
    """Returns sounds with all frequencies times `pitch`, and played `rate` times as fast.

    A phase vocoder (Flanagan, Golden 1966, "Phase vocoder"; Ellis 2002, "A phase vocoder in Matlab") makes
    them pitch / rate times as long, which is then read `pitch` times as fast.
    """
    made = torch.zeros_like(raw.values)
    at_once = AT_ONCE if made.device.type == "cpu" else 8 * AT_ONCE
    for rows in pitch.argsort().split(max(4, at_once // made.shape[1])):
        n, factor = int(raw.n_steps[rows].max()), pitch[rows]
        n_slow = ceil(n * float(factor.max())) + 2
        slow = slowed(raw.values[rows, :n], rate[rows] / factor, n_slow, factor, n_fft)
        made[rows, :n] = read(slow, n, FINER * factor)
    return made


def slowed(sound: Tensor, rate: Tensor, n: int, pitch: Tensor, n_fft: int) -> Tensor:
    """Returns the first n steps of sounds played `rate` times as fast, in `FINER` times as many steps.

    Frequencies that would be too high once they are `pitch` times as high are left out.
    """
    hop, window = max(1, n_fft // OVERLAP), torch.hann_window(n_fft, device=sound.device)
    sound = F.pad(sound, (0, n_fft))
    waves = torch.stft(sound, n_fft, hop, window=window, pad_mode="constant", return_complex=True)
    waves = waves.mT  # (batch, frames, frequencies)
    n_bins = waves.shape[2]
    too_high = torch.arange(n_bins, device=rate.device) * pitch[:, None] >= n_bins - 1
    waves = waves.masked_fill(too_high[:, None], 0)
    at, part = positions(1 + ceil(n / hop) + OVERLAP, rate)
    nearest = (at + (part >= 0.5)).clamp(max=waves.shape[1] - 2)
    frames = in_phase(waves, nearest)
    frames = F.pad(FINER * frames, (0, (FINER - 1) * (n_bins - 1))).mT
    window = torch.hann_window(FINER * n_fft, device=sound.device)
    return torch.istft(frames, FINER * n_fft, FINER * hop, window=window, length=FINER * n)


def in_phase(waves: Tensor, at: Tensor) -> Tensor:
    """Returns the frames `at` (batch, frames) of waves (batch, frames, frequencies) one after the other.

    Phases go on as between two frames in the waves, those around a peak with the peak's, and anew after
    silence (identity phase locking: Laroche, Dolson 1999, "Improved phase vocoder time-scale modification of
    audio"). Without it noise would lose 2 dB.
    """
    rows = torch.arange(len(at), device=at.device)[:, None]
    frames = waves[rows, at]
    peaks = peaks_near(frames.real.square() + frames.imag.square())
    peaks = peaks.gather(2, peaks)  # the largest neighbour's largest neighbour
    after = waves[rows, at[:, :-1] + 1] * frames[:, 1:].conj()  # what would follow, beside what does
    after = after.gather(2, peaks[:, 1:]).sgn()
    is_anew, turns = after == 0, torch.ones_like(frames)
    for number in range(1, at.shape[1]):
        turn = turns[:, number - 1].gather(1, peaks[:, number]) * after[:, number - 1]
        turns[:, number] = turn.masked_fill_(is_anew[:, number - 1], 1)
    return frames * turns


def peaks_near(power: Tensor) -> Tensor:
    """Returns which of each frequency and its two neighbours (along the last axis) has the largest power."""
    around = F.pad(power, (1, 1))
    below, above = around[..., :-2], around[..., 2:]
    up, down = (above > power) & (above > below), (below > power) & (below >= above)
    return torch.arange(power.shape[-1], device=power.device) + up.long() - down.long()


def read(sound: Tensor, n: int, step: Tensor) -> Tensor:
    """Returns the first n values of sounds at every `step`, between steps by cubic polynomials.

    Catmull, Rom 1974, "A class of local interpolating splines".
    """
    at, part = positions(n, step)
    padded = F.pad(sound, (1, 2))
    a, b, c, d = (padded.gather(1, at + near) for near in range(4))
    return b + part / 2 * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))


def positions(n: int, step: Tensor) -> tuple[Tensor, Tensor]:
    """Returns 0, step, 2 step, ... for each step, n of them, as whole numbers and parts.

    They are counted in integers: float32 would round those of a long sound.
    """
    counted = torch.arange(n, device=step.device) * (step * (1 << FIXED)).round().long()[:, None]
    return counted >> FIXED, (counted & (1 << FIXED) - 1) / (1 << FIXED)
