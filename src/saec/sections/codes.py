"""Evaluates a run on samples: errors, codes, weights, spectra, a low-pass sweep, and what a shift does."""

import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, NonNegativeInt

from saec.config import Config
from saec.data.kind import Kind, Location, absolute, evenly, is_remote, shared_with
from saec.devices import resolve_device, to_device
from saec.extraction.sources.base import ExtractionData
from saec.faults import Fault, counted, listing, number_of
from saec.registry import Strict, as_list
from saec.runs import Run
from saec.runs.find import Seed, find_trained
from saec.samples import Samples
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.codes_work import MEANING, Evaluated, column_names
from saec.session import Count, Weights

N_COLUMNS = 4  # that are drawn where the session names none
LEARNT = ("train", "valid")  # splits of a table that a training uses
Columns = Annotated[tuple[NonNegativeInt | str, ...], BeforeValidator(as_list)]


class EvaluatedCodes(Strict):
    """Names a run, the samples that it is evaluated on, and what is measured.

    `columns` are drawn over time, by number or name; `cutoffs` are those of the low-pass sweep; samples are
    moved by 1 to `shifts` frames. 0 leaves the sweep, or shifts, out. `split`: of a table, such as test.
    """

    run: str
    data: ExtractionData
    weights: Weights = "best"
    columns: Columns = ()
    cutoffs: Annotated[int, Field(ge=0, le=1000)] = 20
    shifts: Annotated[int, Field(ge=0, le=1000)] = 20
    limit: Count | None = None
    split: str | None = None

    @property
    def images(self) -> str | None:
        """Returns the folder of pictures, where it is one."""
        images = getattr(self.data, "images", None)
        return images if isinstance(images, str) else None


@SECTIONS.register("codes")
class Codes:
    """Writes codes.csv, codes_columns.csv, weight_norms.csv, metrics.json, curves and figures."""

    position = 85

    def __init__(self, inputs: Inputs, *, codes: EvaluatedCodes | None = None):
        self.options, self.trained, self.kind, self.remarks = codes, None, None, []
        if codes:
            self.trained = inputs.check("codes.run", find_trained, codes.run, inputs.config)
            self.config = inputs.config
        if self.trained:
            key = f"codes.data.{codes.data.key}"
            self.kind = inputs.check(key, _open, codes, self.trained, inputs.config)
            model = inputs.check("codes.weights", self.trained.model, codes.weights)
            sizes = self.kind and inputs.check(key, self.kind.sizes)
            front = model and sizes and inputs.check(key, sizes.front.sized_for, *model.takes)
            if front:
                inputs.check("codes.columns", _chosen_columns, codes.columns, front)
                inputs.check("codes.split", _chosen_samples, codes.split, self.kind.samples)
                self.remarks = inputs.check(key, _compare_with_learnt, self) or []

    def describe(self) -> list[str]:
        if not self.options:
            return []
        n = len(_chosen_samples(self.options.split, self.kind.samples))
        samples = f"{number_of(n, self.kind.samples_are)} of {self.kind.folder}"
        return [f"codes of {self.trained.folder.name}: {samples}", *self.remarks]

    def write(self, folder: Path) -> list[Content]:
        name = self.trained.folder.name
        content = Content(f"Codes by {name}", folder, list(self.remarks))
        evaluated, options = self._evaluated(content), self.options
        measures, table = evaluated.measured(evaluated.model, evaluated.chosen)
        summary = measures.summary()
        evaluated.write_lowpass(options.cutoffs)
        if options.shifts and (sensitivity := evaluated.write_shifts(options.shifts)) is not None:
            summary["shift_sensitivity"] = sensitivity
        content.findings.append(_sentence(name, summary, evaluated.data.samples_are))
        if "mse" in summary and summary["mse"] >= measures.mse_of_mean:
            mean = f"no smaller than {measures.mse_of_mean:.3g}, that of the mean of each column"
            content.doubts.append(f"the error of {name}, {summary['mse']:.3g}, is {mean}")
        content.doubts += [remark.partition(":\n")[0] for remark in self.remarks]
        words = f"Means of all samples ({MEANING}; by_file: the mean over files of what each file has)"
        content.tables[words] = pd.DataFrame([summary])
        evaluated.write_spectra(measures)
        evaluated.write_samples(measures, table)
        evaluated.write_weights(summary)
        if isinstance(self.trained, Run):
            evaluated.write_training(self.trained)
        evaluated.draw_samples(table, _chosen_columns(options.columns, evaluated.data.front))
        return [content]

    def _evaluated(self, content: Content) -> Evaluated:
        device = resolve_device(self.config.device)
        model = to_device(self.trained.model(self.options.weights), device, "fp32").eval()
        data = self.kind.open().sized_for(*model.takes)
        all_of = _chosen_samples(self.options.split, data.samples)
        chosen = np.array(evenly(all_of, self.options.limit or len(all_of)))
        left_out = data.about["left_out"]
        content.remarks += counted(left_out, f"{data.samples_are} cannot be used and are left out")
        if len(chosen) < len(all_of):
            words = f"{len(chosen):,} of {len(all_of):,} {data.samples_are}, evenly spread (`limit`)"
            content.remarks.append(words)
        return Evaluated(model, data, chosen, device, content)


def _open(options: EvaluatedCodes, trained: Run | Seed, config: Config) -> Kind:
    return options.data.absolute(config).open(trained.folder.name, trained.data, config)


def _compare_with_learnt(section: "Codes") -> list[str]:
    """Returns remarks on samples that the run has learnt from, or may have.

    Raises:
        Fault: samples have ids, and some are in another folder of the run's, too.
    """
    trained, config, remarks = section.trained, section.config, []
    given = section.options.data.absolute(config).location
    for part in LEARNT if isinstance(trained, Run) else ():
        if part == "valid" and trained.data.has_part:
            continue
        location = absolute(getattr(trained.data, part), config)
        if _resolved(location) == _resolved(given):
            remarks.append(_own(part, section.options.split))
            continue
        try:
            learnt = trained.data.at(location, config)
        except Fault:
            words = "`data.%s` of the run cannot be read now: it may have learnt from some of these samples"
            remarks.append(words % part)
            continue
        both, are_files = shared_with(section.kind, learnt)
        if both:
            are = "files of" if are_files else "called like some of"
            words = f"of these samples are {are} {location}, the run's `data.{part}`"
            if hasattr(section.kind, "ids"):
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


def _resolved(location: Location) -> set[str]:
    several = location if isinstance(location, tuple) else (location,)
    return {one if is_remote(one) else os.path.realpath(one) for one in several}


def _chosen_samples(split: str | None, samples: Samples) -> np.ndarray:
    """Returns the numbers of the samples of that split, or of all; raises a `Fault` where there are none."""
    chosen = np.flatnonzero(np.full(len(samples), split is None) | (samples.splits == split))
    if not len(chosen):
        there = ", ".join(map(str, np.unique(samples.splits[samples.splits != ""]))) or "none"
        raise Fault(f"no sample is of the split {split!r} of a table: there are {there}")
    return chosen


def _chosen_columns(wanted: Columns, front: Any) -> list[int]:
    """Returns the numbers of columns to draw; raises a `Fault` where one is not there."""
    names = column_names(front)
    missing = [one for one in wanted if (one not in names if isinstance(one, str) else one >= len(names))]
    if missing:
        words = f"no column {missing[0]!r}: there are {len(names)} that the run takes (0 is the first)"
        raise Fault(f"{words}, {', '.join(names[:20])}")
    chosen = [names.index(one) if isinstance(one, str) else one for one in wanted]
    return chosen or evenly(range(len(names)), N_COLUMNS)


def _sentence(name: str, summary: dict[str, float], what: str) -> str:
    """Returns the finding for the top of the report."""
    parts = [f"{summary['sparsity']:.1%} zeros in the codes"]
    if "mse" in summary:
        parts.insert(0, f"a mean squared error of {summary['mse']:.3g} (of what the model sees)")
    if (sensitivity := summary.get("shift_sensitivity")) is not None:
        parts.append(f"a shift sensitivity of {sensitivity:.3g} (0: codes only move along with the input)")
    return f"{name} has {', '.join(parts)}, on {number_of(summary['files'], what)}."
