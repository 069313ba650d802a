"""Manages a run: a folder with everything about one training, its session, weights and scores."""

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from saec.data.kind import DataOptions
from saec.documents import read_mapping, to_yaml
from saec.faults import Fault, MissingFault
from saec.files import (
    link_or_copy,
    move_to_timestamp,
    require_writable,
    temporary_folder,
    write_text,
)
from saec.models import Model, feature_shape
from saec.objectives import Objective
from saec.registry import Component
from saec.runs.checkpoints import read_checkpoint, suitable, write_checkpoint
from saec.samples import Samples
from saec.session import TrainingSession, Weights, load_session
from saec.tables import write_table
from saec.upgrade import upgrade_run


@dataclass
class Progress:
    """Holds the progress of a training, which is saved with the weights."""

    epoch: int = 0  # finished ones
    best: float = float("inf")
    loss: float = float("inf")  # validation loss of the best
    best_epoch: int = 0
    waited: int = 0  # epochs since the best
    stopped: bool = False
    finished: bool = False
    phase: int = 0  # of the objective, in which the last epoch was
    lowest: float = float("inf")  # loss of that phase, where it keeps no best

    def update(
        self, score: float, loss: float, rising: bool = False, phase: int = 0, keeps_best: bool = True
    ) -> bool:
        """Counts an epoch and returns whether it is the best so far.

        The best has the lowest score, or the highest (`rising`); of equal ones that with the lowest loss,
        which ends no waiting. The first epoch of a new phase is better than all before. Epochs of a phase
        that does not keep the best are compared by loss with one another.
        """
        first = not self.best_epoch or phase != self.phase
        better = first or (score > self.best if rising else score < self.best)
        improved = better or (score == self.best and loss < self.loss)
        if not keeps_best:
            better = improved = first or loss < self.lowest
            self.lowest = min(loss, float("inf") if first else self.lowest)
        self.phase = phase
        self.epoch += 1
        self.waited = 0 if better else self.waited + 1
        if improved and keeps_best:
            self.best, self.loss, self.best_epoch = score, loss, self.epoch
        return improved


TIMESTAMP = re.compile(r"\d{8}_\d{6}")
FOLDER = re.compile(rf"(?P<timestamp>{TIMESTAMP.pattern})_(?P<name>.+)")
SESSION, HISTORY, REBUILT = "session.yaml", "history.csv", "reconstructions.png"
SPLIT = "split.csv"  # file, label, group and split (train, valid) of each sample
PARTS = (("input_shape", list), ("classes", list), ("train", dict), ("valid", dict))  # of a record


@dataclass(frozen=True)
class Run:
    """Is the folder of a training, finished or not."""

    folder: Path

    @classmethod
    def create(
        cls,
        models: Path,
        session: TrainingSession,
        record: dict[str, Any],
        split: dict[str, Samples] | None = None,
    ) -> "Run":
        """Makes a new folder `<timestamp>_<session>`; no two runs share a timestamp, whoever makes them."""
        require_writable(models)
        with temporary_folder(models) as part:
            content = session.model_dump(mode="json") | {"record": record}
            write_text(part / SESSION, to_yaml(content))
            if split:
                rows = pd.concat(samples.but(split=side).table for side, samples in split.items())
                write_table(part / SPLIT, rows[["label", "group", "split"]].reset_index(names="file"))
            return cls(move_to_timestamp(part, models, f"*_{session.name}"))

    @classmethod
    def at(cls, folder: Path) -> "Run | None":
        """Returns the run in that folder, if it is one."""
        folder = folder.absolute()
        return cls(folder) if FOLDER.fullmatch(folder.name) and (folder / SESSION).is_file() else None

    @property
    def paths(self) -> list[Path]:
        return [self.folder]

    @property
    def lock(self) -> Path:
        """Returns the lock file that the training process holds."""
        return self.folder / ".lock"

    @property
    def timestamp(self) -> str:
        return self._named["timestamp"]

    @property
    def name(self) -> str:
        return self._named["name"]

    @property
    def _named(self) -> re.Match[str]:
        match = FOLDER.fullmatch(self.folder.name)
        assert match  # as it was looked for by this pattern
        return match

    @cached_property
    def _document(self) -> dict[str, Any]:
        return read_mapping(self.folder / SESSION)

    @cached_property
    def record(self) -> dict[str, Any]:
        """Returns what was recorded at the start: versions, device, sizes, colour map, validation groups.

        Raises:
            Fault: the session file does not hold it.
        """
        record = self._document.get("record")
        record = record if isinstance(record, dict) else {}
        whole = all(isinstance(record.get(k, kind()), kind) for k, kind in PARTS)
        sizes = record.get("input_shape") if whole else None
        if not sizes or not all(type(size) is int and 0 < size < 1 << 31 for size in sizes):
            file = self.folder / SESSION
            raise Fault(f"{file} lacks its `record`, or it is damaged: restore it from a copy")
        return record

    @cached_property
    def session(self) -> TrainingSession:
        raw = {key: value for key, value in self._document.items() if key != "record"}
        title = str(self.folder / SESSION)
        session = load_session(upgrade_run(raw), TrainingSession, title=title).named(self.name)
        if session.model is None:
            raise Fault(f"{title} lacks its `model`: restore it from a copy")
        return session

    @property
    def data(self) -> DataOptions:
        """Returns the data options, with which other data can be read in the same way."""
        return self.session.data

    @property
    def exported(self) -> list[Path]:
        """Returns the files that an export leaves; TorchScript is named as the reference names it."""
        kind, name = self.session.training.export, self.architecture.name
        if kind != "torchscript":
            return [self.folder / f"encoder.{kind}"] if kind else []
        words = f"script_{name}_epo{self.progress.best_epoch:03d}.pth"
        parts = ("encoder", "decoder") if self._file("best").exists() and self._has_decoder else ("encoder",)
        return [self.folder / f"{self.timestamp}_{part}_{words}" for part in parts]

    @property
    def _decodes(self) -> bool:
        return self.session.objective.target.decodes(self.session.objective)

    @property
    def closed(self) -> bool:
        """Returns whether everything that a finished run leaves is there."""
        made = [self.folder / REBUILT] if self._has_decoder else []  # which comes after the history
        return all(file.exists() for file in (*made, *self.exported))

    @property
    def _has_decoder(self) -> bool:
        keys = read_checkpoint(self._file("best"), mmap=True)["model"]
        return self._decodes and any(key.startswith("decoder.") for key in keys)

    @property
    def architecture(self) -> Component:
        return self.session.architecture

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Returns the shape of one sample as the model takes it, (channels, height, width)."""
        return tuple(self.record["input_shape"])

    @property
    def channels(self) -> int:
        return self.input_shape[0]

    @property
    def colormap(self) -> str | None:
        return self.record.get("train", {}).get("colormap")

    @property
    def middle(self) -> float | None:
        """Returns how much more happens in the middle of training samples than at their ends."""
        middle = self.record.get("train", {}).get("middle")
        return middle if isinstance(middle, float) else None

    @property
    def progress(self) -> Progress:
        """Returns the progress; before the first epoch has ended it is empty."""
        file = self._file("last")
        if not file.exists():
            return Progress()
        with suitable(file):
            return Progress(**read_checkpoint(file, mmap=True)["progress"])

    def which(self, weights: Weights, state: dict[str, Any] | None = None) -> str:
        """Returns words that differ when the weights do, such as after more epochs; `state` is what `load`
        has given: a training that goes on may have replaced the file since.
        """
        with suitable(self._file(weights)):
            return f"{weights}, epoch {Progress(**(state or self.load(weights))['progress']).epoch}"

    def model(self, weights: Weights = "best", state: dict[str, Any] | None = None) -> Model:
        """Returns the trained model on the CPU, ready to encode; without a decoder that was not learnt."""
        with suitable(self._file(weights)):
            model = self.architecture(self.input_shape)
            model.load_state_dict((state or self.load(weights))["model"])
        model.decoder = model.decoder if self._decodes else None
        return model.eval()

    def objective(self, weights: Weights = "best", state: dict[str, Any] | None = None) -> Objective:
        """Returns the objective with its trained head, on the CPU."""
        features = feature_shape(self.architecture(self.input_shape), self.input_shape)
        with suitable(self._file(weights)):
            objective = self.session.objective(features, tuple(self.record["classes"]))
            objective.load_state_dict((state or self.load(weights))["objective"])
        return objective.eval()

    def save(
        self, name: Weights, parts: dict[str, Any], progress: Progress, history: list[dict], also: str = ""
    ) -> None:
        """Saves the state dicts of `parts`, all tensors as CPU tensors; of the best without the learner's.

        `also` is another name that the same weights are to have.
        """
        kept = [key for key in parts if name == "last" or key != "learner"]
        states = {key: parts[key].state_dict() for key in kept}
        write_checkpoint(self._file(name), states | {"progress": asdict(progress), "history": history})
        if also:
            link_or_copy(self._file(name), self._file(also))

    def load(self, name: Weights) -> dict[str, Any]:
        """Returns the saved state: state dicts by part, `progress`, `history`.

        Raises:
            MissingFault: the run has not finished an epoch yet.
        """
        self.require(name)
        return read_checkpoint(self._file(name))

    def require(self, name: Weights) -> None:
        """Raises a `MissingFault` where the run has no such weights, with those that it has."""
        if not self._file(name).exists():
            there = ", ".join(sorted(file.stem for file in self.folder.glob("*.pt")))
            reason = f"it has the weights {there}" if there else "its first epoch was not finished"
            raise MissingFault(f"{self.folder} has no {name}.pt: {reason}")

    def refuse_other(self, sides: dict[str, dict[str, Any]]) -> None:
        """Raises a `Fault` where the samples of a side are not those the run was made with."""
        for part, now in sides.items():
            before = self.record.get(part, {})
            if any(before.get(key) != now.get(key) for key in ("fingerprint", "n", "groups", "labels")):
                raise Fault(
                    f"the {part} samples or their groups have changed since {self.folder} was begun, "
                    "or another version began it: put them back to go on, or begin a new run with "
                    f"`start: {{weights_of: {self.timestamp}, weights: last}}`"
                )

    def lengthen(self, epochs: int) -> None:
        """Writes another total of epochs into the session; what closed the shorter run is made again."""
        for closing in (self.folder / REBUILT, *self.exported):
            closing.unlink(missing_ok=True)
        document = read_mapping(self.folder / SESSION)
        document["training"]["epochs"] = epochs
        write_text(self.folder / SESSION, to_yaml(document))

    def write_history(self, history: list[dict[str, float]]) -> None:
        import pandas as pd  # a third of a second to import

        table = pd.DataFrame(history).to_csv(index=False, lineterminator="\n", na_rep="nan")
        write_text(self.folder / HISTORY, table)

    def _file(self, name: Weights) -> Path:
        return self.folder / f"{name}.pt"
