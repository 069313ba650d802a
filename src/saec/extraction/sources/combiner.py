"""Defines the source `combiner`: a fitted classifier of features, which each method's own source computes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from saec.config import Config
from saec.documents import read_mapping
from saec.evaluation.combiner import Combiner
from saec.extraction.data import LOCATIONS, ExtractionData
from saec.extraction.rows import Earlier
from saec.extraction.sources.base import SOURCES, Computed, Source, build_source, for_samples
from saec.faults import Fault, MissingFault, collect_faults, listing
from saec.files import as_file_name, fingerprint
from saec.progress import progress
from saec.runs.find import LATEST
from saec.samples import Samples, means_per_recording, per_recording, recording_of

REPORTS = "reports"  # where reports lie in the data folder, unless their sessions say otherwise


@dataclass
class CombinerSource(Source):
    """Computes the features of each method, then the scores of the classes: `X`, (samples, classes), which
    may be decision values, and `probabilities`. A row is a recording where the combiner was fitted on those.
    """

    combiner: Combiner
    methods: dict[str, Source]
    per: str  # sample or recording

    always_anew = True

    def n_bytes(self, earlier: Earlier | None = None) -> int:
        return sum(source.n_bytes() for source in self.methods.values())

    def describe(self) -> str:
        return f"classes {', '.join(self.classes)}, by {', '.join(self.methods)} together"

    def seconds(self) -> float | None:
        return sum(filter(None, (source.seconds() for source in self.methods.values()))) or None

    def compute(self, folder: Path, earlier: Earlier | None, *elsewhere: object) -> Computed:
        """Computes method after method, each in a folder of its own within the part folder."""
        computed = {}
        for method, source in progress(self.methods.items(), "methods", len(self.methods)):
            own = folder / fingerprint(source.settings, source.data.model_dump())
            computed[method] = source.compute(own, None)
        tables = {method: _table(one, self.per) for method, one in computed.items()}
        (first, (samples, _)), *others = tables.items()
        for method, (other, _) in others:
            if samples.names.tolist() != other.names.tolist():
                raise Fault(
                    f"{first} gives {len(samples)} samples, {method} {len(other)}: they cut recordings into "
                    "other segments, or one leaves some out; combine features of the same samples"
                )
        _, scores = self.combiner.predict({method: rows for method, (_, rows) in tables.items()})
        shares = scores if self.combiner.has_probabilities else softmax(scores, axis=1)  # of the same order
        return Computed(samples, {"X": scores, "probabilities": shares}, computed[first].data)


def _table(computed: Computed, per: str) -> tuple[Samples, np.ndarray]:
    """Returns samples, or recordings, and their pooled features, (n, features)."""
    samples, pooled = computed.samples, np.array(computed.arrays["pooled"])
    if per == "sample":
        return samples, pooled
    recordings = samples.table.groupby([recording_of(name) for name in samples.names.tolist()])
    spans = recordings.agg({"file": "first", "start_s": "min", "end_s": "max"})
    columns = {column: spans[column].to_numpy() for column in spans}
    return per_recording(samples).but(**columns), means_per_recording(samples.names, pooled)[1]


@SOURCES.register("combiner")
def combiner(
    reference: str, data: ExtractionData, config: Config, faults: list[str]
) -> CombinerSource | None:
    """Builds the source of a combiner's file, or of `latest:<session name>`, that of its newest report."""
    file = collect_faults(faults, "combiner", _find, reference, config)
    fitted = file and collect_faults(faults, "combiner", Combiner.load, file.with_suffix(".skops"))
    recipes, per = (file and collect_faults(faults, "combiner", _recipes, file.with_suffix(".json"))) or (
        {},
        "",
    )
    methods: dict[str, Source] = {}
    for method, recipe in recipes.items():
        options = {key: value for key, value in recipe["data"].items() if key not in LOCATIONS}
        own = ExtractionData.model_validate(options | data.model_dump(exclude_none=True))
        of_method: list[str] = []
        if source := build_source(for_samples(recipe, data.location), own, config, of_method):
            methods[method] = source
        faults += [f"{method}: {fault}" for fault in of_method]
    if not (file and fitted and methods and methods.keys() == recipes.keys()):
        return None
    first = next(iter(methods.values()))
    settings = {"combiner": str(file)}
    files = {"X": "scores", "probabilities": "probabilities"}
    described = (as_file_name(file.stem), file, data, first.kind, first.sizes, settings, files)
    return CombinerSource(*described, fitted, methods, per, classes=tuple(fitted.classes))


def _find(reference: str, config: Config) -> Path:
    """Returns the combiner's file; raises a `MissingFault` where no report of the session has kept one."""
    if not reference.startswith(LATEST):
        return config.data_path(reference)
    name = as_file_name(reference.removeprefix(LATEST))
    files = sorted((config.data / REPORTS).glob(f"*_{name}/combiner_{name}.skops"))
    if not files:
        raise MissingFault(f"no report of session {name!r} in {config.data / REPORTS} has kept a combiner")
    return files[-1]


def _recipes(about: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """Returns how each method's features are made, in the combiner's order, and what a row is.

    Raises:
        Fault: the file does not say it, or some features were not made by an extraction.
    """
    if not about.is_file():
        raise MissingFault(f"no such file: {about} (it lies beside the combiner in the report's folder)")
    try:
        content = read_mapping(about)
        methods, per = {one["method"]: one["recipe"] for one in content["methods"]}, content["per"]
        for recipe in (recipe for recipe in methods.values() if recipe is not None):
            if len({*SOURCES.names()} & recipe.keys() - {"combiner"}) != 1:
                raise ValueError("features are of one run or extractor")
            ExtractionData.model_validate(recipe["data"])
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise Fault(f"{about} does not say how its features were made ({error!r}): fit it again") from error
    foreign = [method for method, recipe in methods.items() if recipe is None]
    if foreign:
        raise Fault(
            "features of new samples cannot be made as those of other makers were; combine features that "
            f"`saec extract` has made in place of\n{listing(foreign)}"
        )
    return methods, per
