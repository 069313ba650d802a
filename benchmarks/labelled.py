"""Labelled sets that features are scored on: what is learnt from, what is scored, and how it is split."""

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from saec import prepare
from saec.config import Config
from saec.data import Cache, Dataset
from saec.data.images import Images
from saec.demo import make_demo
from saec.evaluation.folds import Split, grouped_splits
from saec.faults import Fault

DEVELOPED_ON = ("george", "jackson", "lucas")  # speakers that choices were made on
SCORED_ON = ("nicolas", "theo", "yweweler")  # speakers that no choice has seen
AS_PICTURES = {  # spoken digits at 8 kHz, each whole in the middle of a picture of 256 x 128
    "sample_rate": 8000,
    "segment_s": 1.18,
    "n_fft": 256,
    "hop_length": 36,
    "colormap": "viridis",
    "max_segments": 1,
}
N_FOLDS = 5
SHARE = (
    0.4  # of all samples, that the commonest class of a set has where one class is much commoner than others
)


@dataclass(frozen=True)
class LabelledSet:
    """A folder to learn from and one to score; `left_out` are groups that are scored one by one, `sounds` the
    recordings that the pictures were made of.
    """

    name: str
    train: Path
    scored: Path
    config: Config
    left_out: tuple[str, ...] = ()
    sounds: Path | None = None

    @cached_property
    def data(self) -> Dataset:
        """What is scored, as intensities."""
        return Images(self.scored, self.cache).open()

    @property
    def cache(self) -> Cache:
        return Cache.of(self.config)

    def parts(self, seed: int) -> list[tuple[np.ndarray, list[Split]]]:
        """Rows that are clustered together, and the splits of their probes."""
        labels, groups = self.data.samples.labels, self.data.samples.groups
        if not self.left_out:
            return [(np.arange(len(labels)), grouped_splits(labels, groups, N_FOLDS, seed))]
        out = [groups == name for name in self.left_out]
        return [(np.flatnonzero(of), [(np.flatnonzero(~of), np.flatnonzero(of))]) for of in out]


def bird0(workspace: Path, config: Config) -> LabelledSet:
    """Syllables of one finch, by song file."""
    images = real_data() / "bird0" / "images"
    return LabelledSet("bird0", images, images, config)


def xc(workspace: Path, config: Config) -> LabelledSet:
    """Calls of some species, by recording."""
    images = real_data() / "xc" / "test" / "images"
    return LabelledSet("xc", images, images, config)


def demo(workspace: Path, config: Config) -> LabelledSet:
    """Made-up syllables: learnt from eight recordings, scored on all ten."""
    make_demo(workspace / "demo", config.n_workers)
    if not (workspace / "demo_all" / "images").exists():
        for side in ("train", "valid"):
            shutil.copytree(
                workspace / "demo" / side / "images", workspace / "demo_all" / "images", dirs_exist_ok=True
            )
        shutil.copyfile(workspace / "demo" / "labels.csv", workspace / "demo_all" / "labels.csv")
    return LabelledSet(
        "demo", workspace / "demo" / "train" / "images", workspace / "demo_all" / "images", config
    )


def digits_developed(workspace: Path, config: Config, out: str) -> LabelledSet:
    """Digits of a speaker whom choices were made on; learnt from the other two of them."""
    others = tuple(speaker for speaker in DEVELOPED_ON if speaker != out)
    folders = [digits(workspace, config, speakers) for speakers in (others, DEVELOPED_ON)]
    return LabelledSet(f"digits_{out}", *folders, config, (out,))


def digits_scored(workspace: Path, config: Config) -> LabelledSet:
    """Digits of three speakers, each left out in turn; learnt without labels from three others."""
    folders = [digits(workspace, config, speakers) for speakers in (DEVELOPED_ON, DEVELOPED_ON + SCORED_ON)]
    return LabelledSet("digits", *folders, config, SCORED_ON, folders[1].parent / "recordings")


def skewed(name: str, of: LabelledSet, workspace: Path) -> LabelledSet:
    """Draws fewer pictures of most classes, the same ones whenever it is made: of the k-th class 1/k of those
    of the first if the name ends with `zipf`, else so many of all others that the first has 40 %.
    """
    folders = [_drawn(workspace / name, images, of) for images in (of.train, of.scored)]
    return LabelledSet(name, *folders, of.config, of.left_out, of.sounds)


def _drawn(folder: Path, images: Path, of: LabelledSet) -> Path:
    """Copies some of these pictures, drawn by group where groups are scored one by one, and their labels."""
    out, table = folder / images.parent.name / "images", images.parent / "labels.csv"
    if out.exists():
        return out
    samples, rng = Images(images, of.cache).open().samples, np.random.default_rng(0)
    classes = rng.permutation(np.unique(samples.labels))
    others = (1 - SHARE) / SHARE / (len(classes) - 1)
    shares = [1 / k if folder.name.endswith("zipf") else others for k in range(2, len(classes) + 1)]
    groups = samples.groups if of.left_out else np.full(len(samples.labels), "")
    chosen: set[str] = set()
    for group in np.unique(groups):
        own = groups == group
        names = [rng.permutation(samples.names[own & (samples.labels == label)]) for label in classes]
        for some, share in zip(names, [1, *shares], strict=True):
            chosen.update(some[: round(share * len(names[0]))].tolist())
    out.mkdir(parents=True)
    for name in sorted(chosen):
        shutil.copyfile(images / name, out / name)
    head, *lines = table.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.split(",")[0] in chosen]
    (out.parent / "labels.csv").write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    return out


SETS: dict[str, Callable[[Path, Config], LabelledSet]] = {
    "bird0": bird0,
    "demo": demo,
    "xc": xc,
    "digits": digits_scored,
    **{
        f"digits_{out}": lambda workspace, config, out=out: digits_developed(workspace, config, out)
        for out in DEVELOPED_ON
    },
    **{
        f"{name}_{how}": lambda workspace, config, name=name, of=of, how=how: skewed(
            f"{name}_{how}", of(workspace, config), workspace
        )
        for name, of in (("bird0", bird0), ("digits", digits_scored))
        for how in ("most", "zipf")
    },
}


def digits(workspace: Path, config: Config, speakers: tuple[str, ...], **changes: Any) -> Path:
    """Pictures of what these speakers say, with a labels.csv beside them; changes are of the preparation."""
    folder = workspace / "_".join(("digits", *speakers))
    images = folder / "images"
    if images.exists():
        return images
    recordings = folder / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    for file in sorted((real_data() / "fsdd").glob("*.wav")):
        if file.stem.split("_")[1] in speakers:
            shutil.copyfile(file, recordings / file.name)
    prepare(AS_PICTURES | changes | {"recordings": str(recordings), "out": str(images)}, config)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("file", "label", "group"))
        for picture in sorted(images.glob("*.png")):
            digit, speaker = picture.name.split("_")[:2]
            writer.writerow((picture.name, digit, speaker))
    return images


def real_data() -> Path:
    """Raises a `Fault` where no real data are named."""
    named = os.environ.get("SAEC_REAL_DATA")
    if not named:
        raise Fault("SAEC_REAL_DATA must name the folder of bird0, fsdd and xc")
    return Path(named)
