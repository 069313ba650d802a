"""Where a training's samples lie: places are found, opened, and parted into training and validation."""

import logging

import numpy as np

from saec.config import Config
from saec.data import Cache, Dataset, split, warn_of_shared
from saec.data.kinds import Kind, Place, Places, absolute, paths_of
from saec.data.split import split_by_table, split_evenly
from saec.faults import Fault, listing, noting
from saec.session import TrainingSession

LOG = logging.getLogger(__name__)


def absolute_places(session: TrainingSession, config: Config, faults: list[str]) -> TrainingSession:
    places = {"train": session.data.train, "valid": session.data.valid}
    paths = {
        part: noting(faults, f"data.{part}", absolute, place, config) or place
        for part, place in places.items()
        if not isinstance(place, float)
    }
    return session.but(data=session.data.model_copy(update=paths))


def kind_at(place: Place, data: Places, config: Config) -> Kind:
    return data(paths_of(place), Cache.of(config))


def opened(session: TrainingSession, config: Config) -> tuple[Dataset, Dataset]:
    """For training and validation: places of their own, or set aside by a table or by the seed.

    Raises:
        Fault: samples cannot be read, or cannot be parted.
    """
    data, labelled = session.data, session.objective.target.needs_labels
    train = kind_at(data.train, data, config).open()
    train = train.subset(np.flatnonzero(train.labels != "")) if labelled else train
    if not len(train):
        raise Fault("data.train: none of the labelled samples can be used")
    aside = ()
    if train.splits is not None and (train.splits != "").any():
        train, aside = split_by_table(train)
    if not isinstance(data.valid, float):
        valid = kind_at(data.valid, data, config).open()
        warn_of_shared(train, valid)
    elif len(aside):
        valid = aside
    else:
        part = split_evenly if labelled else split
        train, valid = part(train, data.valid, session.training.seed)
        LOG.info(
            "set aside for validation: %d %s of %d, recordings:\n%s",
            len(valid),
            train.what,
            len(train) + len(valid),
            listing(np.unique(valid.groups).tolist(), 5),
        )
    return train, _known_to(train, valid) if labelled else valid


def _known_to(train: Dataset, valid: Dataset) -> Dataset:
    """The validation samples whose class is learnt.

    Raises:
        Fault: there are none, or one class alone is learnt.
    """
    classes = np.unique(train.labels)
    if len(classes) < 2:
        left = str(classes[0])
        raise Fault(f"data.train: one class is left to train on, {left!r}: two are needed at least")
    known = np.isin(valid.labels, classes)
    if not known.any():
        raise Fault("data.valid: none of its samples is of a class that training has")
    if not known.all():
        odd = np.unique(valid.labels[~known]).tolist()
        LOG.warning(
            "%d validation samples are of no class that training has and are left out:\n%s",
            int((~known).sum()),
            listing([name or "without a label" for name in odd]),
        )
    return valid.subset(np.flatnonzero(known))
