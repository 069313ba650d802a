"""Turns sessions in the spelling of the reference, or of version 0.1.0, into ours; no other file has it."""

import logging
from collections.abc import Collection
from typing import Any, Self, TypeVar

from pydantic import Field, model_validator

from saec.models import MODELS
from saec.registry import Strict

LOG = logging.getLogger(__name__)
R = TypeVar("R", bound=Strict)
DISTORTIONS = {
    "rot_deg": "rotation_deg",
    "trans_prop": "shift",
    "brightness": "brightness",
    "contrast": "contrast",
    "gnoisesigm": "noise",
    "gnoiseprob": "noise_prob",
}  # the reference's keys, and ours
RENAMED = {"conv_tran_texture_01": "texture_gapless", "conv_tran_textr_resh": "textr_resh_gapless"}


class Augmentation(Strict):
    rot_deg: float
    trans_prop: float
    brightness: float
    contrast: float
    gnoisesigm: float
    gnoiseprob: float


class Denoising(Strict):
    thld_lo: float
    thld_up: float


class Generator(Strict):
    da: Augmentation
    den: Denoising


class ReferenceTraining(Strict):
    """Is a training session with the reference's keys."""

    imgpath_train: str
    imgpath_test: str
    batch_size_tr: int = 8
    batch_size_te: int = 32
    n_epochs: int = 1
    hot_start: bool = Field(False, strict=True)
    model_tag: str
    data_generator: Generator

    @model_validator(mode="after")
    def _starts_cold_or_hot(self) -> Self:
        """Requires that a cold start names an architecture and a hot start a run."""
        named = self.model_tag in MODELS.names()
        if self.hot_start == named:
            what = "an architecture" if named else "no architecture"
            raise ValueError(
                f"hot_start: {str(self.hot_start).lower()} with model_tag: {self.model_tag} ({what}): "
                "for fresh weights set hot_start: false and model_tag to one of "
                f"{', '.join(MODELS.names())}; for trained ones set hot_start: true and model_tag to that "
                "run's timestamp or latest:<session name>"
            )
        return self


class ReferenceExtraction(Strict):
    """Is an extraction session with the reference's keys."""

    imgpath: str
    model_tag: str


def upgrade_training(raw: dict[str, Any], ours: Collection[str] = ()) -> dict[str, Any]:
    """Returns a session of ours as it is, and one of the reference in our keys; some may be in it.

    Raises:
        ValueError: keys or values that the reference does not know, or a `hot_start` that does not go with
            the `model_tag` (as `pydantic.ValidationError`).
    """
    if not raw.keys() & ReferenceTraining.model_fields.keys():
        return raw
    old, added = _parted(ReferenceTraining, raw, ours)
    LOG.info("batch_size_te is not needed: validation in any batch size gives the same numbers")
    images = {"train": old.imgpath_train, "valid": old.imgpath_test, "channels": "rgb"}
    distortion, denoising = old.data_generator.da, old.data_generator.den
    distortions = {ours: getattr(distortion, key) for key, ours in DISTORTIONS.items()}
    threshold = [denoising.thld_lo, denoising.thld_up]
    upgraded = {
        "data": {"kind": "images"} | images,
        "views": {"name": "denoise", "threshold": threshold, "soft": False} | distortions,
        **({"start": {"weights_of": old.model_tag}} if old.hot_start else {"model": old.model_tag}),
        "objective": {"name": "reconstruction", "loss": "mse"},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "training": {"epochs": old.n_epochs, "batch_size": old.batch_size_tr},
    }
    return _with(upgraded, added)


def upgrade_extraction(raw: dict[str, Any], ours: Collection[str] = ()) -> dict[str, Any]:
    """Returns a session of ours as it is, and one of the reference in our keys, as with a training."""
    if not raw.keys() & ReferenceExtraction.model_fields.keys():
        return raw
    old, added = _parted(ReferenceExtraction, raw, ours)
    return _with({"run": old.model_tag, "data": {"images": old.imgpath}}, added)


def _parted(kind: type[R], raw: dict[str, Any], ours: Collection[str]) -> tuple[R, dict[str, Any]]:
    added = {key: value for key, value in raw.items() if key in ours}
    return kind.model_validate({key: value for key, value in raw.items() if key not in ours}), added


def _with(upgraded: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Returns the session with keys of ours: options are added to the same component, or replace it."""
    for key, value in added.items():
        before = upgraded.get(key)
        before = {"name": before} if isinstance(before, str) else before
        if isinstance(before, dict) and isinstance(value, dict):
            same = value.get("name", before.get("name")) == before.get("name")
            value = before | value if same else value
        upgraded[key] = value
    if added:
        LOG.info("beside keys of the reference the session has its own: %s", ", ".join(added))
    return upgraded


def upgrade_run(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns a run's session with today's name of its architecture: two were not yet the reference's, and
    no width of the latent was written.
    """
    model = raw.get("model")
    if isinstance(model, dict) and "latent" not in model and model.get("name") in RENAMED:
        return raw | {"model": {"name": RENAMED[model["name"]]}}
    return raw
