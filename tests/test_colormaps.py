"""Colour maps invert exactly: a colour-mapped picture and its intensity say the same."""

import matplotlib
import numpy as np
import pytest

from saec.data.png import ELSEWHERE, USUAL, levels, table, to_intensity
from saec.faults import Fault

COLOURED = [name for name in USUAL if name != "gray"]


def every_level() -> np.ndarray:
    """(16, 16): each level once, in an order of its own."""
    return np.random.default_rng(0).permutation(256).astype(np.uint8).reshape(16, 16)


@pytest.mark.parametrize("name", USUAL)
def test_rgb_to_intensity_to_rgb_is_exact_and_the_picture_is_in_no_other_map(name):
    picture = table(name)[every_level()]
    intensity = to_intensity(picture, name)
    assert intensity.dtype == np.uint8 and intensity.shape == (16, 16)
    assert np.array_equal(table(name)[intensity], picture)
    assert [other for other in USUAL if to_intensity(picture, other) is not None] == [name]


def test_of_levels_with_one_colour_the_lower_is_taken():
    n_colours = []
    for name in COLOURED:
        colours = [tuple(colour) for colour in table(name).tolist()]
        expected = np.array([colours.index(colour) for colour in colours])
        assert np.array_equal(to_intensity(table(name)[None], name)[0], expected)
        n_colours.append(len(set(colours)))
    assert min(n_colours) < 256


@pytest.mark.parametrize("name", COLOURED)
def test_the_table_is_matplotlibs_own_bytes_which_are_truncated(name):
    floats = matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    truncated = np.floor(floats * 255).astype(int)
    assert np.array_equal(table(name), matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3])
    assert np.abs(table(name).astype(int) - truncated).max() <= 1  # of a product such as 0.2 * 255
    assert np.mean(table(name) == truncated) > 0.99
    assert np.mean(table(name) == np.round(floats * 255)) < 0.8


def test_a_picture_with_one_colour_that_is_not_in_the_map_has_no_intensity():
    picture = table("viridis")[every_level()]
    picture[3, 5] = (255, 0, 0)
    assert levels("viridis")[255 << 16] == ELSEWHERE
    assert to_intensity(picture, "viridis") is None


def test_grey_is_its_own_intensity_in_one_channel_or_three_where_all_pixels_are_grey():
    levels = every_level()
    picture = np.repeat(levels[..., None], 3, axis=-1)
    assert np.array_equal(table("gray")[levels], picture)
    for same in (levels, picture):
        assert np.array_equal(to_intensity(same, "gray"), levels)
    picture[0, 0, 2] ^= 1
    assert to_intensity(picture, "gray") is None
    assert to_intensity(levels, "viridis") is None  # one channel is in no coloured map


def test_a_map_of_fewer_colours_is_resampled_to_256_and_an_unknown_one_refused_with_the_nearest_name():
    assert table("tab10").shape == (256, 3)
    with pytest.raises(Fault, match="unknown colour map 'virids', did you mean 'viridis'"):
        table("virids")
