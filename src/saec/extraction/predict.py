"""What a trained run says of one recording, in memory: classes with probabilities, or a tap of the model."""

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saec.config import Config, load_config
from saec.data import DATA, Cache, Dataset, chunks
from saec.devices import resolve_device, to_device
from saec.extraction.encoding import Encoder
from saec.faults import Fault, MissingFault
from saec.features import POOLINGS
from saec.models.base import blocks_kept
from saec.runs import Run
from saec.runs.find import find_trained
from saec.session import Weights


@dataclass(frozen=True)
class Prediction:
    """Of each segment, in their order: `times` (segments, 2) in seconds and `features` (segments, channels,
    time); with a classifier `probabilities` (segments, classes).
    """

    times: np.ndarray
    features: np.ndarray
    classes: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None

    @property
    def segments(self) -> list[str]:
        """The likeliest class of each segment."""
        return [self.classes[place] for place in self._chances.argmax(axis=1)]

    @property
    def mean(self) -> dict[str, float]:
        """Mean probability over segments, by class."""
        return dict(zip(self.classes, self._chances.mean(axis=0).tolist(), strict=True))

    @property
    def predicted(self) -> str:
        """The likeliest class of the recording."""
        return max(self.mean, key=self.mean.get)

    @property
    def _chances(self) -> np.ndarray:
        if self.probabilities is None:
            raise Fault("the run is no classifier: it has features, and no classes")
        return self.probabilities


def predict(
    run: Run | Path | str,
    file: Path | str,
    weights: Weights = "best",
    tap: str | None = None,
    layers_dropped: int | None = None,
    segment_s: float | None = None,
    step_s: float | None = None,
    config: Config | None = None,
) -> Prediction:
    """Listens to one recording as the run's training did; nothing is written.

    `run` as a session names it; `features` are the latents, or what a block gives (`tap`, `layers_dropped`).
    `segment_s` and `step_s` where a long recording is to be cut otherwise than in training.

    Raises:
        Fault: there is no such run or recording, it cannot be read, or the run takes pictures.
    """
    config = config or load_config()
    source = run if isinstance(run, Run) else find_trained(str(run), config)
    if not isinstance(source, Run) or source.data.kind != "audio":
        raise Fault(f"{source.folder} takes pictures: extract features of a folder of them instead")
    if not Path(file).is_file():
        raise MissingFault(f"no such recording: {file}")
    device = resolve_device(config.device)
    if step_s is not None and segment_s is None and source.data.segment_s is None:
        raise Fault("`step_s` is from the start of a segment to the next one: say `segment_s`, too")
    model, objective = source.model(weights), source.objective(weights)
    n_kept = blocks_kept(model, tap, layers_dropped, objective.head is not None)
    model = to_device(model, device, "fp32")
    with tempfile.TemporaryDirectory(prefix="saec_predict_", ignore_cleanup_errors=True) as made:
        cut = {"segment_s": segment_s, "step_s": step_s}
        cut = {key: seconds for key, seconds in cut.items() if seconds is not None}
        kind = DATA.parse(source.data.model_dump() | {"limit": None} | cut)
        data = kind(Path(file).absolute(), Cache(Path(made))).open().fitted(*model.takes)
        headed = objective.to(device) if objective.head is not None else None
        encoder = Encoder(model, data, POOLINGS.parse("mean"), device, "fp32", headed, n_kept)
        rows = _encoded(encoder, data)
        times = data.times
        data = encoder = None  # Windows removes no file that is mapped
    return Prediction(times, rows["X"], objective.classes, rows.get("probabilities"))


def _encoded(encoder: Encoder, data: Dataset) -> dict[str, np.ndarray]:
    encoder.batch_size = min(encoder.batch_size, len(data))
    pieces = defaultdict(list)
    for chosen in chunks(np.arange(len(data)), encoder.batch_size):
        for name, rows in encoder(encoder.gather(chosen), len(chosen)).items():
            pieces[name].append(rows.cpu().numpy())
    return {name: np.concatenate(rows) for name, rows in pieces.items()}
