"""The spectrogram auto-encoders: their numbers of weights, pictures given back whole, and no dead weight."""

import pytest
import torch
import yaml
from conftest import n_weights
from small_runs import untrained_run
from torch import nn

from saec.models import MODELS, Model
from saec.models.base import fold_batch_norms
from saec.models.saec import ARCHITECTURES
from saec.runs import Run

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
    "texture_gapless": (766_080, 765_827, 256, 8),
    "textr_resh_gapless": (278_496, 278_403, 512, 8),
}


def build(name: str | dict, channels: int = 3, device: str = "meta") -> Model:
    with torch.device(device):
        return MODELS.parse(name)((channels, 128, 256))


def test_the_table_holds_the_thirteen_names_and_two_without_gaps():
    assert set(ARCHITECTURES) == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_weights_are_as_many_as_the_references_and_the_latent_is_one_row(name):
    n_encoder, n_decoder, n_features, time_pool = GOLDEN[name]
    model = build(name)
    assert (n_weights(model.encoder), n_weights(model.decoder)) == (n_encoder, n_decoder)
    assert (model.height, model.time_pool) == (128, time_pool)
    for width in (1152, 256, 5 * time_pool, time_pool):
        picture = torch.empty(1, 3, 128, width, device="meta")
        code = model.encoder(picture)
        assert code.shape == (1, n_features, 1, width // time_pool)
        assert model.decoder(code).shape == picture.shape
    last = [m for m in model.encoder.modules() if not list(m.children())]
    after_last_convolution = last[max(i for i, m in enumerate(last) if isinstance(m, nn.Conv2d)) :]
    assert not any(isinstance(m, nn.ReLU) for m in after_last_convolution)  # no ReLU cuts the latent
    if name.startswith("conv_"):
        *_, convolution, sigmoid = model.decoder[-1]
        assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d) and isinstance(sigmoid, nn.Sigmoid)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_latent_has_as_many_channels_as_are_asked_for(name):
    model = build({"name": name, "latent": 96})
    code = model.encoder(torch.empty(1, 3, 128, 2 * model.time_pool, device="meta"))
    assert code.shape == (1, 96, 1, 2) and model.decoder(code).shape == (1, 3, 128, 2 * model.time_pool)


def test_a_latent_is_widened_as_the_reference_does_and_refused_where_it_cannot_be():
    wide = build({"name": "conv_tran_L5_TP32_ch256", "latent": 512})
    assert (n_weights(wide.encoder), n_weights(wide.decoder)) == GOLDEN["conv_tran_L5_TP32_ch512"][:2]
    sym = build({"name": "conv_tran_L5_sym", "latent": 64}).encoder
    assert [sym.block5[0].out_channels, sym.block6.in_channels, sym.block6.out_channels] == [64, 64, 64]
    with pytest.raises(ValueError, match="`latent` must be a multiple of 16, got 100"):
        build({"name": "conv_tran_textr_resh", "latent": 100})


@pytest.mark.parametrize("name", ["conv_tran_texture_01", "conv_tran_textr_resh"])
def test_a_run_without_a_width_of_its_latent_keeps_the_strides_that_its_name_had_in_0_1_0(config, name):
    run = untrained_run(config, model=name)
    assert run.session.model.name == name
    session = yaml.safe_load((run.folder / "session.yaml").read_text())
    del session["model"]["latent"]
    (run.folder / "session.yaml").write_text(yaml.safe_dump(session))
    decoder = Run(run.folder).model().decoder
    strides = [layer.stride for layer in decoder.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert strides[-4:] == [(2, 2), (2, 2), (2, 2), (1, 1)]


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
        n_norms = sum(isinstance(layer, nn.BatchNorm2d) for layer in model.encoder.modules())
        folded = fold_batch_norms(model.encoder)(pictures)
    left = sum(isinstance(layer, nn.BatchNorm2d) for layer in model.encoder.modules())
    assert left < n_norms
    assert torch.allclose(folded, expected, rtol=1e-4, atol=1e-5)
