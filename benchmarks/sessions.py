"""The shipped sessions, on the benchmark's own pictures: the reference's spelling, ours, and the default."""

import json
from pathlib import Path
from typing import Any

from benchmarks.pictures import Images
from saec.config import ROOT
from saec.upgrade import upgrade_training

SHIPPED = ROOT / "session_params" / "training"

Raw = dict[str, Any]


def reference_session(images: Images, model: str) -> Raw:
    """As the reference spells it."""
    raw = json.loads((SHIPPED / "reference_cold_start.json").read_text(encoding="utf-8"))
    folders = {"imgpath_train": str(images.few), "imgpath_test": str(images.valid)}
    return raw | folders | {"model_tag": model}


def same_session(images: Images, model: str, **training: Any) -> Raw:
    """The reference's session in our spelling; `training` has changes of its options."""
    return _with(upgrade_training(reference_session(images, model)), training)


def default_session(images: Images, **training: Any) -> Raw:
    """`default.json` as it is shipped, on other pictures."""
    raw = json.loads((SHIPPED / "default.json").read_text(encoding="utf-8"))
    folders = {"train": str(images.many), "valid": str(images.valid)}
    return _with(raw | {"data": raw["data"] | folders}, training)


def pictures_of(session: Raw) -> Path:
    """What it trains on, in either spelling."""
    return Path(session["imgpath_train"] if "imgpath_train" in session else session["data"]["train"])


def _with(raw: Raw, training: Raw) -> Raw:
    return raw | {"training": raw["training"] | training}
