"""Traces of NPY and NPZ files: what is listed, read, scaled, cut and split, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import training_session
from small_runs import assert_equal_runs
from traces import HZ, NAMES, STRIDED, curves, kind, save, write_traces

from saec import extract, train
from saec.config import Config
from saec.data import DATA, Dataset, chunks
from saec.data.npy import read_array
from saec.data.stored import Streamed
from saec.faults import Fault
from saec.sections.labels import Labels, given_annotations
from saec.session import SessionError, TrainingSession, load_session
from saec.training import go_on
from saec.training.plan import check_training

CPU = torch.device("cpu")


@pytest.fixture
def folder(config: Config) -> Path:
    write_traces(config.data / "traces")
    return config.data / "traces"


def values_of(data: Dataset, row: int) -> np.ndarray:
    """The (frames, columns) of a sample as they are stored."""
    return data.gather(np.array([row]), CPU).values[0].numpy()


def seen_of(data: Dataset, row: int) -> np.ndarray:
    """The (frames, columns) of a sample as a model sees them, without what stands behind."""
    return data.front(data.gather(np.array([row]), CPU))[0, 0, :, : data.n_frames[row]].numpy().T


# Files


def test_traces_keep_their_own_lengths_and_are_named_by_their_paths_without_suffix(config):
    folder = config.data / "traces"
    arrays = {name: curves(n, n) for name, n in (("s1/a", 7), ("s1/a-b", 5), ("s2/x.1", 9), ("z", 3))}
    for name, array in arrays.items():
        save(folder / f"{name}.{'npy' if name == 'z' else 'NPZ'}", array)
    data = kind(folder, config).open()
    assert data.samples.names.tolist() == sorted(arrays) and data.n_frames.tolist() == [7, 5, 9, 3]
    assert data.samples.files.tolist() == ["s1/a.NPZ", "s1/a-b.NPZ", "s2/x.1.NPZ", "z.npy"]
    assert data.samples.labels.tolist() == ["s1", "s1", "s2", ""]
    for row, name in enumerate(sorted(arrays)):
        np.testing.assert_array_equal(values_of(data, row), arrays[name])
    batch = data.front(data.gather(np.array([0, 2]), CPU))
    assert batch.shape == (2, 1, 5, 9) and not batch[0, ..., 7:].any()
    np.testing.assert_array_equal(batch[1, 0], arrays["s2/x.1"].T)


STORED = {
    "fortran": np.asfortranarray(curves(6)),
    "big-endian": curves(6).astype(">f4"),
    "float64": curves(6).astype(np.float64),
    "float16": curves(6).astype(np.float16),
    "integers": curves(6).astype(np.int32),
    "bools": curves(6) > 2,
}


@pytest.mark.parametrize("suffix", ["npy", "npz", "zipped"])
@pytest.mark.parametrize("case", STORED)
def test_arrays_of_any_order_and_type_are_read_as_float32(case, suffix, config, log):
    folder = config.data / "traces"
    for name in "ab":
        if suffix == "zipped":
            folder.mkdir(exist_ok=True, parents=True)
            np.savez_compressed(folder / f"{name}.npz", STORED[case])
        else:
            save(folder / f"{name}.{suffix}", STORED[case])
    of = kind(folder, config)
    of.sizes()
    np.testing.assert_array_equal(values_of(of.open(), 1), STORED[case].astype(np.float32))
    casts = [one.getMessage() for one in log.records if "cast" in one.msg]
    same = STORED[case].dtype.name == "float32"
    assert casts == [f"{folder}: arrays are cast to float32: 2 of {STORED[case].dtype.name}"] * (not same)


def test_the_array_of_a_key_is_taken(config):
    folder = config.data / "traces"
    for name in "ab":
        save(folder / f"{name}.npz", curves(8), times=np.arange(8)[:, None], who=np.array([{}], object))
    for key, words in {
        None: "a.npz holds 3 arrays, ema, times, who: choose one by `data.key`",
        "mfcc": "holds no array 'mfcc' .`data.key`., but ema, times, who",
        "who": "a.npz holds objects, which only pickle could read",
    }.items():
        with pytest.raises(Fault, match=words):
            kind(folder, config, key=key).sizes()
    np.testing.assert_array_equal(values_of(kind(folder, config, key="times").open(), 1)[:, 0], np.arange(8))


def test_sizes_read_headers_alone(folder, config, monkeypatch):
    monkeypatch.setattr("saec.data.arrays.read_array", None)
    sizes = kind(folder, config).sizes()
    assert (sizes.n_samples, sizes.mean_frames) == (9, 32.0)
    assert sizes.n_bytes == 9 * 32 * 5 * 4 and sizes.front.shape[:2] == (1, 5)


def test_a_file_that_changes_while_it_is_read_is_named(folder, config, monkeypatch):
    of = kind(folder, config)
    of.sizes()

    def growing(path: Path, key: str | None) -> np.ndarray:
        array = read_array(path, key)
        if path.name == "3.npz":
            save(path, curves(40))
        return array

    monkeypatch.setattr("saec.data.arrays.read_array", growing)
    words = "1 of 9 arrays .*\n  3.npz was changed after the folder was listed: call again"
    with pytest.raises(Fault, match=words):
        of.open()


def test_files_of_one_name_are_refused(folder, config):
    save(folder / "s" / "1.npy", curves(5))
    save(folder / "s" / "1.npz", curves(5))
    (folder / "table.csv").write_text("file\ns/1.npy\ns/1.npz\n0.npy\n")
    words = "2 arrays share a name, as suffixes do not count: remove or rename\n  s/1.npy\n  s/1.npz"
    for location in (folder, folder / "table.csv"):
        with pytest.raises(Fault, match=words):
            kind(location, config)


# Columns


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"columns": [3, 0]}, [3, 0]),
        ({"drop": [1, 4]}, [0, 2, 3]),
        ({"names": NAMES, "columns": ["TTX", 0]}, [2, 0]),
        ({"names": NAMES, "drop": ["pitch"]}, [0, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("gigabytes", [1, 1e-7])
def test_columns_are_chosen_or_dropped_by_number_or_name(options, chosen, gigabytes, folder, config):
    config = config.model_copy(update={"cache_gb": gigabytes})
    data = kind(folder, config, **options).open()
    assert isinstance(data.stored, Streamed) == (gigabytes < 1) and data.shape[:2] == (1, len(chosen))
    np.testing.assert_array_equal(values_of(data, 3), curves(29, 3)[:, chosen])
    called = [NAMES[one] if "names" in options else f"column {one}" for one in chosen]
    assert data.about["columns"] == list(data.front.columns) == called


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": [5]}, "data.columns: there is no column 5, arrays have 5, the first is 0"),
        ({"columns": ["TDX"]}, "no column is called 'TDX': name all columns by `data.names`, or say their"),
        ({"names": NAMES, "drop": ["TDZ"]}, "data.drop: no column is called 'TDZ': did you mean 'TDY'"),
        ({"names": NAMES[:4]}, "data.names: 5 different names are needed, one a column, got 4: TDX, TDY"),
        ({"names": [*NAMES[:4], "TDX"]}, "5 different names are needed"),
        ({"columns": [0, 0]}, "data.columns names a column twice: 0, 0"),
        ({"columns": [0], "drop": [1]}, "keep one of the two"),
        ({"drop": range(5)}, "data.drop: no column is left of 5"),
        ({"columns": ()}, "data.columns: no column is left of 5"),
        ({"scale": [[0, 0], [1, 1]]}, "data.scale is of 2 columns, 5 are taken of each array"),
    ],
)
def test_columns_that_cannot_be_are_refused_before_anything_is_read(options, words, folder, config):
    with pytest.raises(Fault, match=words):
        kind(folder, config, **options).sizes()


def test_numbers_that_are_none_count_where_their_column_is_taken(config):
    folder = config.data / "traces"
    for name in "abc":
        save(folder / f"{name}.npy", np.where(np.arange(5) == 3, np.nan, curves(9)))
    assert np.isfinite(values_of(kind(folder, config, drop=[3]).open(), 0)).all()
    words = "a.npy has NaN or infinity in 9 of 9 frames, first in frame 0, column 3: mend"
    with pytest.raises(Fault, match=words):
        kind(folder, config, columns=[3]).open()


def test_arrays_that_look_transposed_are_warned_of(config, log):
    folder = config.data / "traces"
    for name, n in (("a", 9), ("b", 12), ("c", 30)):
        save(folder / f"{name}.npy", curves(n, n_columns=11))
    kind(folder, config).open()
    assert "more columns than frames" not in log.text
    save(folder / "d.npy", curves(5, n_columns=11))
    save(folder / "e.npy", curves(6, n_columns=11))
    kind(folder, config).open()
    assert f"{folder}: 3 of 5 arrays have more columns than frames: transpose them unless rows" in log.text


# Scales


def z_score(x: np.ndarray, of: np.ndarray) -> np.ndarray:
    return (x - of.mean(0, dtype=float)) / of.std(0, dtype=float)


def min_max(x: np.ndarray, of: np.ndarray) -> np.ndarray:
    return (x - of.min(0)) / (of.max(0) - of.min(0))


@pytest.mark.parametrize("scale", ["none", "file", "set"])
@pytest.mark.parametrize("by", [z_score, min_max])
def test_columns_are_scaled_by_their_file_or_by_all_frames_of_the_training_set(scale, by, folder, config):
    data = kind(folder, config, scale=scale, scale_by=by.__name__, columns=(4, 1)).open()
    arrays = [curves(20 + 3 * number, number)[:, [4, 1]] for number in range(9)]
    batches = (data.gather(rows, CPU) for rows in chunks(np.arange(9), 4))
    settled = data.front.from_training_set(batches)
    assert bool(settled) == (scale == "set")
    if settled:
        data = kind(folder, config, scale_by=by.__name__, columns=(4, 1), **settled).open()
        assert data.front.from_training_set(()) == {}
    assert data.front.in_units == (scale == "file" and by is min_max)
    for row, array in enumerate(arrays):
        of = {"file": array, "set": np.concatenate(arrays)}.get(scale)
        expected = array if of is None else by(array, of)
        seen = seen_of(data, row)
        np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-5)
        offset, factor = data.front.units([f"{row}.{'npz' if row % 2 else 'npy'}"])
        np.testing.assert_allclose(seen * factor + offset, array, rtol=1e-4)


@pytest.mark.parametrize("by", ["z_score", "min_max"])
def test_a_column_of_one_value_is_named_and_not_divided_by(by, config, log):
    folder = config.data / "traces"
    arrays = [np.where(np.arange(5) == 2, np.float32(0.1), curves(9, number)) for number in range(3)]
    for number, array in enumerate(arrays):
        save(folder / f"{number}.npy", array)
    data = kind(folder, config, scale="file", scale_by=by, names=NAMES).open()
    assert not seen_of(data, 1)[:, 2].any()
    assert "columns have one value in a whole file, where they are not divided:\n  TTX in 3 of 3" in log.text
    log.clear()
    data = kind(folder, config, scale="set", scale_by=by).open()
    (offset, factor) = data.front.from_training_set([data.gather(np.arange(3), CPU)])["scale"]
    assert (offset[2], factor[2]) == (np.float32(0.1), 1.0) and factor[1] != 1
    assert "columns have one value in all of the training set, and are not divided" in log.text
    assert "leave them out by `data.drop`\n  column 2" in log.text


def test_a_set_that_has_not_settled_its_scale_is_not_used(folder, config):
    data = kind(folder, config, scale="set").open()
    with pytest.raises(RuntimeError, match="to be settled"):
        seen_of(data, 0)


# Windows, groups and splits


@pytest.mark.parametrize("gigabytes", [1, 1e-7])
@pytest.mark.parametrize("scale", ["none", "file"])
def test_windows_follow_each_other_and_the_last_one_ends_with_its_file(scale, gigabytes, folder, config, log):
    config = config.model_copy(update={"cache_gb": gigabytes})
    whole = kind(folder, config, scale=scale).open()
    of = kind(folder, config, scale=scale, window_frames=15, rate_hz=HZ)
    data = of.open()
    assert data.samples.names.tolist() == of.samples.names.tolist() and len(data) == of.sizes().n_samples
    assert data.samples.names[:2].tolist() == ["0_segm_0000000", "0_segm_0000005"]
    assert data.samples.times[:2].tolist() == [[0, 0.15], [0.05, 0.2]] and set(data.n_frames) == {15}
    firsts = [int(name.split("_segm_")[1]) for name in data.samples.names.tolist() if name.startswith("8")]
    assert firsts == [0, 15, 29]
    for row, (name, file) in enumerate(
        zip(data.samples.names.tolist(), data.samples.files.tolist(), strict=True)
    ):
        first, at = int(name[-7:]), whole.samples.files.tolist().index(file)
        np.testing.assert_array_equal(seen_of(data, row), seen_of(whole, at)[first : first + 15])
    short = kind(folder, config, window_frames=1000)
    assert short.sizes().samples_are == "windows"
    assert "window_frames: 1000 is more than any array has" in log.text
    short = short.open()
    assert len(short) == 9 and short.n_frames.tolist() == whole.n_frames.tolist()
    assert data.fingerprint != whole.fingerprint and (gigabytes < 1 or data.stored.array.shape == (288, 5))


def test_options_for_a_training_alone_are_left_out_of_whole_folders():
    options = {"kind": "arrays", "train": "a", "window_frames": 5, "limit": 2, "columns": 1}
    data = DATA.parse(options).for_all()
    assert (data.window_frames, data.limit, data.columns) == (None, None, (1,))


def test_groups_and_labels_are_those_of_patterns_and_tables(folder, config):
    (folder / "labels.csv").write_text("file,label,group\n0,low,\n1.npz,high,s1\n2.npz,low,s2\n")
    samples = kind(folder, config, group=r"(\d)\.np").samples
    assert samples.labels[:4].tolist() == ["low", "high", "low", ""]
    assert samples.groups[:4].tolist() == ["0", "s1", "s2", "3"]
    (folder / "table.csv").write_text("file,label,split\n0.npy,low,train\n1,high,valid\n2.npy,low,\n")
    samples = kind(folder / "table.csv", config, window_frames=15).samples
    assert samples.names.tolist() == [
        f"{n}_segm_{first:07d}" for n, first in [(0, 0), (0, 5), (1, 0), (1, 8), (2, 0), (2, 11)]
    ]
    assert samples.labels.tolist() == [*["low"] * 2, *["high"] * 2, *["low"] * 2]
    assert samples.splits.tolist() == [*["train"] * 2, *["valid"] * 2, "", ""]


def test_traces_have_no_view_for_contrastive_learning_and_are_told_so(folder, config):
    for views, words in (("plain", "no view makes two of traces"), ("pair", "`plain`")):
        raw = {"data": {"kind": "arrays", "train": "traces"}, "model": STRIDED, "views": views}
        raw |= {"objective": {"name": "contrastive", "reconstruction": 1}}
        with pytest.raises(SessionError, match=f"views: .*{words}") as error:
            check_training(load_session(raw, TrainingSession), config)
        assert "standardise" not in str(error.value)


def test_what_takes_pictures_is_one_fault_of_its_key(folder, config):
    objective = {"name": "reconstruction", "loss": "ssim_l1", "metrics": ["psnr"]}
    raw = {"data": {"kind": "arrays", "train": "traces"}, "model": STRIDED, "objective": objective}
    with pytest.raises(SessionError) as error:
        check_training(load_session(raw | {"views": "photo"}, TrainingSession), config)
    for key in ("views: ", "objective.loss: ", "objective.metrics: "):
        assert str(error.value).count(key) == 1, str(error.value)


# What models and figures get


def test_a_front_end_pads_to_the_time_pool_and_refuses_models_of_other_columns(folder, config):
    front = kind(folder, config, rate_hz=HZ).sizes().front
    assert front.shape == (1, 5, 256) and front.axes.frames_hz == HZ
    assert front.sized_for(None, 8).shape == (1, 5, 256) and front.sized_for(5, 7).shape == (1, 5, 259)
    data = kind(folder, config).open().sized_for(None, 8)
    raw = data.gather(np.array([0, 1]), CPU)
    assert data.front(raw).shape == (2, 1, 5, 24) and not data.front(raw)[0, ..., 20:].any()
    for takes in ((128, 8, None), (None, 1, 512)):
        with pytest.raises(Fault, match="traces have 5 columns and lengths of their own, the model takes"):
            front.sized_for(*takes)


def test_what_stands_behind_a_sample_is_zero_whatever_its_scale(folder, config):
    data = kind(folder, config, scale=[[1] * 5, [2] * 5]).open()
    seen = data.front(data.gather(np.array([0, 8]), CPU))
    assert (seen[0, ..., :20] != 0).all() and not seen[0, ..., 20:].any()


def test_traces_are_shown_in_one_size_whatever_their_lengths(folder, config):
    front = kind(folder, config).sizes().front
    values = torch.randn(2, 1, 5, 1000)
    values[:, :, 2] = 7
    shown = front.show(values)
    assert shown.shape == front.show(values[..., :10], values).shape == (2, 1, 50, 256)
    assert 0 <= shown.min() and shown.max() <= 1 and not shown[:, :, 20:30].any()
    np.testing.assert_array_equal(shown[:, :, 0], shown[:, :, 9])


# Runs


def test_a_run_learns_from_windows_and_is_used_on_whole_files(folder, config):
    """Its scale is settled by the training set, of which nothing is read again when it goes on."""
    write_traces(config.data / "others", 3)
    data = {"kind": "arrays", "train": "traces", "valid": 0.3, "window_frames": 16, "rate_hz": HZ, "limit": 8}
    session = training_session(data=data | {"names": NAMES, "drop": ["pitch"]}, views="plain", model=STRIDED)
    run = train(session, config)
    record = run.record
    assert record["input_shape"] == [1, 4, 256] and record["train"]["columns"] == list(NAMES[:4])
    n = len({*record["valid"]["groups"]})
    assert n in (2, 3) and record["train"]["n"] + record["valid"]["n"] == 20
    offset, factor = run.session.data.scale
    assert len(offset) == len(factor) == 4 and all(one > 0 for one in factor)
    shorter = train(session | {"training": session["training"] | {"epochs": 1}}, config)
    assert_equal_runs(go_on(shorter, config, epochs=2), run)
    features = extract({"run": run.timestamp, "data": {"arrays": "others"}, "reduction": None}, config)
    assert features.N.tolist() == ["0", "1", "2"] and features.X.shape[0] == 3


def test_features_of_traces_get_their_labels_by_class_folders(config):
    for name in ("s1/a.npy", "s2/b.npz", "c.npy"):
        save(config.data / "traces" / name, curves(9))
    samples = kind(config.data / "traces", config).samples
    rows, _ = given_annotations(Labels(folders="traces"), samples.names.tolist(), config)
    labels = dict(zip(samples.names.tolist(), samples.labels.tolist(), strict=True))
    assert labels == {"c": "", "s1/a": "s1", "s2/b": "s2"}
    assert dict(zip(rows["file"], rows["label"], strict=True)) == {"s1/a": "s1", "s2/b": "s2"}
