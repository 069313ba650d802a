"""Labels and groups of the samples in a folder."""

import logging
from pathlib import Path

import numpy as np

from saec.samples import SEGMENT, Samples, nearest_labels

LOG = logging.getLogger(__name__)


def known_of(names: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels ("" where there is none) and groups of the samples in a folder, by `nearest_labels`."""
    samples, remarks = nearest_labels(Samples.of(names.tolist()), folder)
    for remark in remarks:
        LOG.info("%s", remark)
    return samples.labels, samples.groups


def recording(name: str) -> str:
    return name.split(SEGMENT)[0]
