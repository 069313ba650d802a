"""Computes the batches of an extraction on a cluster, by Ray Data; this process writes the rows that come."""

import io
import logging
import platform
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from saec.config import Config
from saec.data import Dataset
from saec.extraction.parts import Part
from saec.extraction.session import ExtractionSession
from saec.extraction.sources.base import Source, build_source
from saec.faults import Fault, KeptFault
from saec.progress import progress

ANSWER_S = 10


@dataclass(frozen=True)
class Cluster:
    """Is a Ray cluster by its address; without one, the processes of this machine."""

    address: str | None = None

    def __post_init__(self) -> None:
        if not find_spec("ray"):
            raise Fault('Ray is not installed: pip install "ray[data]"')

    def fill(
        self, session: ExtractionSession, config: Config, source: Source, part: Part, data: Dataset
    ) -> None:
        """Has processes of the cluster encode the batches that are missing, and writes them as they come.

        Where such a process is lost, another one encodes its batches.

        Raises:
            KeptFault: the cluster does not answer, or samples cannot be read there.
        """
        missing = np.flatnonzero(~part.done).tolist()
        if not missing:
            return
        import ray

        logging.getLogger("ray").setLevel(logging.WARNING)
        own = not ray.is_initialized()
        where = f"the Ray cluster {self.address or 'of this machine'}"
        try:
            if own:
                self._require_answer()
                ray.init(self.address, configure_logging=False)
        except (RuntimeError, OSError, ValueError) as error:
            raise KeptFault(f"{where} does not answer: {error}") from error
        try:
            encoded = _encoded(source, part, missing, (session, config, data.fingerprint))
            for row in progress(encoded, "extracting", len(missing), " batches"):
                batch = int(row["batch"])
                rows = np.load(io.BytesIO(row["rows"]))
                part.add((batch, {name: torch.from_numpy(rows[name]) for name in rows}))
        except ray.exceptions.RayError as error:
            raise KeptFault(f"{where}: {getattr(error, 'cause', None) or error}") from error
        finally:
            part.settle()
            if own:
                ray.shutdown()

    def _require_answer(self) -> None:
        """Raises an `OSError` where nobody listens at a host and port: Ray would try for minutes."""
        host, _, port = (self.address or "").removeprefix("ray://").rpartition(":")
        if port.isdigit():
            socket.create_connection((host, int(port)), ANSWER_S).close()


def _encoded(source: Source, part: Part, missing: list[int], given: tuple) -> Any:
    """Yields rows with a number of a `batch` and its `rows` as bytes, in any order."""
    import ray

    there = ray.cluster_resources()
    by_gpu = source.device.type == "cuda" and there.get("GPU", 0) >= 1
    most = max(1, min(int(there.get("GPU" if by_gpu else "CPU", 1)), len(missing)))
    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [{"batch": batch, "samples": part.batches[batch].tolist()} for batch in missing]
    takes: dict[str, Any] = {"num_gpus": 1} if by_gpu else {"num_cpus": 1}
    batches = ray.data.from_items(items, override_num_blocks=len(items))
    return batches.map_batches(
        Encoder,
        fn_constructor_args=given,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        **takes,
    ).iter_rows()


class Encoder:
    """Encodes batches in a process of the cluster, which opens samples and model once."""

    def __init__(self, session: ExtractionSession, config: Config, fingerprint: str):
        torch.set_num_threads(1)
        faults: list[str] = []
        source = build_source(dict(session), session.data, config, faults)
        if source is None:
            raise Fault(f"{platform.node()}: " + "; ".join(faults))
        self.source, self.data = source, source.sized(source.kind.open())
        if self.data.fingerprint != fingerprint:
            raise Fault(f"{platform.node()} has other samples (sizes or times) in {source.kind.folder}")

    def __call__(self, given: dict[str, Any]) -> dict[str, Any]:
        samples, file = np.asarray(given["samples"][0]), io.BytesIO()
        stored = self.source.gather(samples, self.data)
        rows = self.source.rows(self.data, stored, len(samples))
        arrays = {name: values.float().cpu().numpy() for name, values in rows.items()}
        np.savez(file, allow_pickle=False, **arrays)
        return {"batch": given["batch"], "rows": [file.getvalue()]}
