"""Trajectories of 13 MFCC of spoken digits, and how well digits of unseen speakers are told by features."""

from functools import partial
from pathlib import Path

import librosa
import numpy as np
import soundfile
from sklearn.metrics import f1_score

from benchmarks.labelled import DEVELOPED_ON, SCORED_ON
from benchmarks.spoken import RATE, recordings_of, write_table
from saec.config import Config
from saec.evaluation.classifiers import fit_classifier
from saec.evaluation.probes import predict_fold
from saec.extraction import extract
from saec.features import Features

N_MFCC = 13
STEP = 80  # samples: 100 frames a second
WINDOW = 256
FOLDERS = {"learnt": DEVELOPED_ON, "scored": SCORED_ON}


def write_trajectories(folder: Path) -> Path:
    """Writes `<learnt or scored>/<speaker>/<recording>.npy`, each (frames, 13)."""
    for part, speakers in FOLDERS.items():
        for speaker in speakers:
            own = folder / part / speaker
            if own.exists():
                continue
            own.mkdir(parents=True)
            for path in recordings_of(speaker):
                sound, _ = soundfile.read(path, dtype="float32")
                mfcc = librosa.feature.mfcc(
                    y=sound, sr=RATE, n_mfcc=N_MFCC, n_fft=WINDOW, hop_length=STEP, n_mels=40
                )
                np.save(own / f"{path.stem}.npy", mfcc.T.astype(np.float32))
    return folder


def handcrafted_features(config: Config) -> Features:
    """Returns the 136 features of the three speakers' recordings, which no seed changes."""
    table = write_table(config.data / "scored.csv", dict.fromkeys(SCORED_ON, ""))
    session = {
        "extractor": {"name": "handcrafted", "sample_rate": RATE},
        "data": {"sounds": str(table)},
        "out": str(config.data / "crafted"),
        "reduction": None,
        "overwrite": True,
    }
    return extract(session, config)


def digits_by(features: Features) -> float:
    """Returns the macro-F1 of an SVM, tested on each speaker and trained on the other two."""
    stems = [Path(str(name)).stem for name in features.N]
    labels, groups = (np.array([stem.split("_")[part] for stem in stems]) for part in (0, 1))
    fit = partial(fit_classifier, classifier="svm", C=(1.0, 10.0), gamma=("scale", "0.1*scale"))
    rows, predicted = np.asarray(features.X_pooled, dtype=np.float64), np.empty_like(labels)
    for speaker in SCORED_ON:
        test = groups == speaker
        fold = (np.flatnonzero(~test), np.flatnonzero(test))
        predicted[test] = predict_fold(fit, rows, labels, groups, fold)
    return float(f1_score(labels, predicted, average="macro"))
