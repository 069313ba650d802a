"""Residual networks: torchvision's own numbers from its weights, sizes, scales, channels."""

import pytest
import torch
import torchvision

from saec.models import MODELS, feature_shape
from saec.models.resnet import _of_torchvision

SIZES = [((1, 32, 32), (512, 1, 1)), ((3, 128, 256), (512, 1, 8)), ((1, 45, 96), (512, 1, 3))]


@torch.no_grad()
def test_a_residual_network_gives_what_torchvisions_gives_before_its_classifier():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    theirs.fc = torch.nn.Identity()
    pictures = torch.rand(2, 3, 64, 96)
    for standardise in ("none", "imagenet"):
        ours = MODELS.parse({"name": "resnet18", "standardise": standardise})((3, 64, 96)).eval()
        added = ours.encoder.load_state_dict(_of_torchvision(theirs.state_dict()), strict=False)
        assert not added.unexpected_keys and set(added.missing_keys) <= {"stem.standardise.scale"}
        mean, deviation = (
            torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        seen = pictures if standardise == "none" else (pictures - mean) / deviation
        assert torch.allclose(ours(pictures).mean(dim=(2, 3)), theirs(seen), atol=1e-5)


@pytest.mark.parametrize(("shape", "latents"), SIZES)
def test_a_residual_network_takes_any_size_from_32_on(shape, latents):
    with torch.device("meta"):
        model = MODELS.parse("resnet18")(shape)
        assert feature_shape(model, shape) == latents
        assert list(model.blocks) == ["stem", "layer1", "layer2", "layer3", "layer4", "frequency_mean"]


def test_fewer_rows_than_32_are_refused():
    with pytest.raises(ValueError, match="at least 32 rows, got 31: choose `data.fit: resize`"):
        MODELS.parse("resnet50")((1, 31, 64))
