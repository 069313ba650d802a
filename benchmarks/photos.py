"""Auto-encoders of photographs. `python -m benchmarks.photos --workspace FOLDER --results FILE`.

Crops are squares of 64 pixels, which do not overlap, of the photographs that scikit-image, scikit-learn and
matplotlib ship for their own examples. Each contender learns from all crops for so many seconds of CPU time;
a crop is then looked for by its features: the nearest one, or one of the ten nearest, should be of the same
photograph. With `--speed` training and extraction of `vgg16` are compared with a loop like the reference's.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.contest import contest, table
from benchmarks.jobs import Row, parsed, worked, written
from benchmarks.labelled import LabelledSet
from benchmarks.learning import learn
from benchmarks.photos_speed import entries
from saec import extract
from saec.config import Config
from saec.devices import describe, resolve_device

SIDE = 64  # pixels of a crop
FLAT = 4.0  # standard deviation of grey levels from which a crop shows something
PAIRS, SECONDS = 3, 10.0  # of the comparison of speed
NAMES = (
    "astronaut brick camera cell chelsea coffee coins grass gravel hubble_deep_field immunohistochemistry "
    "moon page retina rocket stereo_motorcycle text"
).split()
CONTRASTIVE = (
    ' views=pair objective={"name":"contrastive","reconstruction":100} training.batch_size=64 '
    'optimizer={"name":"adamw","learning_rate":0.002,"schedule":"warmup_cosine"}'
)
VGG = 'photos data.size=64 model={"name":"vgg16","norm":"batch"}'
CONTENDERS = {
    "vgg16": "photos data.size=64",
    "vgg16, batch norm": f"{VGG} optimizer.learning_rate=0.001",
    "vgg16, batch norm, contrastive": VGG + CONTRASTIVE,
    "residual": "photos data.size=64 model=residual optimizer.learning_rate=0.001",
    "residual, contrastive": "photos data.size=64 model=residual" + CONTRASTIVE,
    "compact": "photos data.size=128 model=compact optimizer.learning_rate=0.001",
    "compact, contrastive": "photos data.size=128 model=compact" + CONTRASTIVE,
}
POOLED = {
    "columns": {"name": "mean_std", "trim": 0},
    "both": {"name": "mean_std", "axes": "both", "trim": 0},
}


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    device = describe(resolve_device(options.device))
    if options.speed:
        with tempfile.TemporaryDirectory(prefix="saec_photos_", ignore_cleanup_errors=True) as folder:
            for work in ("training", "extraction"):
                rows = contest(work, entries(work, large(Path(folder)), options), PAIRS, SECONDS)
                print(table(rows), end="\n\n", flush=True)
        return
    jobs = {name: partial(retrieved, name, seconds=options.seconds) for name in CONTENDERS} | {
        "pixels": pixels
    }
    for job, seed, _, seconds in worked(options, jobs):
        print(f"{job}, seed {seed}: {seconds:.0f} s", flush=True)
    table_of = pd.DataFrame(written(options.results)).groupby(["job", "state", "axes"], sort=False)
    print(f"\n{device}, {options.threads} threads", table_of.mean(numeric_only=True).to_string(), sep="\n\n")


def photographs() -> Iterator[tuple[str, np.ndarray]]:
    """Yields name and (height, width, 3) uint8."""
    import matplotlib.cbook
    import skimage.data
    from sklearn.datasets import load_sample_image

    for name in NAMES:
        given = getattr(skimage.data, name)()
        yield name, given[0] if isinstance(given, tuple) else given
    for name in ("china", "flower"):
        yield name, load_sample_image(f"{name}.jpg")
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        yield "grace_hopper", np.asarray(Image.open(file))


def write_crops(folder: Path) -> Path:
    """Writes crops as JPEG, and a table of the photographs that they are of."""
    if folder.exists():
        return folder
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rows = []
    for name, picture in photographs():
        for y, x in np.ndindex(picture.shape[0] // SIDE, picture.shape[1] // SIDE):
            crop = picture[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE]
            if crop.std() < FLAT:
                continue
            rows.append({"file": f"{name}_{y:02d}_{x:02d}.jpg", "label": name, "group": name})
            Image.fromarray(crop).convert("RGB").save(part / rows[-1]["file"], quality=95)
    pd.DataFrame(rows).to_csv(part / "labels.csv", index=False)
    part.rename(folder)
    return folder


def large(folder: Path, n: int = 96, side: int = 512) -> Path:
    """Writes so many photographs, cut out at random and blown up, as a camera would make them."""
    pictures = [one for one in photographs() if min(one[1].shape[:2]) > 3 * SIDE]
    rng, out = np.random.default_rng(0), folder / "photos"
    for number in range(0 if out.exists() else n):
        out.mkdir(exist_ok=True)
        name, picture = pictures[number % len(pictures)]
        top, left = (int(rng.integers(0, size - 3 * SIDE)) for size in picture.shape[:2])
        crop = Image.fromarray(picture[top : top + 3 * SIDE, left : left + 3 * SIDE]).convert("RGB")
        crop.resize((side, side)).save(out / f"{number:03d}_{name}.jpg", quality=90)
    return out


def retrieved(contender: str, seed: int, config: Config, seconds: float) -> Iterator[Row]:
    """Recall by the features of a contender, untrained and trained."""
    crops = write_crops(config.data / "crops")
    on = LabelledSet("crops", crops, crops, config)
    for state, learnt in learn(CONTENDERS[contender], on, seed, seconds):
        session = {"run": str(learnt.run.folder), "data": {"images": str(crops)}, "weights": "last"}
        session |= {"out": str(learnt.run.folder / "features"), "reduction": None, "reconstructions": 0}
        for axes, pooling in POOLED.items():
            features = extract(session | {"pooling": pooling, "variant": axes}, config)
            row = {"state": state, "axes": axes, "epochs": learnt.epochs}
            yield row | recall(features.X_pooled, features.N)


def pixels(seed: int, config: Config) -> Iterator[Row]:
    """Recall by the crops themselves, as 16 x 16 pixels."""
    files = sorted(write_crops(config.data / "crops").glob("*.jpg"))
    rows = [np.asarray(Image.open(file).resize((16, 16)), dtype=np.float32).ravel() for file in files]
    yield {"state": "", "axes": "", **recall(np.stack(rows), np.array([file.name for file in files]))}


def recall(rows: np.ndarray, names: np.ndarray) -> dict[str, float]:
    """Shares of crops of whose 1 or 10 nearest crops, by the cosine of standardised features, one is of the
    same photograph.
    """
    rows = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-12)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    alike = rows @ rows.T
    np.fill_diagonal(alike, -np.inf)
    of = np.array([str(name).rsplit("_", 2)[0] for name in names])
    same = of[np.argsort(-alike, axis=1, kind="stable")[:, :10]] == of[:, None]
    return {"n": len(rows), "recall 1": float(same[:, 0].mean()), "recall 10": float(same.any(axis=1).mean())}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", nargs="+", default=[*CONTENDERS, "pixels"])
    parser.add_argument("--seconds", type=float, default=120.0, help="of training, for each")
    parser.add_argument("--speed", action="store_true", help="compare with the reference's loop")
    return parsed(parser)


if __name__ == "__main__":
    main()
