"""What a second extraction of one id does: nothing, only the pictures that changed, or a refusal."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import extraction_session, intensities, write_pictures
from small_runs import give_weights, untrained_run

from saec import extract
from saec.config import Config
from saec.faults import Fault
from saec.features import Features
from saec.files import locked
from saec.runs import Run
from saec.session import SessionError

REMEDIES = ("`variant:`", "`out:`", "`overwrite: true`")


class Place:
    """Twelve pictures, a run, and one extraction of them beside the folder."""

    def __init__(self, config: Config, images: Path):
        self.config = config
        self.images = images
        self.run: Run = untrained_run(config)

    def session(self, **changes) -> dict:
        plain = extraction_session(self.run.timestamp, precision="fp32", reconstructions=0)
        return plain | changes

    def extract(self, **changes) -> Features:
        features = extract(self.session(**changes), self.config)
        return Features(np.array(features.X), features.N, features.paths)

    def state(self) -> dict[str, tuple[int, bytes]]:
        """Time and contents of every file beside the image folder."""
        files = [file for file in self.images.parent.iterdir() if file.is_file()]
        return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}

    def add(self, n: int, seed: int) -> list[str]:
        folder = self.images.parent / "more"
        names = write_pictures(folder, intensities(n, seed=seed))
        new = [f"new{seed}_{name}" for name in names]
        for name, to in zip(names, new, strict=True):
            shutil.move(folder / name, self.images / to)
        folder.rmdir()
        return new

    def change(self, name: str) -> None:
        """Another picture under the same name."""
        (other,) = self.add(1, seed=9)
        os.replace(self.images / other, self.images / name)


@pytest.fixture
def place(config, pictures) -> Place:
    return Place(config, pictures)


def arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as found:
        return dict(found)


def assert_like_a_fresh_extraction(place: Place, found: Features, **changes) -> None:
    """All files, against an extraction into an empty folder."""
    fresh = place.extract(out="fresh", **changes)
    assert [file.name for file in found.paths] == [file.name for file in fresh.paths]
    for mine, theirs in zip(found.paths[:-1], fresh.paths[:-1], strict=True):
        expected = arrays(theirs)
        for key, array in arrays(mine).items():
            np.testing.assert_array_equal(array, expected[key], err_msg=f"{mine.name} {key}")


def test_the_same_again_writes_nothing_and_answers_the_same(place, heard):
    first = place.extract()
    before = place.state()
    heard.clear()
    second = place.extract()
    assert place.state() == before
    assert second.paths == first.paths
    np.testing.assert_array_equal(second.X, first.X)
    assert f"saec_{place.run.timestamp}: nothing to do, the files are there" in heard.text


def test_the_same_again_does_not_read_the_pictures(place):
    place.extract()
    shutil.rmtree(place.config.cache)
    place.extract()
    assert not place.config.cache.exists()


@pytest.mark.parametrize("how", ["folder", "timestamp", "latest"])
def test_the_run_may_be_named_in_another_way(place, how, heard):
    place.extract()
    named = {"folder": str(place.run.folder), "timestamp": place.run.timestamp, "latest": "latest:untrained"}
    heard.clear()
    place.extract(run=named[how])
    assert "nothing to do" in heard.text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"pooling": "max"}, "pooling: there {'name': 'mean_std', 'trim': 0.1}, here {'name': 'max'"),
        ({"pooling": {"name": "mean_std", "trim": 0.2}}, "'trim': 0.2"),
        ({"latents": "float16"}, "latents: there 'float32', here 'float16'"),
        ({"weights": "last"}, "weights: there 'best, epoch 1', here 'last, epoch 1'"),
        ({"precision": "bf16"}, "precision: there 'fp32', here 'bf16'"),
        ({"reduction": {"dims": [2]}}, "reduction: there None, here {'dims': [2]"),
    ],
)
def test_other_settings_are_refused_with_what_differs_and_the_remedies(place, changes, named):
    place.extract()
    before = place.state()
    shutil.rmtree(place.config.cache)
    with pytest.raises(Fault) as caught:
        place.extract(**changes)
    assert f"holds features saec_{place.run.timestamp} made otherwise" in str(caught.value)
    assert named in str(caught.value)
    assert all(remedy in str(caught.value) for remedy in REMEDIES)
    assert place.state() == before
    assert not place.config.cache.exists()  # no picture was read


def test_another_image_folder_with_the_same_out_is_refused(place):
    place.extract(out="features")
    other = place.images.parent / "others"
    write_pictures(other, intensities(3, seed=5))
    with pytest.raises(Fault) as caught:
        place.extract(out="features", data={"images": "songs/others"})
    assert f"images: there '{place.images}', here '{other}'" in str(caught.value)
    assert all(remedy in str(caught.value) for remedy in REMEDIES)


def test_another_number_of_reconstructions_is_no_other_setting(place, heard):
    place.extract()
    heard.clear()
    place.extract(reconstructions=4)
    assert "nothing to do" in heard.text


def test_training_on_makes_other_weights_which_are_refused(place):
    place.extract()
    give_weights(place.run, seed=1, epoch=2)
    with pytest.raises(Fault, match="weights: there 'best, epoch 1', here 'best, epoch 2'"):
        place.extract()


def test_a_variant_is_made_beside_the_first(place):
    first = place.extract()
    before = place.state()
    other = place.extract(pooling="max", variant="loud-1")
    assert {name: place.state()[name] for name in before} == before
    assert not set(other.paths) & set(first.paths)
    assert other.paths[-1].name == f"saec_{place.run.timestamp}_loud-1.json"
    np.testing.assert_array_equal(other.X, first.X)


def test_another_out_is_another_place(place):
    first = place.extract()
    before = place.state()
    other = place.extract(latents="float16", out="not/yet/there")
    assert place.state() == before
    assert {file.parent for file in other.paths} == {place.config.data / "not" / "yet" / "there"}
    assert [file.name for file in other.paths] == [file.name for file in first.paths]


def test_overwriting_replaces_the_files_and_removes_those_that_are_no_longer_made(place):
    first = place.extract(reduction={"dims": [2, 3], "n_neighbors": 5})
    assert len(first.paths) == 5
    other = place.extract(pooling="max", reduction={"dims": [2], "n_neighbors": 4}, overwrite=True)
    there = {place.images.parent / name for name in place.state()}
    assert there == set(other.paths)
    assert_like_a_fresh_extraction(place, other, pooling="max", reduction={"dims": [2], "n_neighbors": 4})


def test_overwriting_leaves_the_files_of_others_alone(place):
    place.extract(variant="kept")
    (place.images.parent / "dimred_2_neigh_10_saec_20200101_000000.npz").write_bytes(b"another's")
    before = place.state()
    place.extract()
    place.extract(pooling="max", overwrite=True)
    assert {name: place.state()[name] for name in before} == before


def test_overwriting_needs_nothing_of_what_is_there(place):
    first = place.extract()
    for file in first.paths:
        file.write_bytes(file.read_bytes()[:40])
    again = place.extract(overwrite=True)
    np.testing.assert_array_equal(again.X, first.X)


def encoded_line(heard) -> str:
    return next(line for line in heard.messages if "only the rest is encoded" in line)


CHANGES = {  # what is done to the folder, and what of its rows is taken over
    "added": (lambda place, names: place.add(3, seed=1), "12 of 15"),
    "changed": (lambda place, names: place.change(names[5]), "11 of 12"),
    "touched": (lambda place, names: os.utime(place.images / names[2], (1, 1)), "11 of 12"),
    "gone": (lambda place, names: [(place.images / name).unlink() for name in names[[0, 7]]], "10 of 10"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_pictures_that_are_not_as_they_were_are_encoded(place, heard, change):
    do, n_kept = CHANGES[change]
    before = place.extract()
    do(place, before.N)
    after = place.extract()
    assert encoded_line(heard) == f"{n_kept} pictures are as they were, only the rest is encoded"
    assert after.N.tolist() == sorted(file.name for file in place.images.iterdir())
    there = np.isin(before.N, after.N)
    same = (after.X[np.isin(after.N, before.N)] == before.X[there]).all(axis=(1, 2))
    assert same.sum() == there.sum() - (change == "changed")
    assert_like_a_fresh_extraction(place, after)


def test_rows_that_were_there_are_taken_and_not_computed_again(place):
    """Marked rows come back marked."""
    first = place.extract()
    for file in first.paths[:2]:
        marked = arrays(file)
        marked["X"] += 1000
        np.savez(file, **marked)
    (new,) = place.add(1, seed=2)
    after = place.extract()
    assert (after.X[after.N != new] > 500).all() and (np.abs(after.X[after.N == new]) < 500).all()


def test_added_changed_and_gone_at_once_equal_a_fresh_extraction_with_its_maps(place, heard):
    reduction = {"dims": [2, 3], "n_neighbors": 5}
    before = place.extract(reduction=reduction)
    place.add(2, seed=3)
    place.change(before.N[3])
    (place.images / before.N[11]).unlink()
    after = place.extract(reduction=reduction)
    assert encoded_line(heard) == "10 of 13 pictures are as they were, only the rest is encoded"
    assert_like_a_fresh_extraction(place, after, reduction=reduction)


def test_dimensions_that_so_many_pictures_allow_no_longer_are_removed(place):
    reduction = {"dims": [2, 8], "n_neighbors": 5}
    place.extract(reduction=reduction)
    for file in sorted(place.images.iterdir())[:4]:
        file.unlink()
    after = place.extract(reduction=reduction)
    assert {file.name for file in after.paths} == set(place.state())
    assert not any(name.startswith("dimred_8") for name in place.state())


def test_latents_of_half_precision_are_taken_over_unchanged(place):
    before = place.extract(latents="float16")
    place.add(1, seed=4)
    after = place.extract(latents="float16")
    assert after.X.dtype == np.float16
    np.testing.assert_array_equal(after.X[np.isin(after.N, before.N)], before.X)
    assert_like_a_fresh_extraction(place, after, latents="float16")


def test_files_that_nobody_speaks_of_are_not_replaced(place):
    files = place.extract().paths
    files[-1].unlink()
    kept = [file.read_bytes() for file in files[:-1]]
    with pytest.raises(Fault, match="of which no saec_.*json speaks") as caught:
        place.extract()
    assert all(remedy in str(caught.value) for remedy in ("variant:", "out:", "overwrite: true"))
    assert [file.read_bytes() for file in files[:-1]] == kept


@pytest.mark.parametrize("lost", [0, 1])
def test_a_file_that_is_lost_is_made_again(place, lost):
    first = place.extract()
    content = first.paths[lost].read_bytes()
    first.paths[lost].unlink()
    again = place.extract()
    assert again.paths == first.paths
    assert first.paths[lost].read_bytes() == content


@pytest.mark.parametrize("damaged", [0, 1, -1])
def test_a_damaged_file_is_a_fault_that_names_the_remedy(place, damaged):
    files = place.extract().paths
    files[damaged].write_bytes(files[damaged].read_bytes()[:40])
    with pytest.raises(Fault, match=r"saec_\d+_\d+\.json or a file it lists is damaged .*extract anew"):
        place.extract()


def test_the_json_of_something_else_is_a_fault(place):
    about = place.extract().paths[-1]
    about.write_text(json.dumps(["not", "ours"]))
    with pytest.raises(Fault, match="is damaged"):
        place.extract()


@pytest.mark.parametrize("out", ["songs/images", "songs/images/../images/"])
def test_features_are_not_put_among_the_pictures(place, out):
    with pytest.raises(Fault, match="out: .* holds the pictures themselves: choose another folder"):
        place.extract(out=out)
    assert len(list(place.images.iterdir())) == 12


def test_overwriting_removes_what_others_made_under_this_id(place):
    folder, id = place.images.parent, f"saec_{place.run.timestamp}"
    foreign, kept = folder / f"dimred_2_neigh_10_{id}.npz", folder / f"dimred_2_neigh_10_{id}_other.npz"
    for file in (foreign, kept):
        file.write_bytes(b"another's")
    with pytest.raises(Fault, match=f"{foreign.name}, of which no {id}.json speaks"):
        place.extract()
    assert foreign.exists()
    features = place.extract(overwrite=True)
    assert {folder / name for name in place.state()} == {*features.paths, kept}


def test_an_id_that_another_process_is_at_work_on_is_refused(place):
    folder, id = place.images.parent, f"saec_{place.run.timestamp}"
    lock = folder / f".{id}.lock"
    with locked(lock, id):
        with pytest.raises(Fault, match=f"another process is at work on {id}: wait for it, or end it"):
            place.extract()
        assert set(place.state()) == {lock.name}
        other = place.extract(variant="other")  # an id of its own
    first = place.extract()
    assert set(place.state()) == {file.name for file in (*first.paths, *other.paths)}


def test_onnx_encodes_as_torch_does(config, pictures):
    run = untrained_run(config, width=64)
    by_torch = extract(extraction_session(str(run.folder), out="torch", precision="fp32"), config)
    by_onnx = extract(extraction_session(str(run.folder), out="onnx", backend="onnx"), config)
    assert np.allclose(by_onnx.X, by_torch.X, rtol=1e-4, atol=1e-5)
    again = extract(extraction_session(str(run.folder), out="onnx", backend="onnx"), config)
    assert np.array_equal(again.X, by_onnx.X)
    with pytest.raises(Fault, match="backend: there 'onnx', here None"):
        extract(extraction_session(str(run.folder), out="onnx"), config)


@pytest.mark.parametrize(
    ("changes", "device", "words"),
    [({"precision": "bf16"}, "cpu", "encodes in fp32"), ({}, "missing", "pip install onnxruntime")],
)
def test_what_onnx_cannot_do_is_said_before_anything_is_read(
    config, pictures, changes, device, words, monkeypatch
):
    if device == "missing":
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    run = untrained_run(config)
    with pytest.raises(SessionError, match=f"backend: .*{words}"):
        extract(extraction_session(str(run.folder), backend="onnx") | changes, config)
