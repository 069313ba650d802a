"""Checkpoints are written whole or not at all, whatever the disk does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from saec.faults import Fault
from saec.runs.checkpoints import read_checkpoint, write_checkpoint


def state(n: int) -> dict:
    return {"model": {"weight": torch.arange(n)}, "progress": {"epoch": n}}


@contextmanager
def files_up_to(n_bytes: int) -> Iterator[None]:
    """The system refuses to write more into a file, as a full disk does."""
    resource = pytest.importorskip("resource")
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN  # else it would end the process
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("n_bytes", [0, 1000, 79_999])
def test_a_checkpoint_that_the_disk_does_not_take_is_a_fault_and_leaves_the_old_one(tmp_path, n_bytes):
    file = tmp_path / "last.pt"
    write_checkpoint(file, state(3))
    before = file.read_bytes()
    with pytest.raises(Fault, match="last.pt cannot be written .*is the disk full.*The old one stays"):
        with files_up_to(n_bytes):
            write_checkpoint(file, state(10_000))
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    write_checkpoint(file, state(10_000))
    assert read_checkpoint(file)["progress"] == {"epoch": 10_000}


def test_a_checkpoint_holds_plain_tensors_whatever_they_were_part_of(tmp_path):
    weight = torch.nn.Linear(2, 1).weight
    nested = state(2) | {"more": [{"weight": weight}, (weight, 1.5), "text", None]}
    write_checkpoint(tmp_path / "last.pt", nested)
    one, two, *rest = read_checkpoint(tmp_path / "last.pt")["more"]
    assert torch.equal(one["weight"], weight) and not one["weight"].requires_grad
    assert torch.equal(two[0], weight) and two[1] == 1.5 and rest == ["text", None]


def test_a_flipped_bit_in_the_weights_is_a_fault(tmp_path):
    file, weights = tmp_path / "best.pt", torch.arange(1000).numpy().tobytes()
    write_checkpoint(file, state(1000))
    file.write_bytes(file.read_bytes().replace(weights, weights[:-1] + b"\1"))
    with pytest.raises(
        Fault, match="best.pt is damaged, or no checkpoint .Bad CRC-32.*restore it from a copy"
    ):
        read_checkpoint(file)
    assert read_checkpoint(file, mmap=True)["progress"] == {"epoch": 1000}  # reads no weights
