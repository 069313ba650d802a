"""What an evaluation session comes to: everything it names is found and checked before work begins."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from saec.config import Config
from saec.data.decoding import list_pictures
from saec.devices import resolve_device
from saec.extraction.outputs import made_by
from saec.faults import Fault, MissingFault, collect_faults
from saec.files import require_writable
from saec.registry import Component
from saec.report.choice import chosen_evaluations, require_column
from saec.report.combined import combined_evaluations, combined_methods
from saec.report.predictions import Predicted, read_predictions
from saec.report.sets import MAGIC, JudgedSet, read_set, refuse_alike
from saec.report.similar import own_name
from saec.report.sounds import Sounds, find_sounds
from saec.runs import Run
from saec.runs.find import LATEST, all_runs, find_run, find_trained
from saec.session import EvaluationSession, Rebuilding, SessionError
from saec.tables import require_parquet

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationPlan:
    """A checked session: its sets, runs and folders, and which evaluations each set gets."""

    session: EvaluationSession
    config: Config
    out: Path
    sets: dict[str, JudgedSet] = field(default_factory=dict)
    evaluations: dict[str, list[Component]] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)  # of pictures, to be looked through
    runs: list[Run] = field(default_factory=list)
    predicted: Predicted | None = None
    sounds: Sounds | None = None

    def __str__(self) -> str:
        parts = [str(one) for one in self.sets.values()]
        parts += [
            f"{name}: {', '.join(one.name for one in chosen)}" for name, chosen in self.evaluations.items()
        ]
        parts += [f"{name}: probes by the split that the labels give" for name in self._given_splits()]
        parts += [f"{name}: {self._combined(one)}" for name, one in self.sets.items() if self.session.combine]
        parts += ["small pixels stand beside"] if self.session.pixels and self._have_pictures() else []
        parts += [f"rebuilt by {self.session.rebuilt.run}"] if self.session.rebuilt else []
        parts += [f"pictures nearest to {self.session.similar.to}"] if self.session.similar else []
        parts += [f"to look through: {folder}" for folder in self.folders]
        parts += [f"run {run.folder.name}" for run in self.runs]
        parts += [str(one) for one in (self.predicted, self.sounds) if one]
        return "\n".join([*parts, f"report in a new folder of {self.out}"])

    def _combined(self, judged: JudgedSet) -> str:
        asked = self.session.combine
        return f"{asked.name}: {', '.join(combined_methods(asked, judged))} together, {asked.classifier}"

    def _given_splits(self) -> list[str]:
        return [name for name, one in self.sets.items() if one.known.split is not None]

    def _have_pictures(self) -> bool:
        return any(one.images for one in self.sets.values())


def check_evaluation(session: EvaluationSession, config: Config) -> EvaluationPlan:
    """Reads feature files and labels, and finds runs and folders.

    Raises:
        SessionError: with every fault found, each with its key.
    """
    faults: list[str] = []
    out = collect_faults(faults, "out", config.data_path, session.out)
    if out:
        collect_faults(faults, "out", require_writable, out)
    collect_faults(faults, "config.cache", require_writable, config.cache)
    collect_faults(faults, "config.device", resolve_device, config.device)
    if session.table == "parquet":
        collect_faults(faults, "table", require_parquet)
    collect_faults(faults, "sets", refuse_alike, "sets", list(session.judged))
    sets = {
        name: collect_faults(faults, "sets", read_set, name, one, config)
        for name, one in session.judged.items()
    }
    sets = {name: one for name, one in sets.items() if one is not None}
    chosen = {
        name: collect_faults(faults, "evaluations", chosen_evaluations, session, one)
        for name, one in sets.items()
    }
    if session.combine:
        chosen = _with_combination(session, sets, chosen, faults)
    folders = _folders(session, sets, config, faults)
    runs = collect_faults(faults, "runs", _runs, session.runs, config)
    if session.explorer and session.explorer.color:
        for name, one in sets.items():
            collect_faults(
                faults, "explorer.color", require_column, session.explorer.color, one, chosen[name]
            )
    if session.rebuilt:
        collect_faults(faults, "rebuilt", _require_rebuilt, session.rebuilt, config)
    if session.similar:
        collect_faults(faults, "similar", _require_query, session, sets, config)
    predicted = session.predictions and read_predictions(session.predictions, config, faults)
    asked = session.sounds if session.inspect or not session.features else None
    sounds = asked and collect_faults(faults, "sounds", find_sounds, asked, config)
    if faults:
        raise SessionError(f"session {session.name}", faults)
    return EvaluationPlan(session, config, out, sets, chosen, folders, runs, predicted, sounds)


def _with_combination(
    session: EvaluationSession,
    sets: dict[str, JudgedSet],
    chosen: dict[str, list[Component] | None],
    faults: list[str],
) -> dict[str, list[Component] | None]:
    """Evaluations by set, with a probe of the combination in each."""
    if not session.judged:
        faults.append("combine: features of two methods at least are combined: name `features`")
    for name, one in sets.items():
        collect_faults(faults, "combine", combined_methods, session.combine, one)
        if chosen[name] is not None:
            chosen[name] = collect_faults(faults, "combine", combined_evaluations, session, one, chosen[name])
    return chosen


def _folders(
    session: EvaluationSession, sets: dict[str, JudgedSet], config: Config, faults: list[str]
) -> list[Path]:
    if not session.inspect:
        return []
    folders = [one.images for one in sets.values() if one.images]
    if session.images and not session.features:
        folder = collect_faults(faults, "images", config.data_path, session.images)
        if folder and collect_faults(faults, "images", list_pictures, folder):
            folders.append(folder)
    return list(dict.fromkeys(folders))


def _runs(asked: tuple[str, ...], config: Config) -> list[Run]:
    """By timestamp, folder, `latest:<session>`, or a pattern of folders' names; those without scores are out.

    Raises:
        MissingFault: a pattern matches none.
    """
    found: list[Run] = []
    for one in asked:
        if one.startswith(LATEST) or not set(MAGIC) & set(one):
            found.append(find_run(one, config.models))
            continue
        matching = [run for run in all_runs(config.models) if Path(run.folder.name).match(one)]
        if not matching:
            raise MissingFault(f"no run in {config.models} is called {one}")
        found += matching
    begun = [run for run in dict.fromkeys(found) if run.progress.epoch]
    for run in dict.fromkeys(found):
        if run not in begun:
            LOG.warning("%s has not finished an epoch and is left out", run.folder.name)
    if asked and not begun:
        raise Fault("none of these runs has finished an epoch")
    return begun


def _require_rebuilt(asked: Rebuilding, config: Config) -> None:
    source = find_trained(asked.run, config)
    if source.data.kind != "images":
        raise Fault(
            f"{source.folder} has learnt from sound: pictures are rebuilt, and sound in its own figure"
        )
    if source.model(asked.weights).decoder is None:
        raise Fault(f"{source.folder} has no decoder: nothing can be rebuilt")
    list_pictures(config.data_path(asked.images))


def _require_query(session: EvaluationSession, sets: dict[str, JudgedSet], config: Config) -> None:
    """Raises a `Fault` where what is asked for is of no set, or cannot be encoded as a set's features are."""
    if not sets:
        raise Fault("nearest pictures are looked for among `features`: name some")
    to = session.similar.to
    for judged in sets.values():
        if own_name(to, judged) in judged.names:
            continue
        if not config.data_path(to).exists():
            raise MissingFault(
                f"{to} is no picture of set {judged.name} (such as {judged.names[0]}), no picture, no folder"
            )
        for table in judged.tables.values():
            made_by(table.file)
