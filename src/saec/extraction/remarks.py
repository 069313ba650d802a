"""What an extraction says in the log: what to beware of, and what came out."""

import logging

import numpy as np

from saec.data import Dataset
from saec.evaluation import EVALUATIONS
from saec.extraction.planned import ExtractionPlan
from saec.features import n_trimmed
from saec.reduction import MAP

LOG = logging.getLogger(__name__)
PLAIN = {"sweep": (), "resamples": 0}  # clusters once, as they come


def warn_of_other_colours(plan: ExtractionPlan, data: Dataset) -> None:
    """Colours mean nothing to a model that was trained on others; intensity is the same in every map."""
    trained, here = plan.source.colormap, data.about.get("colormap")
    if plan.source.channels == 3 and trained not in (None, here):
        LOG.warning("the model was trained on colour map %s, these pictures have %s", trained, here)


def warn_if_not_trimmed(n_steps: int, plan: ExtractionPlan) -> None:
    trim = plan.session.pooling.trim
    is_vector = n_steps == 1 and plan.model.width is not None
    if trim and not is_vector and n_trimmed(n_steps, trim) == 0:
        LOG.warning(
            "latents have %d time steps, too few to trim %g of each side: all are kept", n_steps, trim
        )


def say_result(
    plan: ExtractionPlan, data: Dataset, pooled: np.ndarray, reductions: dict[int, np.ndarray]
) -> None:
    """What came out, and where labels are known, how well clusters agree with them."""
    by = f"by the weights of {plan.source.folder.name} ({plan.settings['weights']}), pooled"
    LOG.info(
        "%s: %d %s %s features %d, reductions to %s",
        plan.outputs.id,
        len(data),
        data.what,
        by if plan.model else "without a model,",
        pooled.shape[1],
        ", ".join(map(str, reductions)) or "none",
    )
    known = np.flatnonzero(data.labels != "")
    labels, groups = data.labels[known], data.groups[known]
    if len(np.unique(labels)) < 2:
        return
    kmeans, hdbscan = (EVALUATIONS.parse({"name": name} | PLAIN) for name in ("kmeans", "hdbscan"))
    found = {"pooled features, k-means": kmeans(pooled[known], labels, groups)}
    if MAP in reductions:
        found["2-D map, HDBSCAN"] = hdbscan(reductions[MAP][known], labels, groups)
    for what, clusters in found.items():
        LOG.info(
            "clusters against %d labels, %s: V-measure %.2f, adjusted Rand %.2f",
            len(np.unique(labels)),
            what,
            clusters.scores["v_measure"],
            clusters.scores["adjusted_rand"],
        )
