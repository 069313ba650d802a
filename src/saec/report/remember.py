"""What was found is kept in the cache, so that a call that was ended goes on where it was."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from saec.evaluation.base import Found
from saec.files import fingerprint, write_json

LOG = logging.getLogger(__name__)
FOLDER = "evaluations"
MADE_BY = ("saec", "scikit-learn", "umap-learn", "numpy", "scipy")


def remembered(cache: Path, what: tuple, ask: Callable[[], Found]) -> Found:
    """The answer of an earlier call with the same data, options and packages, else a new one, kept.

    `what` are plain values and arrays that the answer depends on.
    """
    plain = [_digest(part) if isinstance(part, np.ndarray) else part for part in what]
    key = fingerprint(plain, [version(package) for package in MADE_BY])
    file = cache / FOLDER / f"{key}.json"
    if file.is_file():
        content = json.loads(file.read_text(encoding="utf-8"))
        answers = content.pop("answers")
        return Found(**content, answers=None if answers is None else np.array(answers, dtype=str))
    found = ask()
    file.parent.mkdir(parents=True, exist_ok=True)
    content = asdict(found)
    content["answers"] = None if found.answers is None else found.answers.tolist()
    write_json(file, content)
    return found


def _digest(array: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() + str((array.shape, array.dtype))
