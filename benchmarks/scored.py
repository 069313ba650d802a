"""Scores of features on a labelled set: clusters, few-label probes, and the error of reconstruction."""

from functools import partial

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch.nn import functional as F

from benchmarks.labelled import LabelledSet
from benchmarks.quality_table import AGREEMENT
from saec.data import Dataset, chunks
from saec.data.kind import evenly
from saec.data.png import table
from saec.evaluation import EVALUATIONS
from saec.evaluation.classifiers import fit_classifier
from saec.evaluation.folds import Split, draw_few
from saec.evaluation.probes import SCORES, predict_fold
from saec.models import Model
from saec.reduction import MAP, reduce_dims
from saec.registry import Component
from saec.sections.scores import small_pictures

CLASSIFIERS = ("linear", "knn")
LABELS_PER_CLASS = (5, 20, None)
N_DRAWS = 5
N_NEIGHBORS = 10
N_REBUILT = 200
AT_ONCE = 8
FLOOR_FEATURES = 64


def scores(rows: np.ndarray, on: LabelledSet, seed: int) -> dict[str, float]:
    """Means over the parts of the set. Nothing is chosen by label: k-means knows the number of classes,
    HDBSCAN takes the 2-D map and the sizes that `hdbscan` has by default.
    """
    result: dict[str, list[float]] = {}
    for part, splits in on.parts(seed):
        labels, groups = on.data.samples.labels, on.data.samples.groups[part]
        layout = reduce_dims(rows[part], (MAP,), N_NEIGHBORS, seed, "cosine")[MAP]
        clusters = {
            "kmeans": clustering("kmeans", seed=seed)(rows[part], labels[part], groups),
            "hdbscan": clustering("hdbscan")(layout, labels[part], groups),
        }
        for name, agreement in clusters.items():
            for score in AGREEMENT:
                result.setdefault(f"{name} {score}", []).append(agreement.scores[score])
        for classifier in CLASSIFIERS:
            for n in LABELS_PER_CLASS:
                values = [probe_scores(rows, labels, one, classifier, n, seed) for one in splits]
                result.setdefault(f"{classifier} {n or 'all'}", []).append(float(np.mean(values)))
    return {score: float(np.mean(values)) for score, values in result.items()}


def probe_scores(
    rows: np.ndarray, labels: np.ndarray, split: Split, classifier: str, n_each: int | None, seed: int
) -> list[float]:
    """Returns the macro-F1 of the test rows, by draw of so many training rows a class, or once by all."""
    train, test = split
    draws = [train] if n_each is None else draw_few(labels, train, n_each, N_DRAWS, seed)
    fit, groups = partial(fit_classifier, classifier=classifier), np.arange(len(labels))
    predictions = (predict_fold(fit, rows, labels, groups, (draw, test)) for draw in draws)
    return [SCORES["macro_f1"](labels[test], predicted) for predicted in predictions]


def clustering(name: str, **options: int) -> Component:
    """Clusters once, as they come."""
    return EVALUATIONS.parse({"name": name, "sweep": [], "resamples": 0} | options)


def pixels(data: Dataset) -> np.ndarray:
    """A floor: the 64 first principal components of small pictures."""
    return PCA(min(FLOOR_FEATURES, len(data)), random_state=0).fit_transform(raw_pixels(data))


def raw_pixels(data: Dataset) -> np.ndarray:
    """Another floor: pictures of 32 x 32 pixels as they are."""
    return small_pictures(data)


FLOORS = {"pixels": pixels, "raw pixels": raw_pixels}


@torch.no_grad()
def rebuilt(model: Model, data: Dataset) -> dict[str, float]:
    """Squared error of the RGB picture that comes back, and its share of the mean picture's error."""
    if model.decoder is None:
        return {}
    model = model.eval()
    data = data.sized_for(model.height, model.time_pool)
    chosen = np.array(evenly(range(len(data)), N_REBUILT))
    before, after = [], []
    for rows in chunks(chosen, AT_ONCE):
        pictures = _pictures(data, rows)
        before.append(_coloured(pictures, data))
        after.append(_coloured(model.decoder(model.encoder(pictures)).clamp(0, 1), data))
    original, copy = torch.cat(before), torch.cat(after)
    error = float(F.mse_loss(copy, original))
    return {
        "rgb mse": error,
        "unexplained": error / float(F.mse_loss(original.mean(0).expand_as(original), original)),
    }


def _pictures(data: Dataset, rows: np.ndarray) -> torch.Tensor:
    return data.front(data.gather(rows, torch.device("cpu")))


def _coloured(pictures: torch.Tensor, data: Dataset) -> torch.Tensor:
    """Intensity in the colours that the files have, so that both kinds of model rebuild the same thing."""
    if pictures.shape[1] == 3 or data.about["colormap"] == "none":
        return pictures
    colours = torch.from_numpy(table(data.about["colormap"])).float() / 255
    return colours[(pictures[:, 0] * 255).round().long()].permute(0, 3, 1, 2)
