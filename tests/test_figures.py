"""Figures are valid pictures that show what they are given, few or many, narrow or wide, grey or coloured."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY, write_pictures
from matplotlib.font_manager import findfont
from matplotlib.text import Text
from PIL import Image
from traces import NAMES, curves, kind, save

from saec import figures, fonts, gallery
from saec.data import DATA, VIEWS, Cache, Dataset, Loader
from saec.data.batch import Axes
from saec.data.fronts import PictureFront
from saec.data.png import SIDECAR, sidecar_axes
from saec.data.stored import Mapped
from saec.gallery import show_folder, show_rebuilt, show_views
from saec.models import MODELS
from saec.samples import Samples

CPU = torch.device("cpu")


def pictures(n: int, channels: int = 1, height: int = 16, width: int = 24) -> np.ndarray:
    return np.random.default_rng(0).random((n, channels, height, width)).astype(np.float32)


def seen(file: Path) -> np.ndarray:
    """(height, width, 3) of a figure that could be read."""
    with Image.open(file) as figure:
        assert figure.format == "PNG"
        return np.asarray(figure.convert("RGB"))


def holds(figure: np.ndarray, colour: tuple[float, ...], at_least: int = 50) -> bool:
    """Whether so many pixels have the colour, given in [0, 1]."""
    distance = np.abs(figure - 255 * np.array(colour[:3])).max(axis=-1)
    return int((distance < 3).sum()) >= at_least


def names(n: int) -> list[str]:
    return [f"rec_segm_{index:04d}.png" for index in range(n)]


@pytest.mark.parametrize(("n", "width"), [(1, 24), (33, 24), (3, 8), (3, 4000)])
def test_any_number_of_pictures_of_any_width_is_shown_and_no_figure_stays_open(tmp_path, n, width):
    columns = {"original": pictures(n, width=width), "error": pictures(n, width=width)}
    gallery.panels(tmp_path / "panels.png", columns, names(n), "title")
    assert len(np.unique(seen(tmp_path / "panels.png"))) > 100
    assert [file.name for file in tmp_path.iterdir()] == ["panels.png"]
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize(("height", "width"), [(128, 16), (128, 128), (64, 900)])
def test_titles_headings_and_axes_are_whole_and_do_not_overlap(tmp_path, drawn, height, width):
    """Whatever the size of the pictures: all words lie within the figure, none of a row in another."""
    columns = dict.fromkeys(("original", "reconstruction", "error"), pictures(18, 1, height, width))
    title = "rebuilt by a run with a very long name after 200 epochs, and some more words behind it"
    gallery.panels(tmp_path / "x.png", columns, names(18), title, Axes(0.394, np.linspace(0, 12_000, height)))
    words = [text for text in drawn[0].findobj(Text) if text.get_text() and text.get_visible()]
    boxes = {text: text.get_window_extent() for text in words}
    right, top = drawn[0].bbox.max
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= right and box.y1 <= top, text
    headings = [box for text, box in boxes.items() if text.get_text().startswith(("orig", "recon", "error"))]
    assert len(headings) >= 3 and not any(a.overlaps(b) for a, b in itertools.combinations(headings, 2))
    shown = {text.get_text() for text in words}
    assert {"0.394 s", "12 kHz"} <= shown and title in {" ".join(one.split()) for one in shown}


@pytest.mark.parametrize(
    ("losses", "labels"), [([3.0, 0.3, 0.02], {"1", "0.1", "0.02"}), ([0.3, 0.29, 0.31], {"0.3000"})]
)
def test_an_axis_of_losses_has_labels_however_far_they_fall(tmp_path, drawn, losses, labels):
    rows = [{"epoch": n, "train_loss": loss, "valid_loss": loss} for n, loss in enumerate(losses, 1)]
    figures.history(tmp_path / "x.png", rows, 1, None)
    assert labels <= {label.get_text() for label in drawn[0].axes[0].get_yticklabels()}


def test_more_than_sixteen_pictures_go_into_a_second_block_beside_the_first(tmp_path):
    sizes = []
    for n in (16, 17):
        gallery.panels(tmp_path / "panels.png", {"seen": pictures(n, width=640)}, names(n), "title")
        sizes.append(seen(tmp_path / "panels.png").shape[:2])
    assert sizes[1][0] < sizes[0][0] and sizes[1][1] > 1.5 * sizes[0][1]


def test_intensity_is_drawn_from_dark_at_0_to_bright_at_1_and_rgb_in_its_own_colours(tmp_path):
    dark_and_bright = np.zeros((2, 1, 16, 24), np.float32)
    dark_and_bright[1] = 1
    gallery.panels(tmp_path / "panels.png", {"seen": dark_and_bright}, names(2), "title")
    viridis = matplotlib.colormaps[gallery.PICTURE_MAP]
    figure = seen(tmp_path / "panels.png")
    assert holds(figure, viridis(0.0)) and holds(figure, viridis(1.0))
    red = np.zeros((1, 3, 16, 24), np.float32)
    red[:, 0] = 1
    gallery.panels(tmp_path / "panels.png", {"seen": red}, names(1), "title")
    assert holds(seen(tmp_path / "panels.png"), (1, 0, 0))


def test_an_error_is_drawn_in_colours_of_its_own_up_to_its_largest(tmp_path):
    magma = matplotlib.colormaps[gallery.ERROR_MAP]
    for channels, largest in ((1, 0.01), (3, 0.01), (1, 0)):
        error = np.zeros((2, channels, 16, 24), np.float32)
        error[1] = largest
        gallery.panels(tmp_path / "panels.png", {"error": error}, names(2), "title")
        figure = seen(tmp_path / "panels.png")
        assert holds(figure, magma(0.0)) and (holds(figure, magma(1.0)) or not largest)


@pytest.mark.parametrize(
    ("losses", "trivial"),
    [([0.3], None), ([0.3, 0.1, 0.2], 0.25), ([0.0, 0.0], 0.25), ([-1.0, 2.0], None), ([1e-9] * 300, 0.25)],
)
def test_a_history_of_any_losses_is_drawn_in_two_colours(tmp_path, losses, trivial):
    rows = [
        {"epoch": index + 1, "train_loss": loss, "valid_loss": 1.1 * loss}
        for index, loss in enumerate(losses)
    ]
    trivial = trivial and [trivial / row["epoch"] for row in rows]
    figures.history(tmp_path / "history.png", rows, 1, trivial)
    for colour in figures.COLOURS.values():
        assert holds(seen(tmp_path / "history.png"), matplotlib.colors.to_rgb(colour), at_least=10)


def dataset(n: int, channels: str) -> Dataset:
    stored = np.random.default_rng(0).integers(0, 256, (n, 128, 32), dtype=np.uint8)
    front = PictureFront(
        (128, 32), channels, colours=np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    )
    return Dataset(Samples.of(names(n)), Mapped(stored), np.arange(n), front, "", {})


@pytest.mark.parametrize(("n", "channels"), [(1, "intensity"), (18, "intensity"), (2, "rgb")])
def test_galleries_show_few_pictures_or_some_of_many(tmp_path, monkeypatch, n, channels):
    monkeypatch.setattr(gallery, "N_VIEWS", 12)
    monkeypatch.setattr(gallery, "N_REBUILT", 16)
    data = dataset(n, channels)
    loader = Loader(data, VIEWS.parse("denoise"), 4, CPU, 0)
    model = MODELS.parse(TINY)(data.shape).eval()
    show_views(loader, tmp_path / "views.png", "views")
    show_rebuilt(loader, model, "fp32", tmp_path / "rebuilt.png", "rebuilt")
    show_folder(model, data, 3, CPU, "fp32", tmp_path / "folder.png")
    for name in ("views.png", "rebuilt.png", "folder.png"):
        assert len(np.unique(seen(tmp_path / name))) > 100


def test_two_views_of_one_sample_are_called_so_and_axes_are_those_of_the_front_end(tmp_path, drawn):
    data = dataset(3, "intensity")
    front = replace(data.front, stored_axes=Axes(0.394, np.linspace(0, 12_000, 128)))
    for view, headings in (("pair", {"view 1", "view 2"}), ("denoise", {"seen", "target"})):
        loader = Loader(replace(data, front=front), VIEWS.parse(view), 4, CPU, 0)
        show_views(loader, tmp_path / "views.png", "views")
        assert {*headings, "0.394 s", "12 kHz"} <= {text.get_text() for text in drawn[-1].findobj(Text)}


@pytest.mark.parametrize(("rate_hz", "end"), [(100.0, "6 s"), (None, "600 frames")])
def test_traces_are_drawn_to_their_ends_each_column_in_its_own_range(tmp_path, drawn, config, rate_hz, end):
    """What is behind a trace's own frames is not drawn, and a target that is what is seen is drawn once."""
    for name, n in {"long": 600, "short": 150}.items():
        array = curves(n)
        array[3, 1] = 1e6 if name == "long" else 0  # in which the others of this column would be lost
        save(tmp_path / "traces" / f"{name}.npy", array)
    data = kind(tmp_path / "traces", config, names=NAMES, rate_hz=rate_hz).open().sized_for(None, 4)
    loader = Loader(data, VIEWS.parse("plain"), 2, CPU, 0)
    model = MODELS.parse({"name": "conv1d", "encoder_blocks": 2, "decoder_blocks": 2, "inner": 768})
    model = model(data.shape).eval()
    show_views(loader, tmp_path / "views.png", "views")
    show_rebuilt(loader, model, "fp32", tmp_path / "rebuilt.png", "rebuilt")
    show_folder(model, data, 2, CPU, "fp32", tmp_path / "folder.png")
    headings = {"seen = target"}, {"original = target", "reconstruction"}, {"original", "reconstruction"}
    for figure, words in zip(drawn, headings, strict=True):
        assert {*NAMES, "0", end, *words} <= {text.get_text() for text in figure.findobj(Text)}
        pictures = [image.get_array().filled(np.nan) for image in figure.axes[0].images]
        for long, short in zip(pictures[::2], pictures[1::2], strict=True):
            assert np.isfinite(long).all() and np.isfinite(short[:, :63]).all()
            assert np.isnan(short[:, 66:]).all()
        assert np.ptp(pictures[0][10:20, 10:]) > 0.5


@pytest.mark.parametrize(
    ("fit", "width", "seconds"), [("pad", 48, 0.6), ("crop", 32, 0.4), ("resize", 48, 0.5), ("none", 40, 0.5)]
)
def test_a_picture_lasts_as_long_as_its_sidecar_says_and_as_its_fit_makes_it(tmp_path, fit, width, seconds):
    write_pictures(tmp_path, np.zeros((1, 8, 40), np.uint8))
    about = {"time_axis": (np.arange(40) / 80).tolist(), "frequency_axis": [*range(0, 900, 100)]}
    (tmp_path / SIDECAR).write_text(json.dumps(about))
    front = PictureFront((8, 40), "intensity", fit, stored_axes=sidecar_axes(tmp_path, (8, 40)))
    axes = front.sized_for(None, 16 if width != 40 else 8).axes
    assert axes.seconds == pytest.approx(seconds) and axes.hertz.tolist() == [*range(0, 800, 100)]


@pytest.mark.parametrize(
    "about", [None, {}, {"time_axis": 3, "frequency_axis": "x"}, {"time_axis": [1, 0] * 20}]
)
def test_a_sidecar_that_says_no_axes_gives_none(tmp_path, about):
    if about is not None:
        (tmp_path / SIDECAR).write_text(json.dumps(about))
    assert sidecar_axes(tmp_path, (8, 40)) == Axes(None, None)


@pytest.mark.parametrize(
    ("options", "seconds", "highest"),
    [
        ({"fit": "pad", "length_s": 1.0, "spectrum": {"name": "linear", "n_fft": 256}}, 1.0, 7_937.5),
        ({"fit": "resize", "length_s": 1.0, "spectrum": {"name": "linear", "n_fft": 256}}, None, 7_937.5),
        ({"fit": "resize", "segment_s": 0.5, "spectrum": {"name": "mfcc"}}, 0.5, None),
    ],
)
def test_a_spectrum_lasts_as_long_as_its_samples_where_all_last_the_same(tmp_path, options, seconds, highest):
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16_000)), 16_000)
    kind = DATA.parse({"kind": "audio", "train": "x", **options})(tmp_path, Cache(tmp_path / "cache", 1e9))
    axes = kind.sizes().front.sized_for(None, 1).axes
    assert axes.seconds == (seconds and pytest.approx(seconds, rel=0.05))
    assert (axes.hertz is None) if highest is None else axes.hertz[-1] == highest


def test_letters_that_the_font_lacks_are_of_another_font_or_are_said_once(tmp_path, drawn, caplog):
    fonts._warn_of_boxes.cache_clear()
    fonts.font_for.cache_clear()
    for number in range(2):
        gallery.panels(tmp_path / f"{number}.png", {"seen": pictures(1)}, ["シジュウカラ.wav"], "四十雀")
    font = fonts.font_for(frozenset("四十雀"))
    families = {tuple(text.get_fontfamily()) for text in drawn[-1].findobj(Text) if "四" in text.get_text()}
    if font:
        assert families == {("DejaVu Sans", font)}
    else:
        assert caplog.text.count("no font of this machine has all letters") == 1
    assert fonts.font_for(frozenset()) is None


def test_a_font_that_has_the_letters_is_found():
    """As symbols of mathematics are in a font that matplotlib itself brings."""
    lacking = fonts.letters_of(findfont("STIXGeneral")) - fonts.letters_of(findfont("DejaVu Sans"))
    letter = sorted(lacking)[0]
    assert fonts.font_for(frozenset(letter)) is not None


def test_whiskers_of_scores_end_at_0_and_1_and_are_none_where_nothing_deviates():
    lengths = figures._whiskers([0.99, 0.5, 0.01, 0.7], [0.02, 0.1, 0.02, np.nan])
    assert np.allclose(lengths, [[0.02, 0.1, 0.01, 0], [0.01, 0.1, 0.02, 0]])
