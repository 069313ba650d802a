"""Describes, estimates and does an extraction that was planned: computes what is missing, writes files."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from saec.config import Config
from saec.extraction.on_ray import Cluster
from saec.extraction.outputs import PREFIX, Elsewhere, Outputs, State
from saec.extraction.parts import ROOM, Shard
from saec.extraction.predictions import listed_by, write_predictions
from saec.extraction.reductions import Reduced, log_clusters, reduce_features
from saec.extraction.rows import Earlier
from saec.extraction.session import ExtractionSession
from saec.extraction.sources import Source
from saec.extraction.sources.base import Computed, Fill
from saec.faults import BusyFault, Fault, number_of
from saec.features import Features
from saec.files import GB, link_or_copy, locked, remove, sha256_of, write_json, write_npz
from saec.progress import duration, progress
from saec.reduction import MAP

LOG = logging.getLogger(__name__)
TOGETHER = "shard %s is complete, another process puts all of them together"
LOOK_S = 60  # that a shard may be held by a process that only looks whether all are there


@dataclass(frozen=True)
class ExtractionJob:
    """Holds a checked session: its source, where its files go, and what exists already."""

    session: ExtractionSession
    source: Source
    outputs: Outputs
    settings: dict[str, Any]  # what must be equal for files to be the same
    state: State
    config: Config
    shard: Shard | None = None  # what this process computes; None: all, and what other processes have not
    cluster: Cluster | None = None  # of which processes encode

    @classmethod
    def beside(
        cls, session: ExtractionSession, source: Source, settings: dict, out: Outputs, config: Config
    ) -> "ExtractionJob":
        """Returns the job beside what the folder holds; raises a `Fault` if that is made otherwise."""
        outputs = out.of(id_of(session, source), settings, session.data.key)
        state = outputs.state(settings, listed_by(source), session.overwrite or source.always_anew)
        return cls(session, source, outputs, settings, state, config)

    def describe(self) -> str:
        """Returns samples, source and files in words."""
        kind, sizes = self.source.kind, self.source.sizes
        samples = number_of(sizes.n_samples, kind.samples_are)
        return (
            f"{samples} {sizes.words(sizes.front.shape)}: {kind.folder}\n"
            f"{sizes.room}\n{self.source.describe()}\n"
            f"files of {self.outputs.id} in {self.outputs.where}: {self.state}"
            + (f"\nshard {self.shard}: every {self.shard.n}th batch" if self.shard else "")
        )

    def estimate(self) -> str:
        """Returns the room and the time that new features take; the time is measured."""
        if self.state == "same":
            return ""
        earlier, n_shards = self.earlier(), self.shard.n if self.shard else 1
        seconds = None if earlier else self.source.seconds()
        time = f", about {duration(seconds / n_shards)} to encode" if seconds else ""
        there = "\nwhether it can be written there shows when the work begins" if self.outputs.bucket else ""
        return f"{self.source.n_bytes(earlier) / n_shards / GB:.2f} GB{time}{there}"

    def run(self) -> Features | Elsewhere:
        """Computes what is not there yet and returns the first array, with all files that are there now.

        A shard is computed alone; the one that ends last puts all of them together.

        Raises:
            Fault: the samples cannot be read, or another process is at work on the same features.
        """
        if not self.shard:
            return self._run_all()
        job = self._as_of_now()
        if job.state != "same":
            job.outputs.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as held:
                lock = job.outputs.of_shard(self.shard, ".lock")
                try:
                    held.enter_context(locked(lock, f"shard {self.shard} of {job.outputs.id}"))
                except BusyFault:
                    if not _is_held(job.outputs.lock):
                        raise
                    LOG.info(TOGETHER, self.shard)
                    return Elsewhere()
                folders = {one: job.outputs.of_shard(one) for one in self.shard.all()}
                if not job.source.compute_shard(self.shard, folders, job.earlier(fetch=True)):
                    words = "shard %s is complete, others are not yet: all must lie in %s"
                    LOG.info(words, self.shard, job.outputs.folder)
                    return Elsewhere()
        try:
            return self._run_all()
        except BusyFault:
            LOG.info(TOGETHER, self.shard)
            return Elsewhere()

    def _run_all(self) -> Features | Elsewhere:
        job = self._as_of_now()
        outputs = job.outputs
        if job.state == "same" and not outputs.left_over:
            LOG.info("%s: nothing to do, the files are there", outputs.id)
            return outputs.features()
        outputs.folder.mkdir(parents=True, exist_ok=True)
        with locked(outputs.lock, outputs.id), ExitStack() as held:
            outputs.publish()  # what was complete when a process was killed
            job = self._as_of_now()  # another process may have made them
            if job.outputs != outputs:
                raise Fault(f"another process has just made features {outputs.id}: call again")
            if self.shard and outputs.about.is_file() and not outputs.of_shard(self.shard).exists():
                return outputs.features()  # another process has put all of them together
            shards = outputs.shards
            for shard in shards:
                held.enter_context(_of_others(outputs, shard))
            if job.state != "same":
                LOG.info("%s", job.describe())
                earlier = job.earlier(fetch=True)
                if earlier and earlier.outputs != outputs:
                    earlier = earlier.held(outputs.part / "held")
                job._make_files(job.source.compute(outputs.part, earlier, shards, job._fill))
                outputs.publish()
            outputs.clean(shards.values())
        return outputs.features()

    @property
    def _fill(self) -> Fill | None:
        return partial(self.cluster.fill, self.session, self.config) if self.cluster else None

    def _as_of_now(self) -> "ExtractionJob":
        """Returns the same job beside the files that are there now, perhaps of a session of the same call."""
        if self.outputs.bucket:
            self.outputs.bucket.look()
        job = ExtractionJob.beside(self.session, self.source, self.settings, self.outputs, self.config)
        return replace(job, shard=self.shard, cluster=self.cluster)

    def earlier(self, fetch: bool = False) -> Earlier | None:
        """Returns files of which rows are taken, made by an earlier call or as another variant; `fetch` them
        from a bucket where they are read.
        """
        source = self.source
        if source.always_anew:
            return None
        what = (source.kind.state, source.npz, source.derived, self.session.overwrite)
        earlier = Earlier.find(self.outputs, self.settings, *what)
        for file in earlier.npz.values() if earlier and fetch else ():
            self.outputs.local(file)
        return earlier

    def _make_files(self, computed: Computed) -> None:
        """Writes the files into a folder of their own, `<id>.json` last: they are published together."""
        made, pooled = self.outputs.made, computed.arrays.get("pooled")
        remove(made.folder)
        made.folder.mkdir(parents=True, exist_ok=True)
        (self.outputs.part / ROOM).unlink(missing_ok=True)
        wanted = self.session.reduction, self.source.kind.samples_are, self.config
        reduced = reduce_features(pooled, *wanted)
        files = self._write(made, computed, reduced)
        seconds = np.diff(computed.samples.times)  # not a number where samples are no stretches of time
        about = {
            "id": made.id,
            "settings": self.settings,
            "session": self.session.model_dump(mode="json"),
            "model": str(self.source.path),
            "n_neighbors_used": reduced.n_neighbors,
            "sample_s": None if np.isnan(seconds).all() else float(np.nanmedian(seconds)),
            "band_hz": computed.band,
            "n_pictures": len(computed.samples),
            "left_out": computed.data.about["left_out"],
            "classes": list(self.source.classes),
            "fingerprint": computed.data.fingerprint,
            "versions": {name: version(name) for name in ("saec", "torch", "numpy", "umap-learn")},
            "roles": {role: file.name for role, file in files.items()},
            "files": [file.name for file in files.values()],
            "bytes": {file.name: file.stat().st_size for file in files.values()},
            "sha256": {"map": sha256_of(files["map"])} if "map" in files else {},
            **listed_by(self.source),
        }
        write_json(made.about, about)
        if pooled is not None:
            what = (len(pooled), self.source.kind.samples_are, pooled.shape[1])
            dims = ", ".join(map(str, reduced.by_dim)) or "none"
            LOG.info("%s: %d %s, %d pooled features, reductions to %s", made.id, *what, dims)
            log_clusters(computed.samples, pooled, reduced.by_dim.get(MAP))
        computed.arrays.clear()  # Windows moves no file that is mapped

    def _write(self, made: Outputs, computed: Computed, reduced: Reduced) -> dict[str, Path]:
        """Writes the files and returns them by what they are for.

        What an earlier file holds as it is becomes another name of that file.
        """
        files = {array: made.npz(words) for array, words in self.source.npz.items()}
        for array, file in computed.shared.items():
            link_or_copy(file, files[array])
        content = {array: computed.named(array) for array in files if array not in computed.shared}
        if reduction := self.session.reduction:
            for d in [d for d in reduction.dims if d in reduced.by_dim]:
                files[f"reduced_{d}"] = made.npz(f"dimred_{d}_neigh_{reduction.n_neighbors}")
                content[f"reduced_{d}"] = {"X_red": reduced.by_dim[d], "X_2D": reduced.by_dim[MAP]}
        if reduced.map:
            files["map"], content["map"] = made.npz("map"), reduced.map.arrays()
        for role, arrays in progress(content.items(), "writing", len(content), " files"):
            write_npz(files[role], **arrays, N=computed.samples.names)
        if "probabilities" in computed.arrays:
            given = computed.samples, computed.arrays["probabilities"], self.source.classes
            files |= write_predictions(made, *given, self.session.predictions, computed.band)
        self.source.draw(computed, made.figure)
        return files | ({"reconstructions": made.figure} if made.figure.exists() else {})


def _is_held(lock: Path) -> bool:
    try:
        with locked(lock, lock):
            return False
    except BusyFault:
        return True


@contextmanager
def _of_others(outputs: Outputs, shard: Shard) -> Iterator[None]:
    """Holds the lock of a shard, which another process may hold for the moment in which it looks at all."""
    try:
        with locked(outputs.of_shard(shard, ".lock"), f"shard {shard}", LOOK_S):
            yield
    except BusyFault as error:
        raise Fault(str(error)) from error


def id_of(session: ExtractionSession, source: Source) -> str:
    """Returns the id of the files, but for the name of the data where other data have it already."""
    return PREFIX + "_".join(filter(None, [source.name, session.variant]))
