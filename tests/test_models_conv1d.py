"""The auto-encoders of traces: numbers of weights, lengths that count, and what a shift in time does."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from saec.models import MODELS, Model
from saec.models.base import Tap, run_in_pieces, run_to_tap
from saec.models.conv1d import MaskedNorm

# blocks of the encoder, of the decoder, width of the latents: weights of the reference, of 13 columns
GOLDEN = {(5, 5, 1024): 9_394_075, (3, 3, 1024): 4_607_783, (2, 2, 1024): 3_191_847, (5, 5, 768): 4_737_947}
SMALL = {
    "conv1d": {"encoder_blocks": 3, "decoder_blocks": 2, "inner": 768},
    "conv1d_strided": {"widths": (8, 12), "latent": 16},
    "movements": {"widths": (8,), "latent": 12, "kernel": 5, "movement_frames": 9},
}
# Convolutions of other widths add up in another order: each of up to seven blocks rounds to about 3e-7.
TOLERANCES = {torch.float32: 3e-6, torch.float64: 1e-12}
LENGTHS = torch.tensor([40, 9, 1, 23])


def built(name: str, training: bool = False, **options) -> Model:
    """Returns a model whose running statistics are those of the traces."""
    torch.manual_seed(0)
    model = MODELS.parse({"name": name} | SMALL[name] | options)((1, 13, 400))
    for norm in (module for module in model.modules() if isinstance(module, MaskedNorm)):
        norm.momentum = 1.0
    with torch.no_grad():
        model.decode(model.encode(traces(LENGTHS), LENGTHS), LENGTHS)
    return model.train(training)


def traces(lengths: Tensor, width: int | None = None) -> Tensor:
    """Returns samples of those lengths, not of mean 0, with zeros behind them."""
    seen = torch.zeros(len(lengths), 1, 13, width or int(lengths.max()))
    for number, n in enumerate(lengths.tolist()):
        seen[number, ..., :n] = 1 + torch.randn(13, n, generator=torch.Generator().manual_seed(number))
    return seen


def difference(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return ((got - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize(("blocks", "n_weights"), GOLDEN.items())
def test_weights_are_as_many_as_the_references(blocks, n_weights):
    options = dict(zip(("encoder_blocks", "decoder_blocks", "inner"), blocks, strict=True))
    with torch.device("meta"):
        model = MODELS.parse({"name": "conv1d"} | options)((1, 13, 400))
    assert sum(weight.numel() for weight in model.parameters()) == n_weights


@pytest.mark.parametrize(("n", "back", "inner"), [*product((2, 3, 4, 5), (2, 5), (768, 1024))])
def test_any_number_of_blocks_and_width_of_latents_can_be_built_for_several_channels(n, back, inner):
    options = {"encoder_blocks": n, "decoder_blocks": back, "inner": inner}
    with torch.device("meta"):
        model = MODELS.parse({"name": "conv1d"} | options)((2, 6, 400))
        seen = torch.empty(3, 2, 6, 50)
        latents = model.encode(seen)
        assert latents.shape == (3, inner, 1, 50) and model.decode(latents).shape == seen.shape
    assert [len(model.blocks), len(list(model.decoder))] == [n, back]


@pytest.mark.parametrize(("name", "end"), [*product(("conv1d", "conv1d_strided"), ("linear", "relu"))])
def test_what_is_rebuilt_may_be_negative_unless_the_end_is_a_relu(name, end):
    model = built(name, end=end)
    with torch.no_grad():
        rebuilt = model.decode(model.encode(torch.randn(2, 1, 13, 40)))
    assert (rebuilt < 0).any() == (end == "linear")


@pytest.mark.parametrize(("name", "dtype"), [*product(SMALL, TOLERANCES)])
@torch.no_grad()
def test_a_padded_batch_gives_what_each_sample_gives_alone_and_zeros_behind_it(name, dtype):
    model = built(name).to(dtype)
    seen = traces(LENGTHS, 60).to(dtype)
    latents = model.encode(seen, LENGTHS)
    rebuilt = model.decode(latents, LENGTHS)
    codes, decoded = torch.zeros_like(latents), torch.zeros_like(rebuilt)
    for i, (n, steps) in enumerate(zip(LENGTHS.tolist(), model.n_steps(LENGTHS).tolist(), strict=True)):
        alone, own = seen[i : i + 1, ..., : steps * model.time_pool], LENGTHS[i : i + 1]
        codes[i, ..., :steps] = model.encode(alone, own)[0]
        decoded[i, ..., :n] = model.decode(codes[i : i + 1, ..., :steps], own)[0, ..., :n]
        if n == steps * model.time_pool:
            assert difference(model.encode(alone)[0], codes[i, ..., :steps]) < TOLERANCES[dtype]
        assert not latents[i, ..., steps:].any() and not rebuilt[i, ..., n:].any()
    assert difference(latents, codes) < TOLERANCES[dtype]
    assert difference(rebuilt, decoded) < TOLERANCES[dtype]


@pytest.mark.parametrize(("name", "dtype"), [*product(SMALL, TOLERANCES)])
def test_in_training_the_amount_of_padding_changes_nothing(name, dtype):
    got = []
    for width in (40, 100):
        model = built(name, training=True).to(dtype)
        latents = model.encode(traces(LENGTHS, width).to(dtype), LENGTHS)
        rebuilt = model.decode(latents, LENGTHS)
        rebuilt.square().sum().backward()
        gradients = torch.cat([weight.grad.flatten() for weight in model.parameters()])
        running = torch.cat([buffer.flatten() for buffer in model.buffers()])
        got.append((latents[..., : 40 // model.time_pool], rebuilt[..., :40], running, gradients))
    for tight, loose in zip(*got, strict=True):
        assert difference(loose, tight) < 3 * TOLERANCES[dtype]  # gradients go through them twice


@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_reaches_every_weight(name):
    model = built(name).train()
    model.decode(model.encode(traces(LENGTHS), LENGTHS), LENGTHS).pow(3).sum().backward()
    assert [key for key, weight in model.named_parameters() if not weight.grad.abs().max() > 0] == []


def test_a_masked_norm_is_a_batch_norm_over_own_frames_alone():
    torch.manual_seed(0)
    norm, plain = MaskedNorm(13), nn.BatchNorm2d(13)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    norm.load_state_dict(plain.state_dict())
    for width, training in ((40, True), (60, True), (60, False)):
        norm.train(training), plain.train(training)
        padded = traces(LENGTHS, width).transpose(1, 2).requires_grad_()
        own = [padded[i : i + 1, ..., :n] for i, n in enumerate(LENGTHS.tolist())]
        expected = plain(torch.cat(own, dim=-1))
        (wanted,) = torch.autograd.grad(expected.pow(3).sum(), padded)
        got = norm(padded, LENGTHS)
        (gradient,) = torch.autograd.grad(got.pow(3).sum(), padded)
        assert difference(gradient, wanted) < 1e-5
        assert not any(got[i, ..., n:].any() for i, n in enumerate(LENGTHS.tolist()))
        got = torch.cat([got[i : i + 1, ..., :n] for i, n in enumerate(LENGTHS.tolist())], dim=-1)
        assert difference(got, expected) < 1e-6
        for key, buffer in plain.state_dict().items():
            torch.testing.assert_close(norm.state_dict()[key], buffer, rtol=1e-6, atol=1e-6)


def smooth_noise(n: int) -> Tensor:
    """Returns noise that is smooth over a few frames, as traces are."""
    noise = torch.randn(13, 1, n + 8, generator=torch.Generator().manual_seed(0))
    return nn.functional.avg_pool1d(noise, 9, stride=1).transpose(0, 1)[None]


@torch.no_grad()
def test_a_shift_by_the_stride_moves_latents_by_one_step_and_a_low_pass_makes_other_shifts_do_less():
    model, noise = built("conv1d_strided"), 3 * smooth_noise(420)

    def moved(shift: int) -> float:
        """Returns how far latents are from those of the shifted noise, at the steps inside of both."""
        before, after = model.encode(noise[..., :400]), model.encode(noise[..., shift : shift + 400])
        steps = round(shift / 4)
        inside = slice(10 + steps, 90 + steps), slice(10, 90)
        return difference(after[..., inside[1]], before[..., inside[0]])

    assert moved(4) < 1e-5 and moved(8) < 1e-5
    smooth = moved(2)
    for block in list(model.encoder)[:2]:
        block.low_pass = torch.eye(5)[2][None, None, None]  # leaves out frames, and no more
    assert moved(4) < 1e-5 and smooth < 0.7 * moved(2)


def test_a_stride_for_each_width_is_needed():
    with pytest.raises(ValueError, match="`strides` must be as many as `widths`, 2, got 3"):
        MODELS.parse({"name": "conv1d_strided", "strides": (2, 2, 1)})((1, 13, 400))


def test_movements_have_norm_1_whatever_their_weights_and_what_is_decoded_is_their_sum():
    model = built("movements")
    one, other = (torch.rand(2, 12, 1, 30, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    convolution = model.decoder[0].convolution
    with torch.no_grad():
        convolution.bias.zero_()
        assert difference(model.decode(one) + model.decode(other), model.decode(one + other)) < 1e-5
        pulses = torch.zeros(12, 12, 1, 30)
        pulses[range(12), range(12), 0, 15] = 1
        before = model.decode(pulses)
        convolution.weight *= 7
        assert difference(model.decode(pulses), before) < 1e-5
    assert torch.allclose(before.square().sum((1, 2, 3)), torch.ones(12), atol=1e-5)
    with pytest.raises(ValueError, match="must be odd, got 4 and 9"):
        built("movements", kernel=4)


@pytest.mark.parametrize("tap", [Tap(), Tap("block", 1)])
@pytest.mark.parametrize(("name", "dtype"), [*product(SMALL, TOLERANCES)])
@torch.no_grad()
def test_a_long_sample_in_pieces_gives_what_it_gives_in_one(name, dtype, tap):
    model = built(name).to(dtype)
    for n_frames in (397, 384, 65):
        lengths = torch.tensor([n_frames])
        x = traces(lengths, -(-n_frames // 4) * 4).to(dtype)
        whole = run_to_tap(model.encoder, x, tap, lengths)
        pieces = run_in_pieces(model, model.encoder, x, tap, lengths, most=64)
        for got, expected in zip(pieces, whole, strict=True):
            assert difference(got, expected) < TOLERANCES[dtype]
