"""The page in a real browser: what is drawn, what pointing, lasso and keys do, and that nothing leaves it."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import intensities, write_pictures

from saec.explorer.page import Points, Space, write_explorer
from saec.explorer.sounds import Stretch
from saec.samples import FREQUENCIES, read_annotations

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt install chromium")
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
QUIET += "--disable-component-update --disable-sync --disable-extensions --disable-default-apps"
LOUD, OURS = ("error", "warning"), "readback"  # the browser's advice on what these tests do
ROWS = "(all) => all.map((one) => Number(one.dataset.row))"
DATES = ["2024-05-01", "2024-05-02", "2024-06-01"]
N, EVIL = 60, '<b onclick="alert(1)">tit</b>, "quoted"'


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, Points]:
    """Pictures in three heaps, the first one to the left below."""
    folder = tmp_path_factory.mktemp("page")
    names = np.array(write_pictures(folder / "images", intensities(N)))
    kinds = np.repeat(np.arange(3), 20)
    rng = np.random.default_rng(0)
    layout = np.array([[0, 0], [10, 0], [5, 9]])[kinds] + rng.normal(scale=0.6, size=(N, 2))
    rows = np.hstack([layout, rng.normal(scale=0.2, size=(N, 4))])
    columns = {
        "label": np.array(["crow", EVIL, "wren"])[kinds],
        "row": np.arange(N).astype(float),
        "kmeans": kinds.astype(str),
    }
    other = Space.of(rows[::-1].copy(), layout[::-1])
    points = Points(names, {"ours": Space.of(rows, layout), "other": other}, columns, {"kmeans": "ours"})
    (folder / "report").mkdir()
    write_explorer(folder / "report" / "page.html", points, "Sixty <pictures>", folder / "images")
    return folder / "report" / "page.html", points


@pytest.fixture
def page(browser, written) -> Iterator:
    """The page, opened from the disk; it fails a test when it complains, or asks for anything but itself."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, accept_downloads=True)
    tab = context.new_page()
    messages, errors, urls = [], [], []
    tab.on("console", lambda message: messages.append(message))
    tab.on("pageerror", lambda error: errors.append(error))
    tab.on("request", lambda request: urls.append(request.url))
    tab.goto(written[0].as_uri())
    until(tab, "map.frames > 0")
    yield tab
    assert errors == []
    assert not [one.text for one in messages if one.type in LOUD and OURS not in one.text]
    assert {url for url in urls if not url.startswith(("data:", "blob:"))} == {written[0].as_uri()}
    context.close()


def until(page, condition: str) -> None:
    """Playwright's own way of waiting would need `eval`, which the page forbids."""
    for _ in range(500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never came: {condition}")


def at(page, row: int) -> tuple[float, float]:
    """Returns the position of a picture's point in the window."""
    box = page.locator("#map").bounding_box()
    x, y = page.evaluate("(row) => map.at(row)", row)
    return box["x"] + x, box["y"] + y


def around(page, rows: list[int], margin: float = 12) -> list[tuple[float, float]]:
    """A closed path around points."""
    points = np.array([at(page, row) for row in rows])
    (left, top), (right, bottom) = points.min(0) - margin, points.max(0) + margin
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top + 1)]


def lasso(page, path: list[tuple[float, float]]) -> None:
    page.click("#lasso")
    page.mouse.move(*path[0])
    page.mouse.down()
    for point in path[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def selected(page) -> set[int]:
    return set(page.evaluate("state.rows"))


def coloured(page, x: float, y: float) -> bool:
    """Returns whether anything is drawn around a position in the window."""
    box = page.locator("#map").bounding_box()
    corner = "(x - 2) * map.ratio, (y - 2) * map.ratio"
    any_pixel = f"([x, y]) => map.pen.getImageData({corner}, 4, 4).data.some((v) => v)"
    return page.evaluate(any_pixel, [x - box["x"], y - box["y"]])


def test_points_are_drawn_and_show_picture_columns_and_neighbours_when_chosen(page, written):
    file, points = written
    assert all(coloured(page, *at(page, row)) for row in range(N))
    assert not coloured(page, page.locator("#map").bounding_box()["x"] + 4, at(page, 59)[1])
    page.mouse.move(*at(page, 7))
    tip, image = page.locator("#tip"), page.locator("#tip img")
    assert points.names[7] in tip.inner_text() and "label: crow" in tip.inner_text()
    assert image.get_attribute("src") == page.evaluate("DATA.thumbnails[7]")
    assert image.evaluate("(image) => image.naturalWidth") > 0
    page.mouse.click(*at(page, 7))
    tiles = page.locator("#neighbors button")
    rows = tiles.evaluate_all(ROWS)
    assert rows == points.spaces["ours"].neighbors[7].tolist()
    assert points.names[7] in page.locator("#shown").inner_text()
    tiles.first.click()
    assert points.names[rows[0]] in page.locator("#shown").inner_text()


def test_the_lasso_selects_what_lies_in_it_nearest_to_the_centre_first_and_adds_on_shift(page, written):
    lasso(page, around(page, list(range(20))))
    assert selected(page) == set(range(20))
    shown = page.locator("#gallery button").evaluate_all(ROWS)
    near = written[1].spaces["ours"].near[:20]
    expected = np.argsort(np.linalg.norm(near - near.mean(0), axis=1))
    assert shown[0] == expected[0] and set(shown) == set(range(20))
    assert "20 of 60 pictures" in page.locator("#count").inner_text()
    page.click("#add")
    lasso(page, around(page, list(range(20, 40))))
    assert selected(page) == set(range(40))
    page.click("#clear")
    assert selected(page) == set()


def test_a_selection_is_named_and_downloaded_as_a_table_of_labels(page, written, tmp_path):
    lasso(page, around(page, list(range(20, 40))))
    page.fill("#word", EVIL)
    page.click("text=Name these")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "annotations.csv")
    with (tmp_path / "annotations.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["file"] for row in rows] == written[1].names[20:40].tolist()
    assert {row["label"] for row in rows} == {EVIL}
    assert "20 of 60 pictures are named" in page.locator("#named").inner_text()


def test_names_that_are_given_colour_the_map_survive_a_reload_and_can_be_taken_back(page):
    def name(word: str) -> None:
        page.fill("#word", word)
        page.click("text=Name these")

    lasso(page, around(page, list(range(20))))
    page.select_option("#color", "names given here")
    name("loud")
    assert "loud (20)" in page.locator("#legend").inner_text()
    assert page.evaluate("map.dressed.looks[map.dressed.of[3]].word") == "loud"
    name("")
    assert "loud" not in page.locator("#legend").inner_text()
    page.evaluate("select([1, 2])")
    name("hello")
    page.reload()
    assert page.evaluate("state.given") == {"1": "hello", "2": "hello"}


def test_clusters_are_chosen_words_are_shown_as_they_are_and_colours_and_space_change(page):
    assert EVIL in page.locator("#legend").inner_text() and page.locator("#legend b").count() == 0
    assert page.title() == "Sixty <pictures>"
    lines = page.locator("#list tr")
    assert lines.count() == 3 and "1.00" in lines.first.inner_text()
    lines.nth(1).locator("button").first.click()
    assert len(selected(page)) == 20
    before = page.evaluate("map.dressed.looks.length")
    page.select_option("#color", "row")
    assert page.evaluate("map.dressed.looks.length") == 16 != before
    here = at(page, 0)
    page.select_option("#space", "other")
    assert np.hypot(*(np.array(at(page, 0)) - here)) > 50


def test_the_wheel_zooms_where_it_is_and_dragging_moves(page):
    x, y = at(page, 30)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    until(page, "map.transform.k > 1.2")
    assert np.hypot(*(np.array(at(page, 30)) - (x, y))) < 2
    page.mouse.down()
    page.mouse.move(x + 80, y + 40, steps=5)
    page.mouse.up()
    assert np.allclose(np.array(at(page, 30)) - (x, y), (80, 40), atol=2)
    page.click("#home")
    assert page.evaluate("map.transform.k") == 1


def test_keys_do_all_that_a_mouse_does(page, written):
    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)

    page.focus("#map")
    press("+")
    assert page.evaluate("map.transform.k") == pytest.approx(1.4)
    press("ArrowLeft", "0")
    assert page.evaluate("map.transform.k") == 1
    press("n", "n", "Enter")
    assert written[1].names[1] in page.locator("#shown").inner_text()
    assert page.locator("#neighbors button").count() == 12
    for keys, rows in ((" ",), {1}), (("n", " "), {1, 2}), ((" ",), {1}), (("a",), set(range(N))):
        press(*keys)
        assert selected(page) == rows
    press("Escape")
    assert selected(page) == set()
    press("l")
    assert page.get_attribute("#lasso", "aria-pressed") == "true"


def test_at_phone_width_all_stands_below_each_other_and_a_tap_shows_a_picture(browser, written):
    context = browser.new_context(viewport={"width": 380, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(written[0].as_uri())
    until(page, "map.frames > 0 && map.width < 380")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert page.locator("aside").bounding_box()["y"] > page.locator("#map").bounding_box()["y"] + 200
    assert all(coloured(page, *at(page, row)) for row in (0, 30, 59))
    page.touchscreen.tap(*at(page, 12))
    page.wait_for_selector("#shown img")
    assert written[1].names[12] in page.locator("#shown").inner_text()
    context.close()


def test_pictures_by_relative_path_are_shown_too(browser, written):
    file, points = written
    write_explorer(file.with_name("far.html"), points, "far", file.parents[1] / "images", thumbnails_mb=0)
    tab = browser.new_page()
    tab.goto(file.with_name("far.html").as_uri())
    tab.evaluate("pick(3)")
    until(tab, "document.querySelector('#shown img').naturalWidth === 32")
    tab.close()


def test_without_pictures_neighbours_and_medoids_are_names(browser, written):
    file, points = written
    write_explorer(file.with_name("names.html"), points, "names", None)
    tab = browser.new_page()
    tab.goto(file.with_name("names.html").as_uri())
    tab.evaluate("pick(3)")
    for shown, n in (("#neighbors", 12), ("#list td:last-child", 9)):
        texts = tab.locator(f"{shown} button").all_inner_texts()
        assert len(texts) == n and {text.strip("\u200e") for text in texts} <= {*points.names}
        assert not tab.locator(f"{shown} .missing").first.is_visible()
    tab.close()


@pytest.mark.parametrize("megabytes", [1, 0])
def test_a_sound_is_played_from_the_page_or_from_its_part_of_the_recording(browser, tmp_path, megabytes):
    """Its name is given to selections, which are saved as the tables of other programs."""
    path = tmp_path / "sounds" / "a b#.wav"
    path.parent.mkdir()
    soundfile.write(path, 0.1 * np.sin(np.arange(64_000)), 16_000)
    bands = (None, None, (200.0, 7999.875))
    spans = zip((0.0, 0.5, 1.25), bands, strict=True)
    stretches = [Stretch("wood/a b#.wav", start, start + 0.5, path, band) for start, band in spans]
    stretches += [Stretch("wood_a b#.wav", 3.0, 4.5)]
    names, rows = np.array([f"{row}.wav" for row in range(4)]), np.eye(4, 2)
    clock = {"hour": np.array([0.5, 23.9, np.nan, -12.0]), "date": np.array([*DATES[:2], "", DATES[2]])}
    points = Points(names, {"ours": Space.of(rows, rows)}, clock, {}, stretches, "sounds")
    (tmp_path / "report").mkdir()
    write_explorer(tmp_path / "report" / "page.html", points, "four", sounds_mb=megabytes)
    tab = browser.new_page()
    tab.goto((tmp_path / "report" / "page.html").as_uri())
    until(tab, "map.frames > 0")
    tab.evaluate("OKABE_ITO.length = 3")  # more words than that are in order
    looks = tab.evaluate("[0, 1, 2, 3].map((row) => map.dressed.looks[map.dressed.of[row]].word)")
    assert looks == ["0", "23", "none", "12"]
    assert "One of the sounds" in tab.locator("#picture").inner_text()
    tab.select_option("#color", "date")
    looks = tab.evaluate("[0, 1, 2, 3].map((row) => map.dressed.looks[map.dressed.of[row]])")
    assert [look["word"] for look in looks] == ["2024-05-01", "2024-05-02", "none", "2024-06-01"]
    assert len({look["color"] for look in looks}) == 4
    tab.evaluate("pick(2)")
    source = tab.get_attribute("#shown audio", "src")
    assert (
        source.startswith("data:audio/ogg") if megabytes else source == "../sounds/a%20b%23.wav#t=1.25,1.75"
    )
    tab.click("#shown img")
    until(tab, "document.querySelector('#shown audio').currentTime > (DATA.clips ? 0 : 1.25)")
    until(tab, "document.querySelector('#shown audio').paused")
    played = tab.evaluate(
        "[document.querySelector('audio')].flatMap((one) => [one.duration, one.currentTime, one.error])"
    )
    assert played == (
        [pytest.approx(0.5, abs=0.02)] * 2 if megabytes else [4, pytest.approx(1.75, abs=0.5)]
    ) + [None]
    tab.evaluate("pick(3)")
    assert tab.locator("#shown audio").count() == 0  # its recording is not at hand
    tab.evaluate("select([0, 2, 3])")
    tab.fill("#word", "tit\tand wren")
    tab.click("text=Name these")
    saved = []
    tab.on("download", lambda one: saved.append(one))
    for form in ("raven", "audacity"):
        saved.clear()
        tab.select_option("#form", form)
        tab.click("#download")
        for _ in range(100):
            tab.wait_for_timeout(20 if len(saved) < 2 else 0)
        files = {one.suggested_filename: tmp_path / one.suggested_filename for one in saved}
        for one in saved:
            one.save_as(files[one.suggested_filename])
        assert sorted(files) == [f"wood_a_b_.wav-2.{form}.txt", f"wood_a_b_.wav.{form}.txt"]
        table = read_annotations(files[f"wood_a_b_.wav.{form}.txt"], required=("start", "end", "label"))
        assert table[["start_s", "end_s"]].to_numpy().tolist() == [[0, 0.5], [1.25, 1.75]]
        assert set(table["label"]) == {"tit and wren"}
        assert set(table["file"]) == ({"a b#.wav"} if form == "raven" else {""})
        assert table[FREQUENCIES].fillna("").to_numpy().tolist() == [["", ""], ["200", "7999.875"]]
    tab.close()


@pytest.mark.slow
def test_twenty_thousand_points_move_fluidly(browser, tmp_path):
    """No stopwatch decides: at least some frames are drawn for each movement of the mouse."""
    rng = np.random.default_rng(0)
    n = 20_000
    layout = rng.normal(size=(n, 2)) + 6 * rng.integers(0, 3, (n, 2))
    space = Space(layout, rng.integers(0, n, (n, 12)), rng.normal(size=(n, 16)))
    labels = rng.integers(0, 12, n).astype(str)
    points = Points(np.array([f"{row:06d}.png" for row in range(n)]), {"ours": space}, {"label": labels})
    write_explorer(tmp_path / "page.html", points, "many")
    assert (tmp_path / "page.html").stat().st_size < 8e6
    tab = browser.new_page(viewport={"width": 1200, "height": 800})
    tab.goto((tmp_path / "page.html").as_uri())
    until(tab, "map.frames > 0")
    before = tab.evaluate("map.frames")
    tab.mouse.move(400, 400)
    tab.mouse.down()
    for step in range(40):
        tab.mouse.move(400 + 3 * step, 400 + step)
    tab.mouse.up()
    until(tab, "!map.inMotion")
    assert tab.evaluate("map.frames") - before > 10
    assert len(tab.evaluate("(() => { select(map.visible()); return state.rows; })()")) > 0
    tab.close()
