"""The spectrogram auto-encoders: their known sizes, pictures given back whole, and no dead weight."""

import pytest
import torch

from saec.models import MODELS, Model
from saec.models.base import fold_batch_norms
from saec.models.saec import ARCHITECTURES

# name: (weights of the encoder, of the decoder, code channels, picture columns a time step)
GOLDEN = {
    "GenBTP32_CH0256": (1_736_640, 3_483_907, 256, 32),
    "GenC_new_TP32_CH0256": (1_737_152, 1_736_393, 256, 32),
    "GenB3blocks": (1_080_512, 1_144_457, 256, 8),
    "GenBTP32_CH0512": (4_981_696, 11_267_459, 512, 32),
    "GenBTP16_CH0256": (1_736_640, 3_483_907, 256, 16),
    "GenBTP08_CH0256": (1_736_640, 3_483_907, 256, 8),
    "conv_tran_L5_TP32_ch256": (2_400_448, 2_771_139, 256, 32),
    "conv_tran_L5_TP32_ch512": (4_760_256, 4_409_539, 512, 32),
    "conv_conv_L5_TP32": (2_400_448, 2_400_195, 256, 32),
    "conv_tran_L5_sym": (2_663_360, 3_034_051, 256, 32),
    "conv_tran_L4_TP08": (859_072, 837_059, 256, 8),
    "conv_tran_texture_01": (766_080, 765_827, 256, 8),
    "conv_tran_textr_resh": (278_496, 278_403, 512, 8),
}


def build(name: str, channels: int = 3, device: str = "meta") -> Model:
    with torch.device(device):
        return MODELS.parse(name)((channels, 128, 256))


def n_weights(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_the_table_holds_the_thirteen_names_and_no_other():
    assert set(ARCHITECTURES) == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_encoder_and_decoder_have_as_many_weights_as_the_reference(name):
    model = build(name)
    assert (n_weights(model.encoder), n_weights(model.decoder)) == GOLDEN[name][:2]


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", GOLDEN)
def test_latent_is_one_row_and_the_picture_comes_back_in_full(name, channels):
    model = build(name, channels)
    n_features, time_pool = GOLDEN[name][2:]
    assert (model.height, model.time_pool) == (128, time_pool)
    for width in (1152, 256, 5 * time_pool, time_pool):
        picture = torch.empty(1, channels, 128, width, device="meta")
        code = model.encoder(picture)
        assert code.shape == (1, n_features, 1, width // time_pool)
        assert model.decoder(code).shape == picture.shape


@pytest.mark.parametrize("name", GOLDEN)
def test_every_weight_has_a_gradient_and_pictures_lie_between_0_and_1(name):
    torch.manual_seed(0)
    model = build(name, channels=1, device="cpu").eval()  # in training, a bias before a norm has none
    seen = torch.rand(2, 1, 128, 2 * model.time_pool)
    picture = model.decoder(model.encoder(seen))
    assert 0 <= picture.min() and picture.max() <= 1
    (picture - seen).square().mean().backward()
    dead = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not dead


@pytest.mark.parametrize("name", GOLDEN)
def test_no_relu_cuts_the_latent(name):
    last = [m for m in build(name).encoder.modules() if not list(m.children())]
    after_last_convolution = last[max(i for i, m in enumerate(last) if isinstance(m, torch.nn.Conv2d)) :]
    assert not any(isinstance(m, torch.nn.ReLU) for m in after_last_convolution)


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("conv_")])
def test_successors_end_in_a_convolution_and_a_sigmoid(name):
    *_, convolution, sigmoid = build(name).decoder[-1]
    assert isinstance(convolution, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
    assert isinstance(sigmoid, torch.nn.Sigmoid)


@pytest.mark.parametrize(
    ("name", "rows", "fourth", "fifth"),
    [
        ("GenBTP32_CH0256", 64, ((4, 2), (1, 2), (1, 1)), ((2, 2), (2, 2), (1, 1))),
        ("GenBTP16_CH0256", 63, ((4, 2), (2, 2), (2, 1)), ((2, 1), (1, 2), (1, 0))),
        ("GenBTP08_CH0256", 63, ((4, 1), (1, 2), (0, 0)), ((2, 1), (1, 2), (1, 0))),
    ],
)
def test_decoders_have_the_paddings_their_trained_weights_were_made_with(name, rows, fourth, fifth):
    decoder = build(name).decoder
    layers = [decoder.block4[0], decoder.block5[0]]
    assert [(t.stride, t.padding, t.output_padding) for t in layers] == [fourth, fifth]
    assert decoder[:4](torch.empty(1, 256, 1, 4, device="meta")).shape[2] == rows


@pytest.mark.parametrize("name", ("compact", "GenBTP32_CH0256", "GenC_new_TP32_CH0256"))
def test_folded_batch_norms_leave_the_latents_as_they_were(name):
    torch.manual_seed(0)
    model = MODELS.parse(name)((1, 128, 64)).train()
    pictures = torch.rand(4, 1, 128, 64)
    with torch.no_grad():
        model(pictures)  # statistics that are not those of a fresh norm
        expected = model.eval()(pictures)
        n_norms = sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.encoder.modules())
        found = fold_batch_norms(model.encoder)(pictures)
    left = sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.encoder.modules())
    assert left < n_norms
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
