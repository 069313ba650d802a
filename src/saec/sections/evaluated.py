"""Runs a model over samples, batch by batch, for sections that say what a run makes of them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from saec.config import Config
from saec.data import Dataset
from saec.data.batch import FrontEnd, chunks_by_length
from saec.data.kind import Kind, Location, absolute, evenly, is_remote, shared_with
from saec.devices import Precision, computing, resolve_device, resolve_precision, to_device
from saec.extraction.data import ExtractionData
from saec.faults import Fault, collect_faults, counted, listing, number_of
from saec.models import Model
from saec.progress import progress
from saec.runs import Run
from saec.runs.find import Seed
from saec.samples import Samples
from saec.sections.base import Content

AT_ONCE, FRAMES_AT_ONCE = 16, 2**14  # samples, and frames, of a batch
LEARNT = ("train", "valid")  # splits of a table that a training uses


@dataclass(frozen=True)
class Evaluated:
    """Holds a model on its device, the samples that it is given, and the content that results go into."""

    model: Model
    data: Dataset
    chosen: np.ndarray  # numbers of the samples that are evaluated
    device: torch.device
    content: Content
    precision: str

    @classmethod
    def opened(
        cls,
        options: Any,
        trained: Run | Seed,
        kind: Kind,
        choose: Callable[[Samples], np.ndarray],
        config: Config,
        content: Content,
        precision: Precision = "fp32",
    ) -> Self:
        """Opens the samples that `choose` takes, as many as the options' `limit`, in a size for the model."""
        device = resolve_device(config.device)
        precision = resolve_precision(precision, device)
        model = to_device(trained.model(options.weights), device, precision).eval()
        data = kind.open().sized_for(*model.takes)
        all_of = choose(data.samples)
        chosen = np.array(evenly(all_of, options.limit or len(all_of)))
        left_out = data.about["left_out"]
        content.remarks += counted(left_out, f"{data.samples_are} cannot be used and are left out")
        if len(chosen) < len(all_of):
            words = f"{len(chosen):,} of {len(all_of):,} {data.samples_are}, evenly spread (`limit`)"
            content.remarks.append(words)
        return cls(model, data, chosen, device, content, precision)

    def batches(self, chosen: np.ndarray, what: str) -> Iterator[tuple[np.ndarray, Tensor, Tensor | None]]:
        """Yields numbers, values and lengths of samples, of similar length together, long ones first."""
        pieces = list(chunks_by_length(chosen, self.data.n_frames, AT_ONCE, FRAMES_AT_ONCE))
        for rows in progress(pieces, what, len(pieces), " batches"):
            raw = self.data.gather(rows, self.device)
            yield rows, self.data.front(raw), self.data.lengths(raw)

    @torch.no_grad()
    def rebuilt(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Returns codes of a batch of samples of one shape, and what is decoded of them."""
        with computing(self.device, self.precision):
            codes = self.model.encode(seen)
            return codes, self.model.decode(codes).float()


def ranked(errors: np.ndarray, n: int = 1) -> dict[str, np.ndarray]:
    """Returns the rows of the n smallest errors, of n in the middle, and of the n largest, these first."""
    order = np.argsort(errors, kind="stable")
    middle = max(0, len(order) // 2 - n // 2)
    return {"best": order[:n], "middle": order[middle : middle + n], "worst": order[::-1][:n]}


def checked(
    faults: list[str],
    key: str,
    data: ExtractionData,
    trained: Run | Seed,
    model: Model | None,
    config: Config,
) -> tuple[Kind, FrontEnd] | None:
    """Returns the samples, and their front end in a size for the model; None with what is wrong noted."""

    def opened() -> Kind:
        return data.absolute(config).open(trained.folder.name, trained.data, config)

    kind = collect_faults(faults, key, opened)
    sizes = collect_faults(faults, key, kind.sizes) if kind else None
    front = collect_faults(faults, key, sizes.front.sized_for, *model.takes) if model and sizes else None
    return (kind, front) if kind and front else None


def remarks_on_learnt(
    trained: Run | Seed, kind: Kind, data: ExtractionData, split: str | None, config: Config
) -> list[str]:
    """Returns remarks on samples that the run has learnt from, or may have.

    Raises:
        Fault: samples have ids, and some are in another folder of the run's, too.
    """
    remarks: list[str] = []
    for part in LEARNT if isinstance(trained, Run) else ():
        if part == "valid" and trained.data.has_part:
            continue
        location = absolute(getattr(trained.data, part), config)
        if same_location(location, data.location, config):
            remarks.append(_own(part, split))
            continue
        try:
            learnt = trained.data.at(location, config)
        except Fault:
            words = "`data.%s` of the run cannot be read now: it may have learnt from some of these samples"
            remarks.append(words % part)
            continue
        both, are_files = shared_with(kind, learnt)
        if both:
            are = "files of" if are_files else "called like some of"
            words = f"of these samples are {are} {location}, the run's `data.{part}`"
            if hasattr(kind, "ids"):
                remedy = "leave them out, or name that folder itself"
                raise Fault(f"{number_of(len(both), words)}: {remedy}\n{listing(both)}")
            remarks += counted(both, f"{words}: if it has learnt from them, errors are too small")
    return remarks


def _own(part: str, split: str | None) -> str:
    """Returns the remark on samples of a location that the run was trained with."""
    own = f"`data.{part}`" if split is None else f"the split {split!r} of `data.{part}`"
    if split in (None, *LEARNT):
        return f"these samples are the run's own, of {own}: errors of new ones may be larger"
    return f"these samples are {own} as its table is now: were some of another split, the run has learnt them"


def same_location(one: Location, other: Location, config: Config) -> bool:
    """Returns whether two locations are the same folders and files, by their real paths."""
    pair = [absolute(location, config) for location in (one, other)]
    several = [location if isinstance(location, tuple) else (location,) for location in pair]
    real = [{path if is_remote(path) else os.path.realpath(path) for path in of} for of in several]
    return real[0] == real[1]
