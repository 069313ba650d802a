"""Who is measured at which work, and how many times as fast as the reference's loop each is to be."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import ours, reference
from benchmarks.contest import Entry
from benchmarks.sessions import Images, Raw, default_session, pictures_of, reference_session, same_session
from benchmarks.workers import Setup, Task
from saec.devices import resolve_precision

TRAINED_S = 5.0  # before weights encode
LARGER_BATCH = {"cuda": 128}  # of the reference's session, where that pays


@dataclass(frozen=True)
class Setting:
    """Pictures of one width, a folder to write to, and the options of the command line."""

    images: Images
    workspace: Path
    options: argparse.Namespace

    @property
    def first(self) -> Raw:
        return reference_session(self.images, self.options.model)

    def same(self, **training: Any) -> Raw:
        return same_session(self.images, self.options.model, **training)

    def default(self, **training: Any) -> Raw:
        return default_session(self.images, **training)

    def task(self, name: str, session: Raw, **more: Any) -> Task:
        """A task with a folder of its own."""
        workspace = self.workspace / name
        workspace.mkdir(parents=True)
        return Task(
            session, pictures_of(session), workspace, self.options.device, self.options.threads, **more
        )

    def entry(self, name: str, setup: Setup, session: Raw, goal: float | None = None, **more: Any) -> Entry:
        return Entry(name, setup, self.task(f"{setup.__name__}, {name}", session, **more), goal)


def loading(on: Setting) -> list[Entry]:
    """Files, or the store, to batches that a model can take."""
    return [
        on.entry("reference", reference.loading, on.first),
        on.entry("same, first pass", ours.first_pass, on.same()),
        on.entry("same, later passes", ours.later_passes, on.same()),
        on.entry("default, first pass", ours.first_pass, on.default()),
        on.entry("default, later passes", ours.later_passes, on.default()),
    ]


def training(on: Setting) -> list[Entry]:
    entries = [
        on.entry("reference", reference.training, on.first),
        on.entry("same", ours.training, on.same(), 2.5),
        on.entry("default", ours.training, on.default(), 20.0),
    ]
    batch = LARGER_BATCH.get(on.options.device.split(":")[0])
    if batch:
        entries.append(on.entry(f"same, batch {batch}", ours.training, on.same(batch_size=batch)))
    return entries


def extraction(on: Setting, runs: dict[str, Path]) -> list[Entry]:
    """Files to latents and pooled features in NPZ; in bf16 only where the device computes in it."""
    entries = [on.entry("reference", reference.extraction, on.first, run=runs["same"])]
    able = resolve_precision("auto", torch.device(on.options.device)) == "bf16"
    for name, precision, goal in (
        ("same", "bf16", 3.5),
        ("same", "fp32", 2.0),
        ("default", "bf16", 25.0),
        ("default", "fp32", None if able else 25.0),
    ):
        if precision == "bf16" and not able:
            continue
        session, what = getattr(on, name)(), {"precision": precision, "run": runs[name]}
        entries.append(on.entry(f"{name}, {precision}", ours.extraction, session, goal, **what))
    return entries


def runs(on: Setting) -> dict[str, Path]:
    """The folders of a run of each model, trained for some seconds."""
    sessions = {"same": on.same(), "default": on.default()}
    return {
        name: ours.make_run(on.task(f"run, {name}", session), TRAINED_S).folder
        for name, session in sessions.items()
    }
