"""How a feature file was made, and how features of other samples are made the same way."""

import json
from pathlib import Path
from typing import Any

from saec.faults import Fault

KEPT = ("weights", "pooling", "latents", "tap", "layers_dropped", "extractor", "backend")


def made_by(file: Path) -> dict[str, Any]:
    """What the extraction that made this file says of itself.

    Raises:
        Fault: nothing of ours made it, or it holds reductions, in which other samples have no place.
    """
    if file.name.startswith("dimred_"):
        raise Fault(f"{file} holds reductions, other samples have no place in them: name pooled features")
    for place in sorted(file.parent.glob("saec_*.json")):
        about = json.loads(place.read_text(encoding="utf-8"))
        if file.name in about.get("files", ()):
            return about
    raise Fault(
        f"{file} was not made by main_02_extract.py, so other samples cannot be compared with it: "
        "extract features of both by one run"
    )


def recipe_of(about: dict[str, Any]) -> dict[str, Any]:
    """A session that makes such features of other samples, without a reduction; it lacks only where these
    are (`samples`) and where to write.
    """
    said = about["session"]
    recipe = {key: said[key] for key in KEPT if said.get(key) is not None}
    if "extractor" not in recipe:
        recipe["run"] = about["model"]
    recipe |= {"precision": about["settings"]["precision"], "reduction": None, "reconstructions": 0}
    return recipe | {"data": said["data"]}


def for_samples(recipe: dict[str, Any], place: Any, out: Path) -> dict[str, Any]:
    """The recipe for a place of the same kind of data."""
    key = "images" if recipe["data"].get("images") is not None else "sounds"
    if "run" in recipe and not Path(recipe["run"]).exists():  # of another machine, or moved since
        recipe = recipe | {"run": Path(recipe["run"]).name}
    return recipe | {"data": recipe["data"] | {key: place}, "out": str(out)}
