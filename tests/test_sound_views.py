"""Views of sound: each distortion does what it says, to each sound by factors of its own, and repeats."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, intensities, training_session, write_pictures
from sounds import LINEAR, MEL, RATE, heard_session, record_classes
from torch import Tensor

from saec.config import Config
from saec.data import VIEWS, Draws, Raw, sound_views
from saec.data.batch import Waveform, own_columns
from saec.data.fronts import SoundFront
from saec.data.sound_views import NOTHING, Factors, distorted, read
from saec.session import SessionError, TrainingSession, load_session
from saec.sound.spectra import SPECTRA
from saec.training import plan_training, train

Views = tuple[Tensor, Tensor]
CPU = torch.device("cpu")
N_FFT, N = 256, 4000
NONE = {name: 0.0 for name in VIEWS["sound_pair"].options if name.endswith("_prob")}
EACH = [name.removesuffix("_prob") for name in NONE]


class Wave:
    """A front end that gives the sound as it is, (batch, 1, 1, steps)."""

    waveform = Waveform(RATE, N_FFT)

    def __call__(self, raw: Raw) -> Tensor:
        return raw.values[:, None, None]


def spectra(n_frames: int = 32) -> SoundFront:
    return SoundFront(SPECTRA.parse(MEL)(RATE), n_frames)


def sounds(*lengths: int, seed: int = 0) -> Raw:
    """Noise of its own loudness for each length, zeros behind the shorter ones."""
    values = torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(seed))
    values *= torch.linspace(0.1, 1, len(lengths))[:, None]
    own = torch.tensor(lengths)
    return Raw(values.where(own_columns(own, max(lengths)), 0), own)


def sine(hertz: float, n: int = N) -> Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(n) / RATE)


def done(sound: Tensor, others: Raw | None = None, first: int = 0, **factors: float) -> Tensor:
    """One sound, distorted by these factors."""
    given = Factors(*(torch.tensor([float(value)]) for value in NOTHING._replace(**factors)))
    others = others or Raw(sound[None], torch.tensor([len(sound)]))
    mix = (others.values, others.lengths, torch.tensor([first]))
    return distorted(Raw(sound[None], torch.tensor([len(sound)])), given, mix, Wave.waveform).values[0]


def peak_hertz(sound: Tensor) -> float:
    """The largest frequency, by a parabola through the three highest levels."""
    size = torch.fft.rfft(sound * torch.hann_window(len(sound)), 4 * len(sound)).abs().log()
    top = int(size.argmax())
    a, b, c = size[top - 1 : top + 2].tolist()
    return (top + (a - c) / (a - 2 * b + c) / 2) * RATE / (4 * len(sound))


def view(raw: Raw, draws: Draws, front: Any = None, name: str = "sound_pair", **options: Any) -> Views:
    return VIEWS.parse({"name": name} | options)(raw, front or Wave(), draws)


def learning(n: int, step: int = 0) -> Draws:
    return Draws.training(n, CPU, (0, 0, step, 0))


@pytest.mark.parametrize("semitones", [-12, -2, 0.5, 7, 12])
@pytest.mark.parametrize("rate", [0.8, 1, 1.25])
def test_a_shifted_tone_has_its_new_pitch_whatever_its_rate_and_its_level(semitones, rate):
    before = sine(440)
    after = done(before, semitones=semitones, rate=rate)
    inner = slice(500, round(N / max(rate, 1)) - 500)
    assert peak_hertz(after[inner]) == pytest.approx(440 * 2 ** (semitones / 12), rel=1e-3)
    assert float(after[inner].std() / before.std()) == pytest.approx(1, abs=0.02)
    assert len(after) == N and after.dtype == torch.float32


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_clicks_stand_so_many_times_as_close_and_the_length_is_kept(rate):
    clicks = torch.zeros(N)
    clicks[400::800] = 1
    after = done(clicks, rate=rate)
    assert len(after) == N
    tops = [400 / rate + number * 800 / rate for number in range(5)]
    for top in [round(top) for top in tops if top < N - 300]:
        weight = after[top - 300 : top + 300].square()
        middle = float((weight * torch.arange(-300, 300)).sum() / weight.sum())
        assert abs(middle) < N_FFT / 4  # a step of the phase vocoder
    assert rate < 1 or not after[round(N / rate) + N_FFT :].any()


def test_what_would_be_too_high_is_left_out_and_what_is_too_long_for_float32_is_read_exactly():
    assert done(sine(3000), semitones=12)[500:-500].abs().max() < 1e-3  # 6 kHz at a rate of 8 kHz
    n = 1 << 23
    ramp = torch.arange(n + 4) % 4096 / 4096
    ends = read(ramp[None], n, torch.tensor([1.0]))[0, -9:]
    assert torch.allclose(ends, ramp[n - 9 : n])


def test_gain_noise_and_clipping_are_by_their_units():
    sound = sounds(N).values[0]
    assert torch.allclose(done(sound, gain_db=-20), sound / 10)
    after = done(sound, clip_percent=10)
    low, high = np.percentile(sound.numpy(), [5, 95])
    assert np.allclose(after, np.clip(sound.numpy(), low, high), atol=1e-6)
    silent = Raw(torch.zeros(50, N), torch.full((50,), N))
    for each in view(silent, learning(50), **NONE | {"noise_prob": 1, "noise_amplitude": [0.01, 0.01]}):
        assert torch.allclose(each.std(dim=-1), torch.tensor(0.01), rtol=0.05)


def test_a_shift_loses_nothing_and_more_than_the_length_is_possible():
    sound = sounds(N).values[0]
    for seconds in (0.1, -0.1, 0.6, -7):
        assert torch.equal(done(sound, shift_s=seconds), sound.roll(round(seconds * RATE)))


def test_background_has_its_level_is_repeated_where_it_is_short_and_silence_is_left_alone():
    sound, other = sounds(N).values[0], sounds(900, 3000, seed=1)
    short = Raw(other.values[:1], other.lengths[:1])
    added = done(sound, short, first=100, snr_db=6) - sound
    assert float(20 * (sound.norm() / added.norm()).log10()) == pytest.approx(6, abs=0.01)
    expected = short.values[0, (torch.arange(N) + 100) % 900]
    assert torch.allclose(added / added.norm(), expected / expected.norm(), atol=1e-6)
    assert torch.equal(done(torch.zeros(N), short, snr_db=6), torch.zeros(N))
    silent = Raw(torch.zeros(1, N), torch.tensor([N]))
    assert torch.equal(done(sound, silent, snr_db=6), sound)


def test_each_is_mixed_with_another_one_of_the_batch_never_with_itself():
    tones = Raw(torch.stack([sine(200 + 300 * number) for number in range(8)]), torch.full((8,), N))
    mixed = {"background_prob": 1, "background_snr_db": [0, 0]}
    for step in range(5):
        for each in view(tones, learning(8, step), **NONE | mixed):
            sizes = torch.fft.rfft(each[:, 0, 0]).abs()
            for row, size in enumerate(sizes):
                hertz = (torch.nonzero(size > 200)[:, 0] * RATE / N).tolist()
                assert len(hertz) == 2 and 200 + 300 * row in hertz
    alone = Raw(tones.values[:1], tones.lengths[:1])
    assert torch.equal(view(alone, learning(1), **NONE | mixed)[0][:, 0, 0], alone.values)


def test_without_any_probability_both_views_are_the_sound():
    raw = sounds(N, 900, 1)
    for draws in (learning(3), Draws.validation(np.arange(3), CPU, 0)):
        for each in view(raw, draws, spectra(), **NONE):
            assert torch.equal(each, spectra()(raw))


@pytest.mark.parametrize("one", EACH)
def test_each_distortion_comes_with_its_probability_and_by_factors_of_its_own(one):
    raw = Raw(sounds(N).values.expand(200, -1), torch.full((200,), N))
    if one == "background":
        raw = sounds(*[400] * 200)
    options = NONE | {f"{one}_prob": 0.4}
    views = view(raw, learning(200), **options)
    changed = [(each[:, 0, 0] != raw.values).any(dim=1) for each in views]
    for is_changed, each in zip(changed, views, strict=True):
        assert abs(float(is_changed.float().mean()) - 0.4) < 0.1
        assert len(torch.unique(each[is_changed].flatten(1), dim=0)) > 0.7 * int(is_changed.sum())
    both = float((changed[0] & changed[1]).float().mean())
    assert abs(both - 0.16) < 0.08  # the two are drawn independently
    for again, each in zip(view(raw, learning(200), **options), views, strict=True):
        assert torch.equal(again, each)
    other = view(raw, learning(200, step=1), **options)
    assert not torch.equal(other[0], views[0])


@pytest.mark.parametrize("name", ["sound_pair", "reef_pair"])
def test_a_sound_keeps_its_length_and_nothing_comes_from_behind_its_own(name, monkeypatch):
    lengths = (N, 2500, 900, 300, 100, 1)
    raw = sounds(*lengths)
    before = raw.values.clone()
    monkeypatch.setattr(sound_views, "AT_ONCE", 1)  # four of them
    for step in range(3):
        for each in view(raw, learning(6, step), name=name):
            assert each.shape == (6, 1, 1, N) and torch.isfinite(each).all()
            for sound, n in zip(each[:, 0, 0], lengths, strict=True):
                assert not sound[n:].any()
    assert torch.equal(raw.values, before)


@pytest.mark.parametrize("name", ["sound_pair", "reef_pair"])
def test_a_validation_sample_has_the_same_views_in_whatever_batch(name):
    lengths = (N, 2500, 900, 1300, 700, 3999)
    raw = sounds(*lengths)
    whole = view(raw, Draws.validation(np.arange(6), CPU, 3), spectra(), name)
    assert not torch.equal(*whole)
    for part in ([3], [4, 2], [5, 1, 0]):
        few = Raw(raw.values[part, : int(raw.lengths[part].max())], raw.lengths[part])
        some = view(few, Draws.validation(np.array(part), CPU, 3), spectra(), name)
        for each, of in zip(some, whole, strict=True):
            assert torch.allclose(each, of[part], atol=1e-4)


def test_a_view_of_a_quiet_sound_is_that_of_the_loud_one_but_quiet():
    options = NONE | {name: 1.0 for name in NONE if name != "noise_prob"}
    raw = sounds(N, 2000, 3000)
    quiet = Raw(raw.values * 2.0**-40, raw.lengths)
    for each, of in zip(view(quiet, learning(3), **options), view(raw, learning(3), **options), strict=True):
        assert torch.allclose(each * 2.0**40, of, atol=1e-5)


def test_the_preset_has_the_ranges_of_the_reference_and_all_can_be_chosen():
    reef = VIEWS.parse("reef_pair")
    assert (reef.noise_amplitude, reef.noise_prob) == ((1e-4, 5e-4), 0.5)
    assert (reef.pitch_semitones, reef.pitch_prob) == ((-2, 12), 0.5)
    assert (reef.stretch, reef.stretch_prob) == ((0.8, 1.25), 0.5)
    assert (reef.clip_percent, reef.clip_prob) == ((0, 5), 0.5)
    assert (reef.gain_db, reef.gain_prob) == ((-10, 5), 0.5)
    assert reef.shift_prob == reef.background_prob == 0
    assert VIEWS.parse({"name": "reef_pair", "shift_prob": 0.1}).shift_prob == 0.1


def test_a_contrastive_encoder_learns_from_views_of_sound(config: Config, caplog):
    record_classes(config.data / "sounds", n=4)
    session = heard_session(
        views="sound_pair", objective="contrastive", model=TINY, data={"spectrum": LINEAR}
    )
    with caplog.at_level(logging.INFO):
        run = train(session | {"training": {"epochs": 2, "batch_size": 8, "precision": "fp32"}}, config)
    assert (run.folder / "views.png").stat().st_size > 1000 and run.progress.epoch == 2
    assert run.session.views.model_dump() == VIEWS.parse("sound_pair").model_dump()


@pytest.mark.parametrize("name", ["sound_pair", "reef_pair"])
def test_pictures_are_refused_before_they_are_read(name, config: Config):
    write_pictures(config.data / "songs" / "images", intensities(4))
    session = load_session(training_session(views=name), TrainingSession)
    words = rf"views: {name} takes sound, got pictures: choose .*\(denoise, distort, pair, photo, plain\)"
    with pytest.raises(SessionError, match=words):
        plan_training(session, config)
