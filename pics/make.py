"""Makes the README's pictures from the newest run of the demo: train and extract the demo first.

The page is photographed by Chromium, which has to be there.
"""

import shutil
from pathlib import Path

import numpy as np
import soundfile
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.gestures import COLUMNS, RATE_HZ, Gestures, write_gestures
from benchmarks.traces_scored import halves, matched, together
from saec import evaluate, extract, figures, train
from saec.config import ROOT, load_config
from saec.data import DATA, Cache, Loader
from saec.features import Features
from saec.gallery import show_rebuilt
from saec.runs import Run
from saec.runs.find import find_run
from saec.samples import Samples, nearest_labels

HERE = Path(__file__).parent
LABEL, SHOWN = "trill", "warble"
SHIPPED = ROOT / "session_params" / "evaluation"
N_SECONDS = 6
GESTURES = {"train": 120, "valid": 12, "test": 12}
DRAWN = ("TTY", "LLY", "LIY", "pitch")


def main() -> None:
    config = load_config()
    run = find_run("latest:demo", config.models)
    make_way(run)
    make_reconstructions(run)
    make_explorer()
    make_traces()


def make_way(run: Run) -> None:
    """A recording, one of its syllables, and where all training syllables come to lie."""
    config = load_config()
    session = {
        "run": str(run.folder),
        "data": {"images": "demo/train/images"},
        "out": str(config.cache / "pics"),
    }
    latents = extract(session)
    pooled, reduced = (latents.roles[key] for key in ("pooled", "reduced_2"))
    samples, _ = nearest_labels(Samples.of(latents.N), config.data / "demo" / "train" / "images")
    labels = samples.labels
    row = int(np.flatnonzero(labels == LABEL)[0])
    sound, rate = soundfile.read(config.data / "demo" / "recordings" / samples.groups[row])
    pictures = DATA.parse({"kind": "images", "train": ""})(
        config.data / "demo/train/images", Cache.of(config)
    ).open()
    picture = pictures.front(pictures.gather(np.array([row]), torch.device("cpu")))[0, 0].numpy()
    draw_way(
        HERE / "way.png",
        sound[: N_SECONDS * rate],
        rate,
        picture,
        np.array(latents.X[row]),
        np.array(Features.load(pooled).X[row]),
        np.array(Features.load(reduced, "X_2D").X),
        labels,
    )


def draw_way(
    path: Path,
    sound: np.ndarray,
    rate_hz: int,
    picture: np.ndarray,
    latent: np.ndarray,
    pooled: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Draws the way from a recording to features, in five panels.

    Sound (samples,), picture (height, width), latent (channels, time), pooled (features,), and of all
    pictures the 2-D map `rows` (n, 2) with their labels (n,).
    """
    figure = Figure((13, 2.9), figures.DPI, layout="constrained")
    axes = figure.subplots(1, 5, width_ratios=(2, 2, 1.6, 0.5, 2))
    seconds = np.arange(len(sound)) / rate_hz
    axes[0].plot(seconds, sound, linewidth=0.3, color=figures.COLOURS["train"])
    axes[0].set(title="recording", xlabel="time (s)", yticks=[], xlim=(0, seconds[-1]))
    axes[1].imshow(picture, cmap=figures.PICTURE_MAP, aspect="auto", interpolation="nearest")
    axes[1].set(title="picture of a syllable", xlabel="time (columns)", ylabel="frequency (rows)")
    axes[2].imshow(latent, cmap="cividis", aspect="auto", interpolation="nearest")
    axes[2].set(title="latent", xlabel="time (steps)", ylabel="channel")
    axes[3].imshow(pooled[:, None], cmap="cividis", aspect="auto", interpolation="nearest")
    axes[3].set(title="pooled", xticks=[], ylabel="feature")
    for number, label in enumerate(np.unique(labels)):
        x, y = rows[labels == label].T
        colour = colormaps["tab10"](number % 10)
        axes[4].scatter(
            x,
            y,
            9,
            [colour],
            marker=figures.MARKERS[number % len(figures.MARKERS)],
            label=label,
            linewidths=0,
        )
    axes[4].set(title="all syllables, reduced to 2-D", xticks=[], yticks=[])
    axes[4].legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figures.write_figure(path, figure)


def make_reconstructions(run: Run) -> None:
    """Some validation pictures of different syllables."""
    config, device = load_config(), torch.device("cpu")
    folder = config.data / "demo" / "valid" / "images"
    data = run.session.data(folder, Cache.of(config)).open()
    model = run.model()
    data = data.sized_for(model.height, model.time_pool)
    first = [int(np.flatnonzero(data.samples.labels == label)[3]) for label in np.unique(data.samples.labels)]
    loader = Loader(data.subset(np.array(first)), run.session.views, 16, device, seed=0)
    file = HERE / "reconstructions.png"
    show_rebuilt(loader, model, "fp32", file, "validation pictures of the demo")
    Image.open(file).convert("RGB").quantize(96).save(file, optimize=True)


def make_explorer() -> None:
    """The page of the demo: a syllable with its neighbours, all of its kind selected, one pointed at."""
    from playwright.sync_api import sync_playwright

    page = evaluate(SHIPPED / "demo.yaml").folder / "explorer.html"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.goto(page.as_uri())
        word = "const word = DATA.columns.label.words.indexOf(name);"
        rows = tab.evaluate(
            f"(name) => {{ {word} return upTo(N).filter((row) => DATA.columns.label.codes[row] === word); }}",
            SHOWN,
        )
        tab.evaluate("(rows) => { pick(rows[0]); select(rows); }", rows)
        x, y = tab.evaluate("(row) => map.at(row)", rows[3])
        tab.mouse.move(
            tab.locator("#map").bounding_box()["x"] + x, tab.locator("#map").bounding_box()["y"] + y
        )
        tab.wait_for_timeout(500)
        tab.screenshot(path=HERE / "explorer.png")
        browser.close()
    Image.open(HERE / "explorer.png").convert("RGB").quantize(200).save(HERE / "explorer.png", optimize=True)


def make_traces() -> None:
    """Traces of the benchmark's first seed, by the session that ships."""
    config = load_config()
    made = write_gestures(config.data / "traces", 0, GESTURES, (1, 15))["test"]
    draw_traces(train(ROOT / "session_params" / "training" / "movements.yaml"), made, config.data / "traces")


def draw_traces(run: Run, made: list[Gestures], folder: Path) -> None:
    """Columns of a trace beside what is rebuilt, and true activations beside the codes that follow them."""
    model = run.model()
    data = run.session.data.for_all().at(str(folder / "test"), load_config()).open().sized_for(*model.takes)
    seen = [data.front(data.gather(np.array([row]), torch.device("cpu"))) for row in range(len(data))]
    with torch.no_grad():
        codes = [model.encode(one) for one in seen]
        row = int(np.argmin([abs(one.shape[-1] - N_SECONDS * RATE_HZ) for one in seen]))
        rebuilt = model.decode(codes[row])[0, 0].numpy()
    followed = halves([one[0, :, 0].T.numpy() for one in codes], 7)
    matches = [match for match, _ in matched(followed, together([one.activations for one in made]))]
    own = halves([codes[row][0, :, 0].T.numpy()], 7)
    figure = Figure((13, 4), figures.DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    seconds = np.arange(len(made[row].trace)) / RATE_HZ
    for line, name in enumerate(reversed(DRAWN)):
        number = COLUMNS.index(name)
        left.plot(seconds, 5 * line + seen[row][0, 0, number], color=figures.COLOURS["train"], linewidth=1)
        left.plot(seconds, 5 * line + rebuilt[number], color=figures.COLOURS["valid"], linewidth=1)
    left.set(title="four of 13 columns (blue), rebuilt (orange)", xlabel="time (s)")
    left.set_yticks(5 * np.arange(len(DRAWN)), DRAWN[::-1])
    for line, match in enumerate(matches):
        truth, code = made[row].activations[:, line], match.follow(own)[12:-12]
        scale = np.quantile(match.follow(followed), 0.999)
        right.fill_between(seconds, line, line + 0.6 * truth, color="lightgrey", linewidth=0)
        right.plot(seconds, line + code / scale, color=figures.COLOURS["train"], linewidth=1)
    right.set(title="gestures (grey), and the code that follows each (blue)", xlabel="time (s)")
    right.set_yticks(range(len(matches)), [f"gesture {number + 1}" for number in range(len(matches))])
    figures.write_figure(HERE / "traces.png", figure)
    Image.open(HERE / "traces.png").convert("RGB").quantize(64).save(HERE / "traces.png", optimize=True)


if __name__ == "__main__":
    main()
