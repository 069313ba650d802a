"""What a run predicts for one recording, in memory: classes with probabilities, or a tap of the model."""

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saec.config import Config, load_config
from saec.data import Dataset, chunks
from saec.extraction.sources import SOURCES, ExtractionData, Source
from saec.faults import Fault, MissingFault
from saec.runs import Run
from saec.runs.find import find_trained
from saec.session import SessionError, Weights


@dataclass(frozen=True)
class Prediction:
    """For each segment, in their order: `times` (segments, 2) in seconds and `features` (segments, channels,
    time); with a classifier `probabilities` (segments, classes).
    """

    times: np.ndarray
    features: np.ndarray
    classes: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None

    @property
    def segments(self) -> list[str]:
        """The likeliest class of each segment."""
        return [self.classes[index] for index in self._probabilities.argmax(axis=1)]

    @property
    def mean(self) -> dict[str, float]:
        """The mean probability over segments, by class."""
        return dict(zip(self.classes, self._probabilities.mean(axis=0).tolist(), strict=True))

    @property
    def predicted(self) -> str:
        """The likeliest class of the recording."""
        return max(self.mean, key=self.mean.get)

    @property
    def _probabilities(self) -> np.ndarray:
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
    """Encodes one recording as the run's training read its own; nothing is written.

    `run` as a session names it; `features` are the latents, or what a block gives (`tap`, `layers_dropped`).
    `segment_s` and `step_s` where a long recording is to be cut otherwise than in training.

    Raises:
        Fault: there is no such run or recording, it cannot be read, or the run does not take sound.
    """
    config = config or load_config()
    trained = run if isinstance(run, Run) else find_trained(str(run), config)
    if trained.data.target.session_key != "sounds":
        raise Fault(f"{trained.folder} takes pictures: extract features of a folder of them instead")
    if not Path(file).is_file():
        raise MissingFault(f"no such recording: {file}")
    if step_s is not None and segment_s is None and trained.data.segment_s is None:
        raise Fault("`step_s` is from the start of a segment to the next one: say `segment_s`, too")
    data = ExtractionData(sounds=str(Path(file).absolute()), segment_s=segment_s, step_s=step_s)
    options = {"weights": weights, "tap": tap, "layers_dropped": layers_dropped, "pooling": "mean"}
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="saec_predict_", ignore_cleanup_errors=True) as cache:
        config = config.model_copy(update={"cache": Path(cache)})
        chosen = SOURCES.parse({"name": "run", "precision": "fp32"} | options)
        source = chosen(str(trained.folder), data, config, faults)
        if source is None:
            raise SessionError("predict", faults)
        opened = source.sized(source.kind.open())
        times, rows = opened.samples.times, _rows(source, opened)
        opened = None  # Windows removes no file that is mapped
    return Prediction(times, rows["X"], source.classes, rows.get("probabilities"))


def _rows(source: Source, data: Dataset) -> dict[str, np.ndarray]:
    arrays = defaultdict(list)
    for rows in chunks(np.arange(len(data)), source.batch_size(data)):
        for name, array in source.rows(data, data.gather(rows, source.device), len(rows)).items():
            arrays[name].append(array.cpu().numpy())
    return {name: np.concatenate(pieces) for name, pieces in arrays.items()}
