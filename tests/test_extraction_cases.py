"""What a second extraction of one id does: nothing, only the pictures that changed, or a refusal."""

import json
import os
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import intensities, training_session, write_pictures
from small_runs import Songs, assert_same_files, give_weights
from sounds import CNN

from saec import evaluate, train
from saec.extraction.data import ExtractionData
from saec.extraction.outputs import Outputs
from saec.extraction.rows import Earlier
from saec.extraction.sources.base import for_samples
from saec.extraction.sources.run import RunSource
from saec.faults import Fault
from saec.files import locked
from saec.session import SessionError

SHAPES = {"settings": {}, "session": {"data": {}}, "model": "m", "n_pictures": 1, "pictures": [["a"]]}
SHAPES |= {"files": []}  # of a JSON file
FOREIGN = [
    json.dumps(SHAPES | {key: value}).encode()
    for key, values in {
        "settings": ([1],),
        "session": (1, {}, {"data": None}),
        "model": (None, [1]),
        "pictures": ([[]], [[["a"]]]),
        "roles": ({"X": 1}, [1]),
        "files": ([1],),
    }.items()
    for value in values
]
REMEDIES = ("`variant:`", "`out:`", "`overwrite: true`")


@pytest.fixture
def songs(config) -> Songs:
    return Songs(config, intensities(12))


def add(songs: Songs, n: int) -> None:
    new = write_pictures(songs.folder / "more", intensities(n, seed=9), "gray")
    for name in new:
        shutil.move(songs.folder / "more" / name, songs.images / f"new_{name}")


def change(songs: Songs, name: str) -> None:
    """Another picture under the same name."""
    add(songs, 1)
    os.replace(songs.images / "new_rec00_segm_0000.000.png", songs.images / name)


def test_the_same_again_reads_and_writes_nothing_however_the_run_is_named(songs, log):
    first, before = songs.extract(), songs.files()
    shutil.rmtree(songs.config.cache)
    for changes in ({}, {"run": str(songs.run.folder)}, {"run": "latest:untrained"}, {"reconstructions": 4}):
        log.clear()
        second = songs.extract(**changes)
        assert f"{songs.id}: nothing to do, the files are there" in log.text
        assert second.paths == first.paths and songs.files() == before
        np.testing.assert_array_equal(second.X, first.X)
    assert not songs.config.cache.exists()


def test_pictures_in_folders_go_all_the_way_under_their_paths(songs):
    """Taken from a folder with those below it, from class folders, or from a table, and evaluated."""
    flat = songs.extract()
    names = {name: f"{'even' if index % 2 else 'odd #1'}/{name}" for index, name in enumerate(songs.names)}
    for name, path in names.items():
        (songs.images / path).parent.mkdir(exist_ok=True)
        shutil.move(songs.images / name, songs.images / path)
    table = songs.folder / "list.csv"
    table.write_text("\n".join(["file,label", *(f"images\\{path},x" for path in names.values())]))
    folders = [str(songs.images / "even"), str(songs.images / "odd #1")]
    for key, location, above in (
        ("deep", {"images": "songs/images", "recursive": True}, ""),
        ("folders", {"images": folders}, ""),
        ("table", {"images": str(table)}, "images/"),
    ):
        made = songs.extract(data=location, variant=key, out="out")
        assert made.N.tolist() == sorted(above + path for path in names.values())
        rows = [made.N.tolist().index(above + names[name]) for name in flat.N.tolist()]
        np.testing.assert_array_equal(made.X[rows], flat.X)
    session = {"images": "songs/images", "features": f"out/pooled_mean_std_{songs.id}_deep.npz"}
    session |= {"similar": {"to": str(songs.images / names[songs.names[0]]), "n": 1}, "evaluations": []}
    report = evaluate(session | {"pixels": True}, songs.config).folder
    page = (report / "explorer.html").read_text(encoding="utf-8")
    assert (
        '"../../songs/images/odd%20%231/rec00_segm_0000.000.png"' in page
        and '"words":["even","odd #1"]' in page
    )
    (near,) = {file for file in pd.read_csv(next(report.glob("similar_*.csv")))["file"]}
    assert near == names[songs.names[0]]


def test_other_settings_are_refused_with_what_differs_and_the_remedies(songs):
    """Before a picture is read."""
    songs.extract(out="songs")
    before = songs.files()
    shutil.rmtree(songs.config.cache)
    for changes, words in (
        ({"pooling": "max"}, 'pooling: there {"name": "mean_std", "trim": 0.1}, here {"name": "max"'),
        ({"pooling": {"name": "mean_std", "trim": 0.2}}, '"trim": 0.2'),
        ({"latents": "float16"}, 'latents: there "float32", here "float16"'),
        ({"weights": "last"}, 'weights: there "best, epoch 1", here "last, epoch 1"'),
        ({"precision": "bf16"}, 'precision: there "fp32", here "bf16"'),
        ({"reduction": {"dims": [2]}}, 'reduction: there null, here {"dims": [2]'),
    ):
        with pytest.raises(Fault) as caught:
            songs.extract(out="songs", **changes)
        message = str(caught.value)
        assert f"holds features {songs.id} made otherwise" in message and words in message
        assert all(remedy in message for remedy in REMEDIES)
        assert songs.files() == before and not songs.config.cache.exists()
    give_weights(songs.run, seed=1, epoch=2)
    with pytest.raises(Fault, match='weights: there "best, epoch 1", here "best, epoch 2"'):
        songs.extract()


def test_features_are_named_by_the_weights_that_made_them_while_a_training_goes_on(songs, monkeypatch):
    """The epoch is that of the file that is read, even if it is replaced or the other one is older."""
    words, open_data, last = [], ExtractionData.open, songs.run.folder / "last.pt"
    before, first = last.read_bytes(), songs.extract(out="first")

    def train_on(*given):
        kind = open_data(*given)
        give_weights(songs.run, seed=1, epoch=2)
        last.write_bytes(before)  # as a kill between the two files leaves it
        return kind

    with monkeypatch.context() as patch:
        patch.setattr(ExtractionData, "open", train_on)
        during = songs.extract()
    after = songs.extract(out="after")
    for features in (first, during, after):
        words.append(json.loads(features.paths[-1].read_text())["settings"]["weights"])
    assert words == ["best, epoch 1", "best, epoch 1", "best, epoch 2"]
    assert np.array_equal(during.X, first.X) and not np.array_equal(after.X, first.X)
    add(songs, 1)
    with pytest.raises(Fault, match='weights: there "best, epoch 1", here "best, epoch 2"'):
        songs.extract()


def test_a_variant_and_another_folder_leave_the_first_features_as_they_are(songs):
    first, before = songs.extract(), songs.files()
    elsewhere = songs.extract(latents="float16", out="not/yet/there")
    assert songs.files() == before
    assert {file.parent for file in elsewhere.paths} == {songs.config.data / "not" / "yet" / "there"}
    assert [file.name for file in elsewhere.paths] == [file.name for file in first.paths]
    other = songs.extract(pooling="max", variant="loud-1")
    assert {name: songs.files()[name] for name in before} == before
    assert other.paths[-1].name == f"{songs.id}_loud-1.json" and not set(other.paths) & set(first.paths)


def test_overwriting_replaces_all_files_of_the_id_even_damaged_ones_and_no_others(songs):
    first = songs.extract(reduction={"dims": [2, 3], "n_neighbors": 5}).paths
    assert len(first) == 6
    foreign = songs.folder / f"dimred_2_neigh_10_{songs.id}.npz"
    kept = {songs.folder / f"dimred_2_neigh_10_{one}.npz" for one in (f"{songs.id}_other", "saec_2020")}
    for file in (foreign, *kept, *first):
        file.write_bytes(b"another's or damaged")
    wanted = {"pooling": "max", "reduction": {"dims": [2], "n_neighbors": 4}}
    other = songs.extract(**wanted, overwrite=True)
    assert {songs.folder / name for name in songs.files()} == {*other.paths, *kept}
    assert_same_files(other, songs.extract(**wanted, out="fresh"))


MAPS = {"reduction": {"dims": [2, 3], "n_neighbors": 5}}
CHANGES = {  # what is done to the folder, what of its rows is taken over, and the session
    "added": (lambda songs: add(songs, 3), "12 of 15", {}),
    "changed": (lambda songs: change(songs, songs.names[5]), "11 of 12", {"latents": "float16"}),
    "touched": (lambda songs: os.utime(songs.images / songs.names[2], (1, 1)), "11 of 12", {}),
    "gone": (lambda songs: [(songs.images / songs.names[row]).unlink() for row in (0, 7)], "10 of 10", {}),
    "all": (
        lambda songs: (
            change(songs, songs.names[3]),
            add(songs, 2),
            (songs.images / songs.names[11]).unlink(),
        ),
        "10 of 13",
        MAPS,
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_only_pictures_that_are_not_as_they_were_are_encoded(songs, log, case):
    """And all files equal those of an extraction into an empty folder."""
    do, kept, changes = CHANGES[case]
    songs.extract(**changes)
    do(songs)
    after = songs.extract(**changes)
    assert f"{kept} pictures are as they were, only the rest is encoded" in log.messages
    assert after.N.tolist() == sorted(file.name for file in songs.images.iterdir())
    assert_same_files(after, songs.extract(out="fresh", **changes))


def test_rows_that_were_there_are_taken_and_not_computed_again(songs):
    """Marked rows come back marked."""
    for file in songs.extract().paths[:2]:
        with np.load(file) as arrays:
            marked = {"X": arrays["X"] + 1000, "N": arrays["N"]}
        np.savez(file, **marked)
    add(songs, 1)
    after = songs.extract()
    assert ((np.abs(after.X) > 500).all(axis=(1, 2)) == np.isin(after.N, songs.names)).all()


def test_dimensions_that_so_many_pictures_allow_no_longer_are_removed(songs):
    reduction = {"dims": [2, 8], "n_neighbors": 5}
    songs.extract(reduction=reduction)
    for name in songs.names[:4]:
        (songs.images / name).unlink()
    after = songs.extract(reduction=reduction)
    assert {file.name for file in after.paths} == set(songs.files())
    assert not any(name.startswith("dimred_8") for name in songs.files())


def test_lost_files_are_made_again_and_damaged_or_foreign_ones_are_faults(songs):
    files = songs.extract().paths
    content = {file: file.read_bytes() for file in files}
    for file in files[:2]:
        file.unlink()
        assert songs.extract().paths == files and file.read_bytes() == content[file]
    for file in (files[0], files[1], files[-1]):
        for damage in (file.read_bytes()[:40], b'["not", "ours"]', *FOREIGN):
            file.write_bytes(damage)
            with pytest.raises(Fault, match=f"{songs.id}.json or a file it lists is damaged .*extract anew"):
                songs.extract()
        file.write_bytes(content[file])
    files[-1].unlink()
    with pytest.raises(Fault, match=f"of which no {songs.id}.json speaks") as caught:
        songs.extract()
    assert all(remedy in str(caught.value) for remedy in REMEDIES)
    assert all(file.read_bytes() == content[file] for file in files[:-1])
    files[-1].write_bytes(content[files[-1]])
    for index, other in enumerate(FOREIGN):
        (songs.folder / f"saec_{index}.json").write_bytes(other)
    add(songs, 1)
    assert songs.extract().paths == files


def test_features_of_several_folders_in_one_are_told_apart_by_the_folders_names(songs):
    """Whichever comes first has the plain names, and all of them are found again."""
    others = [songs.folder / name for name in ("others", "deep/saec_images", "deeper/saec_images")]
    for folder in others:
        write_pictures(folder, intensities(3))
    first, *more = [songs.extract(data={"images": str(one)}, out="all") for one in (songs.images, *others)]
    ids = [features.paths[-1].stem.removeprefix(songs.id) for features in more]
    assert ids[:2] == ["_others", "_saec-images"] and re.fullmatch("_saec-images-[0-9a-f]{8}", ids[2])
    for folder, features in zip((songs.images, *others), (first, *more), strict=True):
        assert songs.extract(data={"images": str(folder)}, out="all").paths == features.paths


def test_changed_labels_are_in_the_predictions_and_nothing_is_encoded_for_them(songs, log, monkeypatch):
    labels = songs.folder / "labels.csv"

    def label(second: str, **columns: str) -> None:
        table = {"file": songs.names, "label": ["a", second] * 6} | columns
        pd.DataFrame(table).to_csv(labels, index=False)

    def predicted() -> pd.DataFrame:
        log.clear()
        return pd.read_csv(songs.extract(run="latest:classify").roles["predictions"])

    label("b")
    train(
        training_session(model=CNN, objective="classification", views="plain", name="classify"), songs.config
    )
    assert predicted()["label"].tolist() == ["a", "b"] * 6
    monkeypatch.setattr(RunSource, "rows", None)
    for second, columns in (("a", {}), ("a", {"site": "pond"})):
        label(second, **columns)
        after = predicted()
        assert after["label"].tolist() == ["a", second] * 6
        assert all((after[key] == value).all() for key, value in columns.items())
        assert "12 of 12 pictures are as they were" in log.text
        predicted()
        assert "nothing to do" in log.text


BOTH = {"pooling": {"name": "mean_std", "axes": "both"}}


@pytest.mark.usefixtures("like_windows")
@pytest.mark.parametrize(
    "change", [{}, {"pooling": "max"}, BOTH, {"reduction": {"dims": [2], "n_neighbors": 4}}]
)
def test_a_variant_shares_what_it_has_in_common_and_computes_the_rest_alone(songs, monkeypatch, change):
    """Nothing is encoded, and all equals what is made elsewhere; a later change of one leaves the other."""
    held = songs.extract(reconstructions=2)  # and its files mapped, as in a notebook
    fresh = songs.extract(out="fresh", reconstructions=2, **change).roles
    with monkeypatch.context() as patch:
        patch.setattr(RunSource, "rows", None)
        other = songs.extract(variant="other", reconstructions=2, **change).roles
    first, shared = held.roles, {"X"} | ({"pooled"} if "pooling" not in change else set())
    del held
    assert {role for role in first if other[role].samefile(first[role])} == shared
    for role, file in fresh.items():
        assert other[role].read_bytes() == file.read_bytes() or role == "reconstructions"
    before = other["X"].read_bytes()
    os.utime(songs.images / songs.names[0], (1, 1))
    songs.extract(reconstructions=2)
    assert not other["X"].samefile(first["X"]) and other["X"].read_bytes() == before


@pytest.mark.parametrize("folder", ["/home/me/models/", "C:\\Users\\me\\models\\"])
def test_the_run_of_another_machine_is_looked_for_by_its_name(folder):
    recipe = {"run": f"{folder}20261126_120000_songs", "data": {"images": "songs"}}
    assert for_samples(recipe, "others")["run"] == "20261126_120000_songs"


@pytest.mark.parametrize("moment", [(Earlier, "rows"), (RunSource, "_take")])
def test_a_variant_has_the_rows_it_began_with_though_others_are_replaced(songs, monkeypatch, moment):
    """While its rows are looked up, or before the files are written."""
    (kind, name), expected = moment, np.array(songs.extract().X)
    do, gone = getattr(kind, name), songs.images / songs.names[0]
    if name == "rows":
        gone.unlink()
        expected = expected[1:]

    def replaced_meanwhile(*given):
        result = do(*given)
        monkeypatch.setattr(kind, name, do)
        gone.unlink(missing_ok=True)
        assert len(songs.extract().X) == 11
        return result

    monkeypatch.setattr(kind, name, replaced_meanwhile)
    other = songs.extract(variant="other")
    assert np.array_equal(other.X, expected) and len(other.N) == len(expected)
    assert not [file for file in songs.folder.iterdir() if file.name.startswith(".")]


def test_overwriting_by_another_pooling_keeps_latents_and_by_the_same_makes_all_anew(songs, monkeypatch):
    songs.extract()
    with monkeypatch.context() as patch:
        patch.setattr(RunSource, "rows", None)
        after = songs.extract(pooling="max", overwrite=True)
        about = json.loads(after.paths[-1].read_text())
        for settings in ({}, {"recursive": None}):  # which 0.1.0 has not written
            kept = {key: value for key, value in about["settings"].items() if key not in settings}
            after.paths[-1].write_text(json.dumps(about | {"settings": kept}))
            with pytest.raises(TypeError):
                songs.extract(pooling="max", overwrite=True)
    assert {file.name for file in after.paths} == set(songs.files())
    assert_same_files(after, songs.extract(pooling="max", out="fresh"))


@pytest.mark.parametrize("change", [{"latents": "float16", "pooling": "max"}, {"precision": "bf16"}])
def test_latents_that_are_rounded_or_made_otherwise_are_not_taken(songs, change):
    songs.extract()
    songs.extract(latents="float16", variant="half")
    other = songs.extract(variant="other", **change)
    for role, file in songs.extract(out="fresh", **change).roles.items():
        assert other.roles[role].read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("out", "data"),
    [
        ("songs/images", {}),
        ("songs/images/../images/", {}),
        ("songs/more", {"images": ["songs/images", "songs/more"]}),
        ("songs/images/below/features", {"recursive": True}),
    ],
)
def test_features_are_not_put_among_the_pictures(songs, out, data):
    shutil.copytree(songs.images, songs.folder / "more")
    with pytest.raises(Fault, match="out: .* holds the pictures themselves: choose another folder"):
        songs.extract(out=out, data={"images": "songs/images"} | data)
    assert len(list(songs.images.iterdir())) == 12
    songs.extract(out="songs/images/below/features")  # where they are not looked for


def test_features_of_a_table_that_lie_beside_its_pictures_are_there_as_version_0_1_0_put_them(songs, log):
    """Those of other pictures are not taken for them."""
    table = songs.images / "table.csv"
    table.write_text("\n".join(["file", *songs.names[:8]]))
    above = songs.extract(data={"images": str(table)}, variant="above")
    beside = songs.extract(data={"images": str(table)}, out="songs/images")
    again = songs.extract(data={"images": str(table)})
    assert above.paths[0].parent == songs.folder
    assert again.paths == beside.paths and f"{songs.id}: nothing to do" in log.text
    other = songs.images / "other.csv"
    other.write_text("\n".join(["file", *songs.names[:4]]))
    assert songs.extract(data={"images": str(other)}).paths[0].parent == songs.folder


def test_an_id_that_another_process_is_at_work_on_is_refused(songs):
    lock = songs.folder / f".{songs.id}.lock"
    with locked(lock, songs.id):
        with pytest.raises(Fault, match=f"another process is at work on {songs.id}: wait for it, or end it"):
            songs.extract()
        assert set(songs.files()) == {lock.name}
        other = songs.extract(variant="other")  # an id of its own
    first = songs.extract()
    assert set(songs.files()) == {file.name for file in (*first.paths, *other.paths)}


def test_onnx_encodes_as_torch_does(songs):
    by_torch, by_onnx = songs.extract(out="torch"), songs.extract(out="onnx", backend="onnx")
    np.testing.assert_allclose(by_onnx.X, by_torch.X, rtol=1e-4, atol=1e-5)
    assert np.array_equal(songs.extract(out="onnx", backend="onnx").X, by_onnx.X)
    with pytest.raises(Fault, match='backend: there "onnx", here null'):
        songs.extract(out="onnx")


def test_what_onnx_cannot_do_is_a_fault_before_anything_is_read(songs, monkeypatch):
    with pytest.raises(SessionError, match="backend: .*encodes in fp32"):
        songs.extract(backend="onnx", precision="bf16")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SessionError, match="backend: .*pip install onnxruntime"):
        songs.extract(backend="onnx")


@pytest.mark.parametrize(
    ("id", "other"),
    [
        ("handcrafted", "20200101_000000_handcrafted"),
        ("crafted", "combiner_crafted"),
        ("20200101_000000", "20210101_000000"),
        ("combiner_birds", "combiner_my_combiner_birds"),
    ],
)
@pytest.mark.parametrize("sign", ["saec_{}.json", ".saec_{}.lock", "pooled_saec_{}.npz"])
def test_files_of_an_id_that_ends_like_another_are_not_those_of_the_other(tmp_path, id, other, sign):
    files = {}
    for one in (id, other):
        names = [
            f"{form}_1_{song}_{one}.txt"
            for form in ("raven", "audacity")
            for song in ("a", "19990101_000000")
        ]
        files[one] = set(names)
        for name in names:
            (tmp_path / name).touch()
    (tmp_path / sign.format(other)).touch()
    assert {file.name for file in Outputs(tmp_path, f"saec_{id}").present()} == files[id]
