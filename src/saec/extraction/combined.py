"""A combiner answers for new samples: the features it knows are made of them, then it is asked."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from saec.config import Config, load_config
from saec.data import Dataset
from saec.data.kinds import Place, absolute
from saec.data.labels import recording_of
from saec.documents import read_mapping
from saec.evaluation.combiner import Combiner
from saec.extraction.extract import FeaturesJob, extract_features
from saec.extraction.outputs import Outputs, for_samples
from saec.extraction.plan import ExtractionPlan, beside, plan_features
from saec.extraction.predictions import write_predictions
from saec.faults import Fault, MissingFault, collect_faults, listing
from saec.features import Features
from saec.files import as_file_name, fingerprint, locked, require_writable
from saec.progress import progress
from saec.runs.find import LATEST
from saec.samples import means_per_recording
from saec.session import ExtractionSession, SessionError, load_session

REPORTS = "reports"  # where reports lie in the data folder, unless their sessions say otherwise


@dataclass(frozen=True)
class CombinedPlan:
    """A checked session: the combiner, and how each method's features are made of the new samples."""

    session: ExtractionSession
    combiner: Combiner
    recipes: dict[str, dict[str, Any]]
    plans: dict[str, ExtractionPlan]
    place: Place
    outputs: Outputs
    config: Config
    per: str = "sample"

    def describe(self) -> str:
        first = next(iter(self.plans.values()))
        return (
            f"{first.survey.n_samples:,} {first.survey.what} of {first.kind.folder}\n"
            f"classes {', '.join(self.combiner.classes)}, by {', '.join(self.plans)} together\n"
            f"predictions in {self.outputs.predictions()}"
        )

    def estimate(self) -> str:
        return ""

    def run(self) -> Features:
        return predict_combined(self, self.config)


def plan_combined(session: ExtractionSession, config: Config) -> CombinedPlan:
    """Raises a `SessionError` with every fault of the combiner, of its runs and of the samples."""
    faults: list[str] = []
    file = collect_faults(faults, "combiner", _found, session.combiner, config)
    combiner = file and collect_faults(faults, "combiner", Combiner.load, file.with_suffix(".skops"))
    recipes, per = (file and collect_faults(faults, "combiner", _recipes, file.with_suffix(".json"))) or (
        {},
        "",
    )
    place = collect_faults(faults, f"data.{session.data.key}", absolute, session.data.place, config)
    plans = {}
    recipes = {
        method: recipe | {"data": recipe["data"] | session.data.changes} for method, recipe in recipes.items()
    }
    for method, recipe in recipes.items() if place else ():
        asked = load_session(for_samples(recipe, place, Path(tempfile.gettempdir())), ExtractionSession)
        plan = collect_faults(faults, method, plan_features, asked.but(overwrite=True), config)
        plans |= {method: plan} if plan else {}
    out = collect_faults(faults, "out", config.data_path, session.out) if session.out else None
    out = out or (plans and beside(place, next(iter(plans.values())).kind)) or None
    if out:
        collect_faults(faults, "out", require_writable, out)
    if faults:
        raise SessionError(f"session {session.name}", faults)
    outputs = Outputs.of(out, as_file_name(file.stem), session.variant)
    return CombinedPlan(session, combiner, recipes, plans, place, outputs, config, per)


def predict_combined(plan: CombinedPlan, config: Config) -> Features:
    """Writes the predictions of samples and of files; X are the scores (samples, classes)."""
    outputs = plan.outputs
    outputs.folder.mkdir(parents=True, exist_ok=True)
    with locked(outputs.lock, outputs.id):
        made = {
            method: outputs.part / fingerprint(recipe, plan.place)  # after a kill the same call goes on there
            for method, recipe in plan.recipes.items()
        }
        found = {
            method: _rows(plan.recipes[method], plan.place, out, config)
            for method, out in progress(made.items(), "methods", len(made))
        }
        features = _answered(plan, found)
        shutil.rmtree(outputs.part, ignore_errors=True)
    return features


def _answered(plan: CombinedPlan, found: dict[str, Features]) -> Features:
    if plan.per == "recording":
        found = {
            method: Features(*reversed(means_per_recording(one.N, one.X))) for method, one in found.items()
        }
    _refuse_others(found)
    combiner = plan.combiner
    _, scores = combiner.predict({method: one.X for method, one in found.items()})
    shares = scores if combiner.has_probabilities else softmax(scores, axis=1)  # their order counts
    data = next(iter(plan.plans.values())).kind.open()
    data = data if plan.per == "sample" else _first_of_each(data)
    files = write_predictions(plan.outputs, data, shares, tuple(combiner.classes))
    return Features(scores, next(iter(found.values())).N, tuple(files))


def _first_of_each(data: Dataset) -> Dataset:
    """One sample for each recording: what is known of its first one, times from its first to its last."""
    recordings = [recording_of(name) for name in data.names.tolist()]
    _, first, of = np.unique(recordings, return_index=True, return_inverse=True)
    if data.times is None:
        return data.subset(first)
    spans = data.times[first]
    np.minimum.at(spans[:, 0], of, data.times[:, 0])
    np.maximum.at(spans[:, 1], of, data.times[:, 1])
    one_each = data.subset(first)
    samples = one_each.samples.but(start_s=spans[:, 0], end_s=spans[:, 1])
    return replace(one_each, samples=samples)


def _found(named: str, config: Config) -> Path:
    """A file, or `latest:<session name>`: of the newest report of that session.

    Raises:
        MissingFault: no report of it has kept a combiner.
    """
    if not named.startswith(LATEST):
        return config.data_path(named)
    name = as_file_name(named.removeprefix(LATEST))
    found = sorted((config.data / REPORTS).glob(f"*_{name}/combiner_{name}.skops"))
    if not found:
        raise MissingFault(f"no report of session {name!r} in {config.data / REPORTS} has kept a combiner")
    return found[-1]


def _recipes(about: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """How each method's features are made, in the combiner's order, and what a row is.

    Raises:
        Fault: the file says nothing of it, or some features were not made by an extraction.
    """
    if not about.is_file():
        raise MissingFault(f"no such file: {about} (it lies beside the combiner in the report's folder)")
    try:
        said = read_mapping(about)
        methods, per = {one["method"]: one["recipe"] for one in said["methods"]}, said["per"]
    except (KeyError, TypeError) as error:
        raise Fault(f"{about} does not say how its features were made ({error!r}): fit it again") from error
    foreign = [method for method, recipe in methods.items() if recipe is None]
    if foreign:
        raise Fault(
            "features of new samples cannot be made as those of other makers were; combine features that "
            f"main_02_extract.py has made in place of\n{listing(foreign)}"
        )
    return methods, per


def _rows(recipe: dict[str, Any], place: Place, out: Path, config: Config) -> Features:
    out.mkdir(parents=True, exist_ok=True)
    session = load_session(for_samples(recipe, place, out), ExtractionSession)
    made = extract_features(plan_features(session, config))
    pooled = next(file for file in made.files if file.name.startswith("pooled_"))
    found = Features.load(pooled)
    return Features(np.array(found.X), found.N)  # the file goes with its folder


def _refuse_others(found: dict[str, Features]) -> None:
    (first, one), *others = found.items()
    for method, other in others:
        if one.N.tolist() != other.N.tolist():
            raise Fault(
                f"{first} gives {len(one.N)} samples, {method} {len(other.N)}: they cut recordings into "
                "other segments, or one leaves some out; combine features of the same samples"
            )


def plan_extraction(session: ExtractionSession, config: Config) -> FeaturesJob | CombinedPlan:
    """Checks everything that can be checked before samples are read.

    Raises:
        SessionError: with every fault found, each with its key.
        Fault: the files of this id were made with other settings.
    """
    if session.combiner:
        return plan_combined(session, config)
    return FeaturesJob(**vars(plan_features(session, config)))


def extract(session: ExtractionSession | dict | Path | str, config: Config | None = None) -> Features:
    """Extracts as the session says and returns the latents, hand-crafted features, or a combiner's scores,
    with all files that are there now.

    Raises:
        Fault: the session, the run, the samples or this machine cannot do it.
    """
    return plan_extraction(load_session(session, ExtractionSession), config or load_config()).run()
