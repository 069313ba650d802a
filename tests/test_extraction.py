"""Features against the model's own encoding and slow numpy; small folders; feature files read again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, extraction_session, intensities, write_pictures
from PIL import Image
from small_runs import Songs, untrained_run, workplace

from saec import extract
from saec.config import ROOT
from saec.faults import Fault, MissingFault
from saec.features import Features
from saec.runs import Run
from saec.session import SessionError

N = 12
LEVELS = intensities(N)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Songs:
    """Twelve grey pictures, whose bytes are their intensity, and a run; nothing in it is changed."""
    return Songs(workplace(tmp_path_factory.mktemp("project")), LEVELS)


@pytest.fixture
def extracted(shared, tmp_path):
    """Extracts with changes to the session, into a folder of the test's own."""
    return lambda **changes: shared.extract(**{"out": str(tmp_path / "out")} | changes)


@torch.no_grad()
def assert_own_encoding(features: Features, run: Run, levels: np.ndarray) -> None:
    """(n, channels, time): one picture at a time through the run's encoder, in plain torch."""
    encoder = run.model().encoder
    pictures = torch.from_numpy(levels).float() / 255
    expected = np.stack([encoder(picture[None, None])[0, :, 0].numpy() for picture in pictures])
    np.testing.assert_allclose(features.X, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def pooled_of(features: Features) -> np.ndarray:
    return Features.load(features.roles["pooled"]).X


def about(features: Features) -> dict:
    return json.loads(features.paths[-1].read_text())


def other_folder(tmp_path: Path, levels: np.ndarray, colormap: str = "gray") -> dict:
    write_pictures(tmp_path / "own" / "images", levels, colormap)
    return {"images": str(tmp_path / "own" / "images")}


def test_latents_are_the_models_own_encoding_row_by_row_of_intensities(shared, extracted, tmp_path):
    assert_own_encoding(extracted(), shared.run, LEVELS)
    levels = LEVELS // 2 * 2  # some colours are shared by two levels
    coloured = extracted(data=other_folder(tmp_path, levels, "magma"), variant="magma")
    assert_own_encoding(coloured, shared.run, levels)


def test_a_model_of_rgb_sees_three_channels(config):
    songs = Songs(config, LEVELS[:3], data={"channels": "rgb"})
    write_pictures(songs.images, LEVELS[:3], "viridis")
    features = songs.extract()
    for name, latent in zip(features.N, features.X, strict=True):
        pixels = torch.from_numpy(np.array(Image.open(songs.images / name))).permute(2, 0, 1)
        with torch.no_grad():
            expected = songs.run.model().encoder(pixels[None] / 255)[0, :, 0]
        np.testing.assert_allclose(latent, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_pooled_features_are_means_then_deviations_of_the_trimmed_latents(extracted):
    features = extracted()
    kept = features.X[:, :, 1:-1].astype(np.float64)  # ceil(0.1 * 8) steps from each side
    pooled = pooled_of(features)
    assert features.roles["pooled"].name.startswith("pooled_mean_std_saec_") and pooled.dtype == np.float32
    expected = np.concatenate([kept.mean(axis=2), kept.std(axis=2)], axis=1)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("middle", "window"), [(0.5, 2.0), (0.1, None), (None, None)])
def test_the_training_set_settles_whether_edges_count_less(config, middle, window, log):
    songs = Songs(config, LEVELS[:4], record={"train": {"middle": middle} if middle else {}})
    stated = {} if window is None else {"window": window}
    plain = {"name": "weighted_stats", "trim": 0.1, **stated}
    features = songs.extract(pooling=plain | {"window": "auto"})
    of = about(features)
    assert of["settings"]["pooling"] == of["session"]["pooling"] == plain
    assert f"pooling.window: auto is {window or 0:g}, as" in log.text
    explicit = songs.extract(pooling=plain, out=str(config.data / "out"))
    np.testing.assert_array_equal(pooled_of(features), pooled_of(explicit))


@pytest.mark.parametrize(("width", "n_steps", "trim"), [(32, 8, 0.4), (32, 8, 4), (4, 1, 0.1)])
def test_latents_too_short_for_the_trimming_are_kept_whole(extracted, tmp_path, width, n_steps, trim, log):
    data = other_folder(tmp_path, intensities(3, width=width))
    features = extracted(data=data, pooling={"name": "mean_std", "trim": trim})
    assert features.X.shape == (3, TINY["latent"], n_steps)
    means, deviations = np.split(pooled_of(features), 2, axis=1)
    np.testing.assert_allclose(means, features.X.mean(axis=2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(deviations, features.X.std(axis=2), rtol=1e-5, atol=1e-6)
    words = f"latents have {n_steps} time steps, too few to trim {trim} of each side: all are kept"
    assert words in log.text


def test_half_precision_and_bf16_are_near_fp32_and_the_json_says_so(extracted):
    full, half = extracted(), extracted(latents="float16", variant="half")
    np.testing.assert_array_equal(half.X, full.X.astype(np.float16))
    assert half.X.dtype == np.float16 and pooled_of(half).tobytes() == pooled_of(full).tobytes()
    rough = extracted(precision="bf16", variant="rough")
    assert rough.X.dtype == np.float32 and about(rough)["settings"]["precision"] == "bf16"
    assert 0 < np.abs(rough.X - full.X).max() < 0.05 * np.abs(full.X).max()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("chosen", [slice(0, 12, 3), slice(7, 8)])
def test_a_row_does_not_depend_on_the_other_pictures(extracted, tmp_path, precision, chosen):
    data = other_folder(tmp_path, LEVELS)
    of_all = extracted(precision=precision, data=data)
    kept = of_all.N[chosen].tolist()
    for file in Path(data["images"]).iterdir():
        if file.name not in kept:
            file.unlink()
    of_some = extracted(precision=precision, data=data, variant="some")
    assert of_some.N.tolist() == kept
    np.testing.assert_allclose(of_some.X, of_all.X[chosen], rtol=0, atol=1e-6 * np.abs(of_all.X).max())


def test_the_size_of_a_batch_does_not_matter(extracted, monkeypatch):
    """Five make batches of 5, 5 and 2; a picture may also be larger than a batch should be."""
    expected = extracted().X
    for n_pixels in (2**21, 5 * 128 * 32, 1):
        monkeypatch.setattr("saec.extraction.sources.run.BATCH_PIXELS", n_pixels)
        result = extracted(variant=str(n_pixels)).X
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.usefixtures("like_windows")
def test_weights_that_give_no_numbers_are_a_fault(config):
    songs = Songs(config, LEVELS)
    state = torch.load(songs.run.folder / "best.pt", weights_only=True)
    next(iter(state["model"].values())).fill_(float("nan"))
    torch.save(state, songs.run.folder / "best.pt")
    with pytest.raises(Fault, match="numbers that are not finite.*take another run"):
        songs.extract()
    assert not songs.files() and not songs.part.exists()


def test_reconstructions_are_drawn_when_the_session_says_so(extracted, tmp_path):
    extracted()
    assert not list((tmp_path / "out").glob("*.png"))
    file = extracted(reconstructions=3, variant="drawn").paths[-1]
    with Image.open(file.parent / f"reconstructions_{file.stem}.png") as figure:
        assert min(figure.size) > 50


def test_clusters_are_held_against_labels_where_there_are_some(shared, extracted, tmp_path, log):
    rows = [f"{name},{'abc'[i % 3]}" for i, name in enumerate(shared.names)]
    data = other_folder(tmp_path, LEVELS)
    (tmp_path / "own" / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    extracted(data=data)
    assert "clusters against 3 labels, pooled features, k-means: V-measure" in log.text


def test_all_pictures_but_bad_ones_are_taken_as_the_run_was_made_and_whatever_its_limit(config, log):
    songs = Songs(config, LEVELS, data={"skip_bad": True, "limit": 3})
    bad = songs.names[4]
    (songs.images / bad).write_bytes(b"")
    features = songs.extract()
    assert features.N.tolist() == [name for name in songs.names if name != bad]
    assert about(features)["left_out"] == [bad] and f"left out, unusable:\n  {bad}" in log.text
    assert_own_encoding(features, songs.run, np.delete(LEVELS, 4, axis=0))
    log.clear()
    songs.extract()
    assert "nothing to do" in log.text


def test_all_faults_of_a_session_are_reported_at_once(shared, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SessionError) as caught:
        shared.extract(run="20200101_000000", out=str(tmp_path / "file" / "below"))
    message = str(caught.value)
    assert "has 2 faults" in message and "  out: cannot write into" in message
    assert "  run: no run '20200101_000000' in" in message and "_untrained" in message


def test_pictures_that_do_not_fit_the_model_need_a_fit_of_the_extraction(shared, extracted, tmp_path):
    levels = intensities(2, width=30)
    data = other_folder(tmp_path, levels)
    with pytest.raises(SessionError, match="data.images: pictures are 30 wide .* multiple of 4"):
        extracted(data=data)
    features = extracted(data=data | {"fit": "pad"})
    assert features.X.shape == (2, TINY["latent"], 8)
    assert_own_encoding(features, shared.run, np.pad(levels, ((0, 0), (0, 0), (0, 2))))


def test_an_rgb_run_warns_of_pictures_in_another_colour_map_and_intensity_need_not(config, log):
    record = {"train": {"colormap": "viridis"}}
    rgb, grey = (
        untrained_run(config, data={"channels": channels}, record=record) for channels in ("rgb", "intensity")
    )
    words = "the model was trained on colour map viridis, these pictures have magma"
    for run, colormap, warned in ((rgb, "viridis", False), (grey, "magma", False), (rgb, "magma", True)):
        write_pictures(config.data / colormap, LEVELS[:2], colormap)
        out = f"{run.timestamp}_{colormap}"
        session = extraction_session(run.timestamp, data={"images": colormap}, out=out, reconstructions=0)
        extract(session, config)
        assert (words in log.text) == warned and ("the model was trained on" in log.text) == warned


def test_one_picture_has_features_but_no_map(extracted, tmp_path, log):
    features = extracted(data=other_folder(tmp_path, LEVELS[:1]), reduction={})
    assert features.X.shape == (1, 8, 8) and list(features.roles) == ["X", "pooled"]
    assert "1 pictures are too few for 2, 4, 8, 16 dimensions" in log.text
    assert about(features)["n_neighbors_used"] is None


def test_dimensions_that_few_pictures_do_not_allow_are_left_out(shared, tmp_path, log, monkeypatch, capsys):
    """Through the script: a warning is no failure."""
    monkeypatch.syspath_prepend(ROOT)
    from main_02_extract import main

    file = tmp_path / "small.json"
    file.write_text(json.dumps(shared.session(data=other_folder(tmp_path, LEVELS[:5]), reduction={})))
    config_file = shared.config.data.parent / "config" / "config.yaml"
    assert main([str(file), "--config", str(config_file)]) == 0
    assert "5 pictures are too few for 4, 8, 16 dimensions: d dimensions need max(4, d + 2)" in log.text
    assert "5 pictures have 4 neighbours, not 10" in log.text
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert names == [
        f"full_features_{shared.id}.npz",
        f"pooled_mean_std_{shared.id}.npz",
        f"dimred_2_neigh_10_{shared.id}.npz",  # named by the number that the session gives
        f"map_{shared.id}.npz",
        f"{shared.id}.json",
    ]
    assert json.loads((tmp_path / "own" / names[-1]).read_text())["n_neighbors_used"] == 4


def test_the_map_comes_with_other_dimensions(extracted):
    features = extracted(reduction={"dims": [3, 3]})
    assert list(features.roles) == ["X", "pooled", "reduced_3", "map"]
    with np.load(features.roles["reduced_3"], allow_pickle=False) as arrays:
        assert arrays["X_red"].shape == (N, 3) and arrays["X_2D"].shape == (N, 2)


# Feature files that are read


def feature_file(tmp_path: Path, save=np.savez, **arrays) -> Path:
    content = {"X": np.arange(24, dtype=np.float32).reshape(4, 3, 2), "N": np.array(list("abcd"))} | arrays
    save(tmp_path / "f.npz", **{key: value for key, value in content.items() if value is not None})
    return tmp_path / "f.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(("dtype", "order"), [(np.float16, "C"), (np.float32, "F"), (np.int16, "C")])
def test_features_are_read_as_numpy_loads_them_and_mapped_where_they_can_be(tmp_path, dtype, order, save):
    rows = np.arange(24).reshape(4, 6).astype(dtype, order=order)
    file = feature_file(tmp_path, save, X=rows, X_red=rows[:, :2])
    features = Features.load(file)
    assert isinstance(features.X, np.memmap) == (save is np.savez) and features.paths == [file]
    assert features.X.dtype == dtype and features.N.tolist() == list("abcd")
    np.testing.assert_array_equal(features.X, rows)
    np.testing.assert_array_equal(Features.load(file, "X_red").X, rows[:, :2])


def test_an_empty_file_of_features_is_read_and_a_missing_one_named(tmp_path):
    file = feature_file(tmp_path, X=np.zeros((0, 3), np.float32), N=np.array([], dtype="<U1"))
    assert Features.load(file).X.shape == (0, 3)
    with pytest.raises(MissingFault, match="no such feature file: .*gone.npz"):
        Features.load(tmp_path / "gone.npz")


OBJECTS = np.array([{"a": 1}, None, 2, 3], dtype=object)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": OBJECTS}, "cannot be read as features with X and N"),
        ({"N": OBJECTS}, "cannot be read as features with X and N"),
        ({"X": None}, r"cannot be read as features with X and N.*X\.npy"),
        ({"N": None}, r"cannot be read as features with X and N.*N\.npy"),
        ({"N": np.array(list("abc"))}, "holds 4 rows of X but 3 names"),
    ],
)
def test_arrays_that_are_no_features_are_a_fault(tmp_path, save, arrays, words):
    with pytest.raises(Fault, match=f"f.npz {words}"):
        Features.load(feature_file(tmp_path, save, **arrays))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("damage", [0.0, 0.05, 0.5, 0.95, "bytes", "text"])
def test_damaged_files_are_a_fault(tmp_path, damage, save):
    rng = np.random.default_rng(0)
    file = feature_file(tmp_path, save, X=rng.normal(size=(40, 50)), N=np.arange(40).astype(str))
    content = bytearray(file.read_bytes())
    if damage == "bytes" and save is np.savez:
        pytest.skip("numbers that are stored as they are have no checksum that mapping looks at")
    content[400:600] = bytes(200)
    kept = {"bytes": content, "text": b"no zip"}
    file.write_bytes(kept[damage] if damage in kept else file.read_bytes()[: int(damage * len(content))])
    with pytest.raises(Fault, match="f.npz cannot be read as features"):
        Features.load(file)
