"""Where it is computed: the layout that is fast there, the same numbers, and rules for the precision."""

import pytest
import torch
from conftest import TINY

from saec.devices import computing, resolve_device, resolve_precision, to_device
from saec.faults import Fault
from saec.models import MODELS

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_the_cpu_models_lie_channels_last_and_give_the_same_numbers(precision):
    torch.manual_seed(0)
    model = MODELS.parse(TINY)((3, 128, 64)).eval()
    seen = torch.rand(2, 3, 128, 64)
    with torch.no_grad():
        expected = model(seen)
        with computing(CPU, precision):
            assert torch.backends.cudnn.allow_tf32 == (precision != "fp32")
            got = to_device(model, CPU, precision)(seen)
    assert model.encoder[1][0].weight.is_contiguous(memory_format=torch.channels_last)
    limit = {"fp32": 1e-5, "bf16": 3e-2}[precision]
    assert (got.float() - expected).abs().max() <= limit * expected.abs().max()


@pytest.mark.parametrize(
    ("able", "precision"),
    [("avx512_bf16", "bf16"), ("amx_bf16", "bf16"), ("avx512_f", "fp32"), (None, "fp32")],
)
def test_auto_is_bf16_where_the_cpu_computes_in_it(monkeypatch, able, precision):
    monkeypatch.setattr("saec.devices._cpu", lambda: {able: True})
    resolved = {given: resolve_precision(given, CPU) for given in ("auto", "fp32", "bf16")}
    assert resolved == {"auto": precision, "fp32": "fp32", "bf16": "bf16"}


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="it is there")
def test_a_device_that_is_not_there_is_named_with_what_to_choose():
    with pytest.raises(Fault, match="device cuda:7 is not there .*: choose auto or cpu"):
        resolve_device("cuda:7")


@pytest.mark.parametrize(("stride", "last"), [(1, False), (2, True)])
def test_convolutions_at_full_resolution_learn_in_the_usual_layout(stride, last):
    layers = [torch.nn.Conv2d(3, 8, 3, stride=stride) for _ in range(2)]
    learning = to_device(layers[0], CPU, "fp32", learning=True)
    encoding = to_device(layers[1], CPU, "fp32")
    assert learning.weight.is_contiguous(memory_format=torch.channels_last) == last
    assert encoding.weight.is_contiguous(memory_format=torch.channels_last)
