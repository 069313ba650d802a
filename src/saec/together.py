"""Lets processes learn together, as torchrun has started them, and ends all of them where one is lost."""

import json
import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from threading import Lock, Thread
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from saec.faults import Fault
from saec.processes import FAULT, INTERRUPTED, local_rank, rank, world_size

T = TypeVar("T")
LOG = logging.getLogger(__name__)
EVERY_S, SILENT_S = 5, 40  # between two signs of life, and without any after which a process counts as lost
START_S = 600  # in which all begin
LONGEST = timedelta(days=1)  # that others wait for one that gives signs of life, such as while it decodes
NUMBERS, ENDING = count(), Lock()  # of groups that this process has joined; held by the thread that ends it


class Summed(torch.autograd.Function):
    """Sums over processes, and the gradients of all of them in turn."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor) -> Tensor:
        total = numbers.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return Summed.forward(ctx, gradient)


def summed(numbers: Tensor) -> Tensor:
    """Returns sums over the processes that learn together; of one, or without learning, what is given."""
    several = distributed.is_available() and distributed.is_initialized()
    return Summed.apply(numbers) if several and torch.is_grad_enabled() else numbers


class Group:
    """Exchanges what processes that train together need of one another; one alone is a group, too."""

    def __init__(self, rank: int = 0, world_size: int = 1, store: Any = None):
        self.rank = rank
        self.world_size = world_size
        self.work = ""  # how to go on with it, in words for people
        self._store = store
        self._n_exchanged = 0

    def every(self, content: T) -> list[T]:
        """Returns what each process gives, by rank, once all have; it is what JSON can hold."""
        if self._store is None:
            return [content]
        self._n_exchanged += 1
        keys = [f"{self._n_exchanged}/{rank}" for rank in range(self.world_size)]
        self._store.set(keys[self.rank], json.dumps(content))
        return [json.loads(one) for one in self._store.multi_get(keys)]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Lets the first process of each machine go first, so that the others find what it makes."""
        if local_rank():
            self.every(None)
        yield
        if not local_rank():
            self.every(None)

    def leave(self) -> None:
        """Ends the exchange; the first process goes last, which may hold what is exchanged."""
        keys = [f"left/{rank}" for rank in range(1, self.world_size)]
        if self.rank:
            self._store.set(keys[self.rank - 1], "")
        else:
            self._store.multi_get(keys)

    def share_norms(self, module: nn.Module, device: torch.device) -> None:
        """Has batch norms see the samples of all processes, where GPUs compute them."""
        shared = self._store is not None and device.type == "cuda"
        for parent in [*module.modules()] if shared else ():
            for name, layer in parent.named_children():
                if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d):  # those of our own do it themselves
                    setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(layer))

    def parallel(self, module: nn.Module, some_unused: bool) -> nn.Module:
        """Returns a module whose gradients are means over all processes; some weights may have none."""
        if self._store is None:
            return module
        options: dict[str, Any] = {"broadcast_buffers": False, "find_unused_parameters": some_unused}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of newer versions, which call options otherwise
            return DistributedDataParallel(module, **options)

    def mean(self, number: float | Tensor, device: torch.device) -> Tensor:
        """Returns the mean of a number over all processes."""
        total = torch.as_tensor(number, dtype=torch.float32, device=device).clone()
        distributed.all_reduce(total)
        return total / self.world_size

    def settle(self, module: nn.Module) -> None:
        """Gives all processes the same buffers: those that are saved are the first one's, such as statistics
        of batch norms; others, which count something over an epoch, are summed up.
        """
        if self._store is None:
            return
        saved = module.state_dict()
        for name, buffer in module.named_buffers():
            if name in saved:
                distributed.broadcast(buffer, 0)
            else:
                distributed.all_reduce(buffer)


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Joins the processes that torchrun has started; they end together.

    Where one is lost the others end with a message and exit code 2, within a minute: at once where it has
    ended, which breaks the connection, else when signs of life have not come for some time. One that has
    not begun in `START_S` is lost, too.

    Raises:
        Fault: not all have begun by then, or the first one cannot be reached.
    """
    if world_size() == 1:
        yield Group()
        return
    try:
        store, signs, prefix = _store(START_S), _store(SILENT_S), f"group_{next(NUMBERS)}"
    except distributed.DistError as error:
        words = f"of {world_size()} processes not all have begun within {START_S / 60:.0f} minutes"
        raise Fault(f"{words}: see what the others say, and start all at once") from error
    store.set_timeout(LONGEST)
    group = Group(rank(), world_size(), distributed.PrefixStore(prefix, store))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    by_nccl = device.type == "cuda" and distributed.is_nccl_available()
    with _watched(group, distributed.PrefixStore(prefix, signs)):
        try:
            distributed.init_process_group(
                "nccl" if by_nccl else "gloo",
                store=distributed.PrefixStore(f"{prefix}_torch", store),
                rank=group.rank,
                world_size=group.world_size,
                timeout=LONGEST,
                device_id=device if by_nccl else None,
            )
            yield group
            group.every(None)  # the first one may still be writing
        except RuntimeError as error:
            if isinstance(error, distributed.DistError) or "gloo" in str(error):
                _end(group, "another one does not answer")
            raise
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
    try:
        group.leave()
    except distributed.DistError:
        _end(group, "the first one does not answer")


def _store(timeout_s: float) -> Any:
    return next(distributed.rendezvous("env://", timeout=timedelta(seconds=timeout_s)))[0]


@contextmanager
def _watched(group: Group, store: Any) -> Iterator[None]:
    """Has a thread end this process where another one gives no sign of life, or torchrun says so.

    The main thread may be waiting for others then, where it notices no signal.
    """
    here, there = socket.socketpair()
    here.settimeout(EVERY_S)
    there.setblocking(False)
    before = signal.signal(signal.SIGTERM, lambda *_: None), signal.set_wakeup_fd(there.fileno())
    thread = Thread(target=_watch, args=(group, store, here), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        there.send(b"\0")
        thread.join()
        signal.signal(signal.SIGTERM, before[0])
        signal.set_wakeup_fd(before[1])
        here.close()
        there.close()


def _watch(group: Group, store: Any, signals: socket.socket) -> None:
    """Gives signs of life until a signal 0 comes. The first process watches all others, they watch it."""
    others, interrupted = range(1, group.world_size) if group.rank == 0 else (0,), False
    signs, since = dict.fromkeys(others, 0), dict.fromkeys(others, time.monotonic())
    while True:
        try:
            number = signals.recv(1)[0]
            if number == signal.SIGTERM:
                _end(group, "another one has ended, or all were stopped")
            elif number == 0:
                return
            interrupted = number == signal.SIGINT
        except TimeoutError:
            if interrupted:
                _end(group, "it was interrupted while it waited for others", INTERRUPTED)
            try:
                _look(group, store, signs, since)
            except RuntimeError:
                _end(group, "the machine of the first one does not answer")


def _look(group: Group, store: Any, signs: dict[int, int], since: dict[int, float]) -> None:
    """Gives a sign of life, and looks for those of others: how many, and since when no more."""
    store.add(f"sign/{group.rank}", 1)
    for other, before in signs.items():
        signs[other], now = store.add(f"sign/{other}", 0), time.monotonic()
        if signs[other] != before:
            since[other] = now
        elif now - since[other] > (SILENT_S if before else START_S):  # without a sign it has not begun
            store.set("lost", str(other))
    if store.check(["lost"]):
        _end(group, f"process {store.get('lost').decode()} is lost")


def _end(group: Group, reason: str, code: int = FAULT) -> NoReturn:
    """Ends this process whatever its threads are at: files appear whole or not at all."""
    ENDING.acquire()
    LOG.error("process %d of %d ends, %s%s", group.rank, group.world_size, reason, group.work)
    os._exit(code)
