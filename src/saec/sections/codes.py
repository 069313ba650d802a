"""Evaluates a run on samples: errors, codes, weights, spectra, a low-pass sweep, and what a shift does."""

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, NonNegativeInt

from saec.data.batch import FrontEnd
from saec.data.kind import Kind, evenly
from saec.extraction.data import ExtractionData
from saec.faults import Fault, number_of
from saec.registry import Strict, as_list
from saec.runs import Run
from saec.runs.find import Seed, find_trained
from saec.samples import Samples
from saec.sections.base import SECTIONS, Content, Inputs
from saec.sections.codes_work import MEANING, EncodedSamples, column_names
from saec.sections.evaluated import checked, remarks_on_learnt
from saec.session import Count, Weights

N_COLUMNS = 4  # that are drawn where the session names none
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
        self.config = inputs.config
        self.planned: list[tuple[EvaluatedCodes, Run | Seed, Kind, list[str]]] = []  # with remarks
        trained = inputs.check("codes.run", find_trained, codes.run, inputs.config) if codes else None
        if codes and trained:
            key = f"codes.data.{codes.data.key}"
            model = inputs.check("codes.weights", trained.model, codes.weights)
            if opened := checked(inputs.faults, key, codes.data, trained, model, inputs.config):
                kind, front = opened
                inputs.check("codes.columns", _chosen_columns, codes.columns, front)
                inputs.check("codes.split", _chosen_samples, codes.split, kind.samples)
                given = (trained, kind, codes.data, codes.split, inputs.config)
                remarks = inputs.check(key, remarks_on_learnt, *given) or []
                self.planned = [(codes, trained, kind, remarks)]

    def describe(self) -> list[str]:
        lines = []
        for options, trained, kind, remarks in self.planned:
            n = len(_chosen_samples(options.split, kind.samples))
            samples = f"{number_of(n, kind.samples_are)} of {kind.folder}"
            lines += [f"codes of {trained.folder.name}: {samples}", *remarks]
        return lines

    def write(self, folder: Path) -> list[Content]:
        return [self._written(folder, *one) for one in self.planned]

    def _written(
        self, folder: Path, options: EvaluatedCodes, trained: Run | Seed, kind: Kind, remarks: list[str]
    ) -> Content:
        name = trained.folder.name
        content = Content(f"Codes by {name}", folder, list(remarks))
        choose = partial(_chosen_samples, options.split)
        evaluated = EncodedSamples.opened(options, trained, kind, choose, self.config, content)
        measures, table = evaluated.measured(evaluated.model, evaluated.chosen)
        summary = measures.summary()
        evaluated.write_lowpass(options.cutoffs)
        if options.shifts and (sensitivity := evaluated.write_shifts(options.shifts)) is not None:
            summary["shift_sensitivity"] = sensitivity
        content.findings.append(_sentence(name, summary, evaluated.data.samples_are))
        if "mse" in summary and summary["mse"] >= measures.mse_of_mean:
            mean = f"no smaller than {measures.mse_of_mean:.3g}, that of the mean of each column"
            content.doubts.append(f"the error of {name}, {summary['mse']:.3g}, is {mean}")
        content.doubts += [remark.partition(":\n")[0] for remark in remarks]
        words = f"Means of all samples ({MEANING}; by_file: the mean over files of what each file has)"
        content.tables[words] = pd.DataFrame([summary])
        evaluated.write_spectra(measures)
        evaluated.write_samples(measures, table)
        evaluated.write_weights(summary)
        if isinstance(trained, Run):
            evaluated.write_training(trained)
        evaluated.draw_samples(table, _chosen_columns(options.columns, evaluated.data.front))
        return content


def _chosen_samples(split: str | None, samples: Samples) -> np.ndarray:
    """Returns the numbers of the samples of that split, or of all; raises a `Fault` where there are none."""
    chosen = np.flatnonzero(np.full(len(samples), split is None) | (samples.splits == split))
    if not len(chosen):
        there = ", ".join(map(str, np.unique(samples.splits[samples.splits != ""]))) or "none"
        raise Fault(f"no sample is of the split {split!r} of a table: there are {there}")
    return chosen


def _chosen_columns(wanted: Columns, front: FrontEnd) -> list[int]:
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
    return f"{name} has {', '.join(parts)}, on {number_of(int(summary['files']), what)}."
