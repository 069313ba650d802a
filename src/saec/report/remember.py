"""What was found is kept in the cache, so that a call that was ended goes on where it was."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from saec import evaluation
from saec.evaluation.base import Found
from saec.files import fingerprint, write_json

FOLDER = "evaluations"
MADE_BY = ("saec", "scikit-learn", "umap-learn", "numpy", "scipy")


def remembered(folder: Path, what: tuple, ask: Callable[[], Found]) -> Found:
    """The answer of an earlier call with the same data, options and packages, else a new one, kept.

    `what` are plain values and arrays that the answer depends on.
    """
    plain = [_digest(part) if isinstance(part, np.ndarray) else part for part in what]
    key = fingerprint(plain, _code(), [version(package) for package in MADE_BY])
    file = folder / FOLDER / f"{key}.json"
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


@cache
def _code() -> str:
    """Of the evaluations themselves: what another version of them has found does not count."""
    files = sorted(Path(evaluation.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _digest(array: np.ndarray) -> str:

    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() + str((array.shape, array.dtype))
