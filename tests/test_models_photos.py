"""Auto-encoders of photographs: VGG16 as torchvision has it, mirrored; residual blocks, a bottleneck."""

import pytest
import torch
import torchvision

from saec.faults import Fault
from saec.models import MODELS, feature_shape
from saec.models.base import Standardise
from saec.training.weights import fitted

ALL = [
    ({"name": "vgg16"}, (3, 256, 256), (512, 8, 8), 14_714_688),
    ({"name": "vgg16", "norm": "batch"}, (3, 64, 96), (512, 2, 3), 14_723_136),
    ({"name": "vgg16", "kernel_size": 5}, (1, 64, 64), (512, 2, 2), None),
    ({"name": "vgg16", "bottleneck": 2048}, (3, 256, 256), (2048, 1, 1), 14_714_688 + 2048 * (32_768 + 1)),
    ({"name": "residual"}, (3, 96, 96), (256, 1, 1), None),
    ({"name": "residual", "size": "medium"}, (3, 64, 64), (256, 1, 1), None),
    ({"name": "residual", "size": "large", "bottleneck": 512}, (3, 96, 64), (512, 1, 1), None),
]


@pytest.mark.parametrize(("options", "shape", "latents", "n_weights"), ALL)
def test_latents_weights_and_what_is_decoded_have_their_sizes(options, shape, latents, n_weights):
    with torch.device("meta"):
        model = MODELS.parse(options)(shape)
        assert feature_shape(model, shape) == latents
        assert model.decoder(torch.empty(2, *latents)).shape == (2, *shape)
    if n_weights:
        assert sum(weight.numel() for weight in model.encoder.parameters()) == n_weights


@torch.no_grad()
@pytest.mark.parametrize(
    ("options", "name"), [({}, "vgg16"), ({"norm": "batch"}, "vgg16_bn"), ({"bottleneck": 8}, "vgg16")]
)
def test_vgg16_gives_what_torchvisions_gives_with_its_weights(options, name, log):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)()
    theirs.features(torch.rand(2, 3, 32, 32))  # running statistics of its own
    ours = MODELS.parse({"name": "vgg16", "standardise": "none"} | options)((3, 64, 96)).eval()
    added = ours.encoder.load_state_dict(fitted(theirs.state_dict(), ours), strict=False)
    assert all(key.startswith("bottleneck.") for key in added.missing_keys)
    assert ("have no bottleneck: it starts from scratch" in log.text) == ("bottleneck" in options)
    pictures = torch.rand(2, 3, 64, 96)
    outputs = torch.nn.Sequential(*(block for key, block in ours.blocks.items() if key != "bottleneck"))(
        pictures
    )
    assert torch.allclose(outputs, theirs.eval().features(pictures), atol=1e-6)
    for freeze in (6, "all_but_head") if "bottleneck" in options else ():
        with pytest.raises(Fault, match="is frozen learns nothing: choose `start.freeze: 5` at most"):
            fitted(theirs.state_dict(), ours, freeze)


def test_frozen_blocks_of_vgg16_are_blocks_of_layers_which_standardise_first():
    model = MODELS.parse("vgg16")((3, 32, 32))
    model.freeze(2)
    frozen = {key[:6] for key, weight in model.encoder.named_parameters() if not weight.requires_grad}
    assert frozen == {"block1", "block2"} and len(model.blocks) == 5
    plain = MODELS.parse({"name": "vgg16", "standardise": "none"})((3, 32, 32))
    plain.encoder.load_state_dict(model.encoder.state_dict(), strict=False)
    pictures = torch.rand(2, 3, 32, 32)
    standardised = Standardise(3)(pictures)
    assert torch.allclose(model.eval()(pictures), plain.eval()(standardised), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", ["vgg16", "residual"])
def test_what_is_decoded_can_be_black_and_white(name):
    model = MODELS.parse(name)((3, 32, 32)).eval()
    layers = [module for module in model.decoder.modules() if isinstance(module, torch.nn.Conv2d)]
    for bias, colour in ((-200.0, 0.0), (200.0, 1.0)):
        layers[-1].bias.fill_(bias)
        assert (model.decoder(model(torch.rand(1, 3, 32, 32))) == colour).all()


def test_equal_layers_begin_with_different_weights():
    model = MODELS.parse("vgg16")((3, 32, 32))
    kernels = [layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
    same = [
        (i, j) for i, one in enumerate(kernels) for j, other in enumerate(kernels[:i]) if one.equal(other)
    ]
    assert not same


@pytest.mark.parametrize(("name", "least"), [("vgg16", 32), ("residual", 16)])
def test_sizes_are_the_multiples_below_and_small_ones_are_refused(name, least):
    with torch.device("meta"):
        model = MODELS.parse(name)((3, 2 * least + 3, 3 * least + 5))
    assert model.height == 2 * least and (model.width or model.time_pool) in (3 * least, least)
    with pytest.raises(ValueError, match=f"at least {least} x {least}, got {least - 1} x 64"):
        MODELS.parse(name)((3, least - 1, 64))
