"""Plans an extraction: checks all that can be checked before samples are read."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from saec.config import Config, load_config, require_short_name
from saec.disk import require_room
from saec.extraction.job import ExtractionJob, id_of
from saec.extraction.on_ray import Cluster
from saec.extraction.outputs import Elsewhere, Outputs
from saec.extraction.parts import Shard
from saec.extraction.reductions import Reduction, on_kept_map
from saec.extraction.session import ExtractionSession
from saec.extraction.sources import Source
from saec.extraction.sources.base import build_source
from saec.faults import Fault, collect_faults
from saec.features import Features
from saec.files import require_writable
from saec.processes import rank, world_size
from saec.session import SessionError, load_session


def plan_extraction(
    session: ExtractionSession,
    config: Config,
    shard: str | None = None,
    engine: Literal["ray"] | None = None,
    address: str | None = None,
) -> ExtractionJob:
    """Checks everything that can be checked before samples are read; `0/4` is the first shard of four.

    Raises:
        SessionError: with every fault, each with its key.
        Fault: the files of this id were made with other settings.
    """
    faults: list[str] = []
    key = f"data.{session.data.key}"
    out = collect_faults(faults, "out", Outputs.at, session.out, config) if session.out else None
    collect_faults(faults, "config.cache", require_writable, config.cache)
    data = collect_faults(faults, key, session.data.absolute, config, out and out.folder)
    others: list[str] = []
    source = build_source(dict(session), data or session.data, config, others)
    faults += [fault for fault in others if data or not fault.startswith(key)]
    if source and data and not session.out:
        beside = collect_faults(faults, "out", source.folder_beside, id_of(session, source), config)
        out = Outputs(beside) if beside else None
    if out:
        read = session.but(data=data).folders if data else []
        collect_faults(faults, "out", _require_apart, Path(out.where), source, read)
        collect_faults(faults, "out", require_writable, out.folder)
    if source:
        collect_faults(faults, "variant", require_short_name, id_of(session, source))
    reduction = _reduction(session, source, out, config, faults) if source else None
    if source and session.predictions:
        collect_faults(faults, "predictions", session.predictions.require_classes, source.classes)
    part, cluster = _processes(source, shard, engine, address, faults)
    if faults or not (source and data and out):
        raise SessionError(f"session {session.name}", faults)
    session = session.but(data=data, out=out.where, reduction=reduction)
    wanted = session.model_dump(mode="json")
    settings = wanted["data"] | source.settings | {"reduction": wanted["reduction"]}
    settings |= {"predictions": wanted["predictions"]} if session.predictions else {}
    resolved = {key: settings[key] for key in ("precision", "pooling") if key in settings}
    job = ExtractionJob.beside(session.but(**resolved), source, settings, out, config)
    job = replace(job, shard=part, cluster=cluster)
    if reduction and reduction.like == job.outputs.address:
        raise Fault(f"reduction.like: {job.outputs.id} are these features: choose a `variant:` word for them")
    if job.state != "same":
        _require_room(job, out)
    return job


def _reduction(
    session: ExtractionSession, source: Source, out: Outputs | None, config: Config, faults: list[str]
) -> Reduction | None:
    """Returns the session's reduction, on the map that it names, if any."""
    reduction = session.reduction
    if "pooled" not in source.npz and reduction and "reduction" in session.stated:
        faults.append("reduction: a combiner gives scores of classes, which are not reduced: leave it out")
    if "pooled" not in source.npz or not (out and reduction and reduction.like):
        return reduction
    given = reduction.like, reduction, source, out, config
    return collect_faults(faults, "reduction.like", on_kept_map, *given)


def _require_room(job: ExtractionJob, out: Outputs) -> None:
    """Raises a `Fault` where the disk has no room for the files, or a bucket cannot be written to."""
    part = job.shard
    folder = job.outputs.of_shard(part) if part else job.outputs.part
    taken = sum(file.stat().st_size for file in folder.glob("*.npy"))  # by an interrupted call
    n_bytes = int(job.source.n_bytes(job.earlier()) * (1 / part.n if part else 2))
    require_room(out.folder, max(0, n_bytes - taken), "features and what they are assembled from")
    if out.bucket:
        out.bucket.require_writable()


def _require_apart(out: Path, source: Source | None, read: list[str]) -> None:
    """Raises a `Fault` where the folder holds the samples themselves."""
    deep = source and getattr(source.kind, "recursive", False)  # figures would be taken for pictures
    if source and {*map(Path, read)} & {out, *(out.parents if deep else ())}:
        holds = f"holds the {source.kind.samples_are} themselves"
        raise Fault(f"{out} {holds}: choose another folder, or null for the one above it")


def _processes(
    source: Source | None, shard: str | None, engine: str | None, address: str | None, faults: list[str]
) -> tuple[Shard | None, Cluster | None]:
    """Returns the shard that this process computes, or the cluster that encodes; both None for one alone."""
    cluster = collect_faults(faults, "--engine", Cluster, address) if engine else None
    if address and not engine:
        faults.append("--address: is that of a Ray cluster: add --engine ray")
    if not (shard or engine) and world_size() > 1:
        shard = f"{rank()}/{world_size()}"
    part = collect_faults(faults, "--shard", Shard.parse, shard) if shard else None
    if (part or cluster) and source and source.always_anew:
        words = "one process computes a combiner's scores: leave them out, and torchrun"
        faults.append(f"--shard, --engine: {words}")
    if part and cluster:
        faults.append("--shard: a cluster parts the work itself: leave it out")
    return part, cluster


def extract(
    session: ExtractionSession | dict | Path | str,
    config: Config | None = None,
    shard: str | None = None,
    engine: Literal["ray"] | None = None,
    address: str | None = None,
) -> Features | Elsewhere:
    """Extracts as the session says and returns latents, hand-crafted features, or a combiner's scores, with
    all files that are there now; of those in a bucket their addresses.

    Of several processes each may compute one `shard`, `0/4` to `3/4`; the one that ends last returns
    features. With `engine="ray"` processes of a Ray cluster, at its `address`, encode for this one.

    Raises:
        Fault: the session, the run, the samples or this machine cannot do it.
    """
    session, config = load_session(session, ExtractionSession), config or load_config()
    return plan_extraction(session, config, shard, engine, address).run()
