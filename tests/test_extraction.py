"""Features against the model's own encoding and slow numpy; small folders; feature files read again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, extraction_session, intensities, write_pictures
from PIL import Image
from small_runs import untrained_run, workplace

from saec import extract
from saec.config import ROOT, Config
from saec.faults import Fault, MissingFault
from saec.features import Features
from saec.runs import Run
from saec.session import SessionError

N = 12
LEVELS = intensities(N)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> tuple[Config, Run]:
    """Twelve grey pictures, whose bytes are their intensity, and a run; nothing in it is changed."""
    config = workplace(tmp_path_factory.mktemp("place"))
    write_pictures(config.data / "songs" / "images", LEVELS, "gray")
    return config, untrained_run(config)


@pytest.fixture
def extracted(shared, tmp_path):
    """Extracts with changes to the session, into a folder of the test's own."""
    config, run = shared

    def work(**changes) -> Features:
        changes = {"out": str(tmp_path / "out"), "precision": "fp32", "reconstructions": 0} | changes
        return extract(extraction_session(run.timestamp, **changes), config)

    return work


def own_encoding(run: Run, levels: np.ndarray) -> np.ndarray:
    """(n, channels, time): one picture at a time through the run's encoder, in plain torch."""
    encoder = run.model().encoder.eval()
    pictures = torch.from_numpy(levels).float() / 255
    with torch.no_grad():
        return np.stack([encoder(picture[None, None])[0, :, 0].numpy() for picture in pictures])


def pooled_of(features: Features) -> tuple[str, np.ndarray]:
    file = features.roles["pooled"]
    return file.name, Features.load(file).X


def other_folder(tmp_path: Path, levels: np.ndarray) -> str:
    write_pictures(tmp_path / "own" / "images", levels, "gray")
    return str(tmp_path / "own" / "images")


def test_latents_are_the_models_own_encoding_row_by_row(shared, extracted):
    expected = own_encoding(shared[1], LEVELS)
    np.testing.assert_allclose(extracted().X, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_colour_mapped_pictures_are_encoded_as_their_intensity(shared, extracted, tmp_path):
    levels = LEVELS // 2 * 2  # viridis has colours that two levels share
    write_pictures(tmp_path / "images", levels, "magma")
    expected = own_encoding(shared[1], levels)
    found = extracted(data={"images": str(tmp_path / "images")}).X
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_model_of_rgb_sees_three_channels(tmp_path):
    config = workplace(tmp_path)
    write_pictures(config.data / "songs" / "images", LEVELS[:3], "viridis")
    run = untrained_run(config, data={"channels": "rgb"})
    found = extract(extraction_session(run.timestamp, precision="fp32"), config)
    for name, latent in zip(found.N, found.X, strict=True):
        pixels = np.array(Image.open(config.data / "songs" / "images" / name))
        with torch.no_grad():
            expected = run.model().encoder(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)[0, :, 0]
        np.testing.assert_allclose(latent, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_pooled_features_are_means_then_deviations_of_the_trimmed_latents(extracted):
    features = extracted()
    kept = features.X[:, :, 1:-1].astype(np.float64)  # ceil(0.1 * 8) steps from each side
    name, pooled = pooled_of(features)
    assert name.startswith("pooled_mean_std_saec_") and pooled.dtype == np.float32
    expected = np.concatenate([kept.mean(axis=2), kept.std(axis=2)], axis=1)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("max", lambda X: X[:, :, 1:-1].max(axis=2)),
        ({"name": "flatten", "trim": 0.25}, lambda X: X[:, :, 2:-2].reshape(N, -1)),
    ],
)
def test_the_sessions_pooling_is_used_and_named(extracted, pooling, expected):
    features = extracted(pooling=pooling)
    name, pooled = pooled_of(features)
    assert name.startswith(f"pooled_{pooling if isinstance(pooling, str) else pooling['name']}_saec_")
    np.testing.assert_allclose(pooled, expected(np.array(features.X)), rtol=1e-5, atol=1e-6)


def test_latents_too_short_for_the_trimming_asked_for_are_kept_whole(extracted, heard):
    features = extracted(pooling={"name": "mean", "trim": 0.4})  # ceil(0.4 * 8) twice is all of them
    np.testing.assert_allclose(pooled_of(features)[1], features.X.mean(axis=2), rtol=1e-5, atol=1e-6)
    assert "latents have 8 time steps, too few to trim 0.4 of each side: all are kept" in heard.text


def test_latents_of_half_precision_leave_pooled_features_as_they_were(extracted, tmp_path):
    full, half = extracted(), extracted(latents="float16", out=str(tmp_path / "half"))
    assert half.X.dtype == np.float16
    np.testing.assert_array_equal(half.X, full.X.astype(np.float16))
    assert pooled_of(half)[1].tobytes() == pooled_of(full)[1].tobytes()


def test_bf16_is_near_fp32_and_says_so(extracted, tmp_path):
    full, rough = extracted(), extracted(precision="bf16", out=str(tmp_path / "rough"))
    assert rough.X.dtype == np.float32
    error = np.abs(rough.X - full.X).max() / np.abs(full.X).max()
    assert 0 < error < 0.05
    assert json.loads(rough.paths[-1].read_text())["settings"]["precision"] == "bf16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("chosen", [slice(0, 12, 3), slice(7, 8)])
def test_a_row_does_not_depend_on_the_other_pictures(extracted, tmp_path, precision, chosen):
    images = other_folder(tmp_path, LEVELS)
    of_all = extracted(precision=precision, data={"images": images}, out=str(tmp_path / "all"))
    kept = of_all.N[chosen].tolist()
    for file in Path(images).iterdir():
        if file.name not in kept:
            file.unlink()
    of_some = extracted(precision=precision, data={"images": images}, out=str(tmp_path / "some"))
    assert of_some.N.tolist() == kept
    scale = np.abs(of_all.X).max()
    np.testing.assert_allclose(of_some.X, of_all.X[chosen], rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("n_pixels", [2**21, 5 * 128 * 32, 1])
def test_the_size_of_a_batch_does_not_matter(extracted, monkeypatch, tmp_path, n_pixels):
    """Five make batches of 5, 5 and 2; a picture may also be larger than a batch should be."""
    expected = extracted().X
    monkeypatch.setattr("saec.extraction.sources.run.BATCH_PIXELS", n_pixels)
    found = extracted(out=str(tmp_path / "other")).X
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_all_pictures_are_taken_whatever_limit_the_training_had(tmp_path):
    config = workplace(tmp_path)
    write_pictures(config.data / "songs" / "images", LEVELS, "gray")
    run = untrained_run(config, data={"limit": 3})
    assert len(extract(extraction_session(run.timestamp, precision="fp32"), config).N) == N


def test_weights_that_give_no_numbers_are_a_fault(tmp_path):
    config = workplace(tmp_path)
    write_pictures(config.data / "songs" / "images", LEVELS, "gray")
    run = untrained_run(config)
    state = torch.load(run.folder / "best.pt", weights_only=True)
    next(iter(state["model"].values())).fill_(float("nan"))
    torch.save(state, run.folder / "best.pt")
    with pytest.raises(Fault, match="numbers that are not finite.*take another run"):
        extract(extraction_session(run.timestamp, precision="fp32"), config)
    assert not list((config.data / "songs").glob("*.npz"))


def test_reconstructions_are_drawn_when_asked_for(extracted, tmp_path):
    extracted()
    assert not list((tmp_path / "out").glob("*.png"))
    with_figure = extracted(reconstructions=3, variant="drawn")
    about = with_figure.paths[-1]
    with Image.open(about.parent / f"reconstructions_{about.stem}.png") as figure:
        assert min(figure.size) > 50


def test_clusters_are_held_against_labels_where_there_are_some(extracted, tmp_path, heard):
    images = other_folder(tmp_path, LEVELS)
    names = sorted(file.name for file in Path(images).iterdir())
    rows = [f"{name},{'abc'[place % 3]}" for place, name in enumerate(names)]
    (Path(images).parent / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    extracted(data={"images": images})
    assert "clusters against 3 labels, pooled features, k-means: V-measure" in heard.text


def test_pictures_that_cannot_be_read_are_left_out_when_the_run_left_such_out(tmp_path, heard):
    config = workplace(tmp_path)
    names = write_pictures(config.data / "songs" / "images", LEVELS, "gray")
    (config.data / "songs" / "images" / names[4]).write_bytes(b"")
    run = untrained_run(config, data={"skip_bad": True})
    session = extraction_session(run.timestamp, precision="fp32", reconstructions=0)
    features = extract(session, config)
    assert features.N.tolist() == [name for name in names if name != names[4]]
    assert json.loads(features.paths[-1].read_text())["left_out"] == [names[4]]
    assert f"left out, unusable:\n  {names[4]}" in heard.text
    expected = own_encoding(run, np.delete(LEVELS, 4, axis=0))
    np.testing.assert_allclose(features.X, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    heard.clear()
    extract(session, config)
    assert "nothing to do" in heard.text


def test_all_faults_of_a_session_are_said_at_once(shared, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SessionError) as caught:
        extract(extraction_session("20200101_000000", out=str(tmp_path / "file" / "below")), shared[0])
    said = str(caught.value)
    assert "has 2 faults" in said and "  out: cannot write into" in said
    assert "  run: no run '20200101_000000' in" in said and "_untrained" in said


def test_pictures_that_the_model_cannot_take_are_refused_before_they_are_read(shared, tmp_path):
    config, run = shared
    images = other_folder(tmp_path, intensities(2, width=30))
    session = extraction_session(run.timestamp, data={"images": images})
    with pytest.raises(SessionError, match="data.images: pictures are 30 wide .* multiple of 4"):
        extract(session, config)


def test_a_fit_of_the_extractions_own_comes_before_the_runs(shared, extracted, tmp_path):
    levels = intensities(2, width=30)
    features = extracted(data={"images": other_folder(tmp_path, levels), "fit": "pad"})
    expected = own_encoding(shared[1], np.pad(levels, ((0, 0), (0, 0), (0, 2))))
    assert features.X.shape == expected.shape == (2, TINY["latent"], 8)
    np.testing.assert_allclose(features.X, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_an_rgb_run_warns_of_pictures_in_another_colour_map_and_intensity_need_not(tmp_path, heard):
    config = workplace(tmp_path)
    record = {"train": {"colormap": "viridis"}}
    rgb, grey = (
        untrained_run(config, data={"channels": channels}, record=record) for channels in ("rgb", "intensity")
    )
    words = "the model was trained on colour map viridis, these pictures have magma"
    for run, colormap, warned in ((rgb, "viridis", False), (grey, "magma", False), (rgb, "magma", True)):
        write_pictures(config.data / colormap, LEVELS[:2], colormap)
        session = extraction_session(
            run.timestamp, data={"images": colormap}, out=f"{run.timestamp}_{colormap}"
        )
        extract(session | {"reconstructions": 0}, config)
        assert (words in heard.text) == warned and ("the model was trained on" in heard.text) == warned


def test_latents_of_one_step_are_not_trimmed_and_do_not_vary(extracted, tmp_path, heard):
    images = other_folder(tmp_path, intensities(3, width=4))
    features = extracted(data={"images": images})
    assert features.X.shape == (3, TINY["latent"], 1)
    assert "latents have 1 time steps, too few to trim 0.1 of each side: all are kept" in heard.text
    pooled = pooled_of(features)[1]
    np.testing.assert_array_equal(pooled[:, :8], features.X[:, :, 0])
    assert not pooled[:, 8:].any()


def test_one_picture_has_features_but_no_map(extracted, tmp_path, heard):
    images = other_folder(tmp_path, LEVELS[:1])
    features = extracted(data={"images": images}, reduction={})
    assert features.X.shape == (1, 8, 8)
    assert [file.name.split("_")[0] for file in features.paths] == ["full", "pooled", "saec"]
    assert "1 pictures are too few for 2, 4, 8, 16 dimensions" in heard.text
    assert json.loads(features.paths[-1].read_text())["n_neighbors_used"] is None


def test_dimensions_that_few_pictures_do_not_allow_are_left_out(shared, tmp_path, heard, monkeypatch, capsys):
    """Through the script: a warning is no failure."""
    config, run = shared
    monkeypatch.syspath_prepend(ROOT)
    from main_02_extract import main

    images = other_folder(tmp_path, LEVELS[:5])
    session = tmp_path / "small.json"
    asked = extraction_session(run.timestamp, data={"images": images}, reduction={}, reconstructions=0)
    session.write_text(json.dumps(asked))
    assert main([str(session), "--config", str(config.data.parent / "config" / "config.yaml")]) == 0
    assert "5 pictures are too few for 4, 8, 16 dimensions: d dimensions need max(4, d + 2)" in heard.text
    assert "5 pictures have 4 neighbours, not 10" in heard.text
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert names == [
        f"full_features_saec_{run.timestamp}.npz",
        f"pooled_mean_std_saec_{run.timestamp}.npz",
        f"dimred_2_neigh_10_saec_{run.timestamp}.npz",  # named by the number asked for
        f"saec_{run.timestamp}.json",
    ]
    assert json.loads((tmp_path / "own" / names[-1]).read_text())["n_neighbors_used"] == 4


def test_the_map_comes_with_other_dimensions_and_without_a_reduction_there_is_none(extracted):
    features = extracted(reduction={"dims": [3, 3]})
    assert list(features.roles) == ["X", "pooled", "reduced_3"]
    with np.load(features.roles["reduced_3"], allow_pickle=False) as arrays:
        assert arrays["X_red"].shape == (N, 3) and arrays["X_2D"].shape == (N, 2)
    without = extracted(reduction=None, variant="without")
    assert [file.suffix for file in without.paths] == [".npz", ".npz", ".json"]
    assert json.loads(without.paths[-1].read_text())["n_neighbors_used"] is None


# Feature files that are read


def feature_file(tmp_path: Path, save=np.savez, **arrays) -> Path:
    content = {"X": np.arange(24, dtype=np.float32).reshape(4, 3, 2), "N": np.array(list("abcd"))} | arrays
    save(tmp_path / "f.npz", **{key: value for key, value in content.items() if value is not None})
    return tmp_path / "f.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_features_are_read_as_numpy_loads_them_and_mapped_where_they_can_be(tmp_path, dtype, order, save):
    rows = np.arange(24).reshape(4, 6).astype(dtype, order=order)
    file = feature_file(tmp_path, save, X=rows, X_red=rows[:, :2])
    features = Features.load(file)
    assert isinstance(features.X, np.memmap) == (save is np.savez) and features.paths == [file]
    assert features.X.dtype == dtype and features.N.tolist() == list("abcd")
    np.testing.assert_array_equal(features.X, rows)
    np.testing.assert_array_equal(Features.load(file, "X_red").X, rows[:, :2])


def test_an_empty_file_of_features_is_read(tmp_path):
    file = feature_file(tmp_path, X=np.zeros((0, 3), np.float32), N=np.array([], dtype="<U1"))
    assert Features.load(file).X.shape == (0, 3)


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


def test_a_missing_file_is_a_fault_that_names_it(tmp_path):
    with pytest.raises(MissingFault, match="no such feature file: .*gone.npz"):
        Features.load(tmp_path / "gone.npz")
