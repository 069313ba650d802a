"""The page's content: positions, neighbours, clusters, small pictures, and that no text in it can run."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from conftest import intensities, write_pictures
from PIL import Image

from saec.explorer.page import N_NEIGHBORS, Points, Space, links, thumbnails, write_explorer

N = 30


@pytest.fixture
def points() -> Points:
    """Three heaps, of which the second is twice as large."""
    rng = np.random.default_rng(0)
    kinds = np.array([0] * 7 + [1] * 16 + [2] * 7)
    rows = 10 * np.eye(3)[kinds] + rng.normal(size=(N, 3))
    names = np.array([f"picture_{number:02d}.png" for number in range(N)])
    clusters = np.where(np.arange(N) == 29, "-1", kinds.astype(str))
    columns = {
        "label": np.array(["crow", "tit", "wren"])[kinds],
        "loudness (dB)": rng.normal(size=N),
        "kmeans of ours": clusters,
    }
    return Points(names, {"ours": Space.of(rows, rows[:, :2])}, columns, {"kmeans of ours": "ours"})


def content(page: Path) -> dict:
    pattern = r'<script id="data" type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, page.read_text("utf-8"), re.S)[1])


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def test_the_page_holds_what_it_was_given_but_no_column_without_numbers(points, tmp_path):
    points.columns.update({"hour": np.where(np.arange(N) == 3, np.inf, 23.5), "holes": np.full(N, np.nan)})
    left_out = write_explorer(tmp_path / "page.html", points, "thirty pictures", color="label")
    data = content(tmp_path / "page.html")
    columns = data["columns"]
    assert left_out == ["holes"] and "holes" not in columns and columns["hour"]["cycle"] == 24
    assert np.isnan(unpacked(columns["hour"]["values"], "<f4")).nonzero()[0].tolist() == [3]
    assert data["names"] == points.names.tolist() and data["color"] == "label"
    words = np.array(columns["label"]["words"])[unpacked(columns["label"]["codes"], "<i4")]
    assert words.tolist() == points.columns["label"].tolist()
    loudness = unpacked(columns["loudness (dB)"]["values"], "<f4")
    assert np.allclose(loudness, points.columns["loudness (dB)"])
    space, ours = data["spaces"]["ours"], points.spaces["ours"]
    positions = unpacked(space["positions"], "<f4").reshape(N, 2)
    assert positions.min() >= 0 and positions.max() <= 1
    scale = np.ptp(ours.layout, axis=0).max()
    assert np.allclose(positions - positions[0], (ours.layout - ours.layout[0]) / scale, atol=1e-5)
    assert np.array_equal(unpacked(space["neighbors"], "<i4").reshape(N, -1), ours.neighbors)
    one = Points(np.array(["a.png"]), {"ours": Space.of(np.ones((1, 3)), np.zeros((1, 2)))}, {})
    write_explorer(tmp_path / "page.html", one, "one picture")
    assert content(tmp_path / "page.html")["color"] is None


def test_neighbours_are_of_the_same_heap_and_not_the_picture_itself(points):
    neighbors = points.spaces["ours"].neighbors
    assert neighbors.shape == (N, N_NEIGHBORS)
    assert not (neighbors == np.arange(N)[:, None]).any()
    kinds = points.columns["label"]
    assert all((kinds[neighbors[row, :6]] == kinds[row]).all() for row in range(N))


def test_clusters_are_listed_by_size_with_purity_and_medoids(points):
    first, second, third = points.cluster_list("kmeans of ours")
    assert [(one["name"], one["size"]) for one in (first, second, third)] == [("1", 16), ("0", 7), ("2", 6)]
    assert first["label"] == "tit" and first["purity"] == 1.0
    near = points.spaces["ours"].near[7:23]
    sums = np.square(near[:, None] - near[None]).sum(axis=(1, 2))
    assert first["medoids"][0] == 7 + sums.argmin()
    points.columns["label"][7:11] = ["crow", "crow", "", ""]  # as pure as the commonest label is common
    assert points.cluster_list("kmeans of ours")[0]["purity"] == pytest.approx(12 / 14)
    points.columns["label"][:] = ""
    assert points.cluster_list("kmeans of ours")[0]["purity"] is None


class Scripts(HTMLParser):
    """Counts what could run or be fetched."""

    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        assert not [key for key, _ in attributes if key.startswith("on")]


def test_names_and_labels_are_text_and_never_markup_and_nothing_else_is_fetched(points, tmp_path):
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    points.columns["label"] = points.columns["label"].astype("U100")
    points.columns["label"][0] = evil
    names = points.names.astype("U100")
    names[0] = evil + "\u2028.png"
    other = Points(names, points.spaces, points.columns | {evil: points.columns["label"]}, points.clusters)
    write_explorer(tmp_path / "page.html", other, evil)
    reader = Scripts()
    page = (tmp_path / "page.html").read_text("utf-8")
    reader.feed(page)
    assert "default-src 'none'" in page and "connect-src" not in page
    assert reader.tags.count("script") == 3 and "img" not in reader.tags
    assert reader.addresses == ["data:,"]
    data = content(tmp_path / "page.html")
    assert data["columns"]["label"]["words"][0] == evil and data["title"] == evil


def test_small_pictures_are_in_the_page_while_they_fit_and_else_relative_paths_that_are_quoted(tmp_path):
    images = tmp_path / "song #1 & more" / "images"
    names = np.array(write_pictures(images, intensities(N, width=256)))
    inside = thumbnails(images, names, 1.0)
    assert len(inside) == N and all(one.startswith("data:image/webp;base64,") for one in inside)
    with Image.open(io.BytesIO(base64.b64decode(inside[0].split(",")[1]))) as picture:
        assert picture.size == (160, 80)
    assert thumbnails(images, names, 0.001) is None
    paths = links(images, np.array(["a b?.png", 'q"uote.png']), tmp_path / "reports" / "today")
    assert unquote(paths[0]) == "../../song #1 & more/images/a b?.png"
    assert not set(' "#?&<') & set("".join(paths)) - {"&"}
