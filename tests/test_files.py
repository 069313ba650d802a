"""Files appear whole or not at all; what a kill leaves is swept; fingerprints are of contents."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from saec.disk import new_map, require_room
from saec.faults import Fault
from saec.files import (
    TEMPORARY,
    appearing,
    appearing_folder,
    fingerprint,
    link_or_copy,
    locked,
    map_npz,
    move_to_timestamp,
    remove_leftovers,
    require_writable,
    temporary_folder,
    write_json,
    write_npz,
    write_text,
)
from saec.folders import files_below


def names(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_appears_when_its_block_ends_and_the_old_one_stays_when_it_raises(tmp_path, error):
    file = tmp_path / "note.txt"
    with appearing(file) as temporary:
        temporary.write_text("old")
        assert temporary.parent == tmp_path and not file.exists()
    with pytest.raises(error), appearing(file) as temporary:
        temporary.write_text("half")
        raise error
    assert file.read_text() == "old" and names(tmp_path) == ["note.txt"]


def test_a_folder_appears_when_its_block_ends_and_never_half_made(tmp_path):
    folder = tmp_path / "above" / "made"
    with pytest.raises(KeyError), appearing_folder(folder) as part:
        (part / "a.txt").write_text("half")
        raise KeyError
    assert names(folder.parent) == []
    for text in ("first", "second"):  # who comes later changes nothing
        with appearing_folder(folder) as part:
            (part / "a.txt").write_text(text)
            assert part.parent == folder.parent
    assert names(folder.parent) == ["made"] and (folder / "a.txt").read_text() == "first"


def test_folders_with_a_timestamp_never_share_it(tmp_path):
    made, claim = [], tmp_path / ".20200102_030405"  # of a process that was killed
    claim.mkdir()
    os.utime(claim, (0, 0))
    for pattern in ("*_a", "b_*"):
        with temporary_folder(tmp_path) as part:
            (part / "a.txt").write_text(pattern)
            made.append(move_to_timestamp(part, tmp_path, pattern))
    assert names(tmp_path) == sorted(folder.name for folder in made)
    assert made[0].name.removesuffix("_a") < made[1].name.removeprefix("b_")


def test_a_claim_of_a_disk_whose_clock_is_minutes_behind_is_not_removed(tmp_path):
    claim, ago = tmp_path / ".20200102_030405", time.time() - 300
    claim.mkdir()
    with temporary_folder(tmp_path) as part:
        for folder in (claim, part):
            os.utime(folder, (ago, ago))
        move_to_timestamp(part, tmp_path, "*_a")
    assert claim.is_dir()


def test_what_a_kill_leaves_is_removed_folders_once_they_are_old(tmp_path):
    for name in ("old", "young"):
        (tmp_path / f"{TEMPORARY}{name}").mkdir()
    os.utime(tmp_path / f"{TEMPORARY}old", (0, 0))
    with temporary_folder(tmp_path) as part:
        assert names(tmp_path) == sorted([f"{TEMPORARY}young", part.name, f"{part.name}.lock"])
    (tmp_path / f"{TEMPORARY}young").rmdir()
    killed = (
        f"import os; from saec.files import *\nwith temporary_folder(Path({str(tmp_path)!r})): os._exit(9)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    assert subprocess.run([sys.executable, "-c", killed], env=environment).returncode == 9
    assert len(names(tmp_path)) == 2  # the folder and its lock
    time.sleep(1)
    with temporary_folder(tmp_path) as part, temporary_folder(tmp_path) as other:
        assert names(tmp_path) == sorted(f"{one.name}{end}" for one in (part, other) for end in ("", ".lock"))
    assert names(tmp_path) == []
    for name in (f"{TEMPORARY}0a1b2c3d_a.npz", "a.npz", ".hidden", "writing_a.npz"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".hidden", "a.npz", "writing_a.npz"]


def test_text_and_json_are_utf_8_with_plain_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "Zaunkönig\n")
    write_json(tmp_path / "a.json", {"bird": "Zaunkönig"})
    assert (tmp_path / "a.txt").read_bytes() == "Zaunkönig\n".encode()
    written = (tmp_path / "a.json").read_bytes()
    assert b"\r" not in written and "ö" in written.decode() and json.loads(written) == {"bird": "Zaunkönig"}


def test_json_holds_what_was_written_a_row_takes_a_line_and_what_it_cannot_say_is_refused(tmp_path):
    file = tmp_path / "a.json"
    rows = {"rows": [["ä\n", 1], ["b", None]], "deep": {"x": [1, {"y": 2}]}, "n": 1.5}
    for content in ({}, {"a": []}, {"a": [1, "a"]}, rows):
        write_json(file, content)
        assert json.loads(file.read_text(encoding="utf-8")) == content
    with pytest.raises(ValueError, match="JSON"):
        write_json(file, {"a": [float("nan")]})
    lines = file.read_text(encoding="utf-8").splitlines()  # the old file
    assert lines[1:4] == ['  "rows": [', '    ["ä\\n", 1],', '    ["b", null]']


def test_npz_is_stored_plainly_and_maps_as_it_was_written(tmp_path):
    file = tmp_path / "a.npz"
    arrays = {
        "X": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "F": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "N": np.array(["a.png", "Zaunkönig.png"]),
        "empty": np.zeros((0, 3), np.float32),
    }
    write_npz(file, **arrays)
    with np.load(file, allow_pickle=False) as loaded:
        assert loaded.files == list(arrays)
        for key, array in arrays.items():
            mapped = map_npz(file, key)
            assert mapped.dtype == array.dtype
            np.testing.assert_array_equal(mapped, array)
            np.testing.assert_array_equal(loaded[key], array)
    assert isinstance(map_npz(file, "X"), np.memmap)


def test_npz_with_objects_is_refused_and_nothing_appears(tmp_path):
    with pytest.raises(TypeError, match="array 'N' holds objects, which only pickle could store"):
        write_npz(tmp_path / "a.npz", X=np.zeros(2), N=np.array(["a", None], dtype=object))
    assert names(tmp_path) == []


def test_a_writable_folder_may_still_have_to_be_made_but_not_below_a_file(tmp_path):
    (tmp_path / f"{TEMPORARY}0a1b2c3d").touch()  # by a process that was killed
    require_writable(tmp_path / "not" / "there" / "yet")
    assert names(tmp_path) == []
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match="cannot write into .*choose another folder"):
        require_writable(tmp_path / "file" / "below")


def test_a_fingerprint_is_of_contents_and_stays_the_same_from_version_to_version():
    assert fingerprint("a", 1, [("b.png", 2)], {"c": None}) == "e6e33efdda61cdc7fc568e5e412295e1"
    assert fingerprint({"a": 1, "b": [2, "c"]}) == fingerprint({"b": [2, "c"], "a": 1})
    others = (["b", "a"], ["a", "b", ""], ["ab"], [["a", "b"]], ["a", "B"])
    assert fingerprint("a", "b") not in {fingerprint(*other) for other in others}


def test_a_disk_without_the_room_is_a_fault_with_the_numbers(tmp_path):
    folder = tmp_path / "not" / "there" / "yet"
    require_room(folder, 1, "latents")
    words = r"latents take 1000000000.00 GB, the disk of .*yet has \d+\.\d\d GB free"
    with pytest.raises(Fault, match=words):
        require_room(folder, 10**18, "latents")
    assert names(tmp_path) == []


def test_a_lock_is_held_by_one_and_gone_afterwards_however_the_block_ends(tmp_path):
    lock = tmp_path / ".lock"
    with pytest.raises(KeyError), locked(lock, "this"):
        for _ in range(2):
            with pytest.raises(Fault, match="another process is at work on this"), locked(lock, "this"):
                raise AssertionError("both are at work")
        raise KeyError
    assert names(tmp_path) == []
    with locked(lock, "this"):
        assert lock.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS replaces files that are mapped")
@pytest.mark.usefixtures("like_windows")
def test_a_file_that_is_open_elsewhere_stays_as_it_is_and_the_fault_says_so(tmp_path, monkeypatch):
    file, waits = tmp_path / "rows.npy", []
    np.save(file, np.arange(3))
    rows = np.load(file, mmap_mode="r")
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(Fault, match="rows.npy cannot be replaced .*: close what has it open"):
        write_text(file, "other")
    assert rows.tolist() == [0, 1, 2] and names(tmp_path) == ["rows.npy"] and sum(waits) > 4
    del rows
    write_text(file, "other")
    assert file.read_text() == "other"


def linked(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:  # Windows asks for a privilege
        pytest.skip("no symbolic links here")


def test_files_below_a_folder_are_sorted_without_hidden_ones_and_links_are_followed_once(tmp_path):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    names = ["b.PNG", "a.png", "x/c.png", "x/y/d.png", "x.png/e.png"]
    for name in (*names, "._a.png", ".hidden/f.png", "x/.g.png", "notes.txt", "../elsewhere/h.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    linked(folder / "z", elsewhere)
    linked(folder / "i.png", elsewhere / "h.png")
    linked(elsewhere / "round", folder)
    linked(folder / "x" / "up", folder)
    listed = list(files_below(folder, (".png",)))
    assert listed == sorted([*names, "i.png", "z/h.png"])
    assert list(files_below(folder, (".png",), recursive=False)) == ["a.png", "b.PNG", "i.png"]
    linked(folder / "x" / "gone.png", tmp_path / "nowhere.png")
    with pytest.raises(Fault, match="lead nowhere, remove or mend them:\n  x/gone.png"):
        files_below(folder, (".png",))


HOLDER = """
import sys, time
from pathlib import Path
from saec.faults import Fault
from saec.files import locked
lock, end, n_held, n_twice = Path(sys.argv[1]), time.time() + float(sys.argv[2]), 0, 0
while time.time() < end:
    try:
        with locked(lock, "this"):
            try:
                lock.with_name("held").open("x").close()
                n_held += 1
            except FileExistsError:
                n_twice += 1
            lock.with_name("held").unlink(missing_ok=True)
    except Fault:
        time.sleep(0.0005)
print(n_held, n_twice)
"""


@pytest.mark.slow
def test_a_lock_is_never_held_twice_however_many_want_it(tmp_path):
    words = [sys.executable, "-c", HOLDER, str(tmp_path / ".lock"), "4"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    holders = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(5)]
    counts = np.array([holder.communicate()[0].split() for holder in holders], dtype=int)
    n_held, n_twice = counts.sum(axis=0)
    assert n_held > 100 and n_twice == 0 and names(tmp_path) == []


@pytest.mark.parametrize("system", ["", "of macOS"])
def test_a_new_map_holds_zeros_and_has_its_room_at_once(tmp_path, monkeypatch, system):
    if system:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    array = new_map(tmp_path / "rows.npy", np.float32, (1000, 300))
    assert array.shape == (1000, 300) and not array.any()
    array[3] = 1
    array.flush()
    assert np.load(tmp_path / "rows.npy")[3].sum() == 300
    if sys.platform == "linux":
        assert (tmp_path / "rows.npy").stat().st_blocks * 512 >= array.nbytes


@pytest.mark.parametrize("linked", [True, False])
def test_a_file_is_linked_or_copied_and_replaced_apart(tmp_path, monkeypatch, linked):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"one")
    if not linked:
        monkeypatch.setattr(os, "link", lambda *_: os.listdir(first))  # fails, as on some disks
    for _ in range(2):
        link_or_copy(first, second)
        assert second.samefile(first) == linked and second.read_bytes() == b"one"
    second.unlink()
    second.write_bytes(b"other")
    with monkeypatch.context() as patch:  # a link is neither renamed nor opened, as where it is mapped
        patch.setattr(os, "replace" if linked else "rename", lambda *_: os.listdir(first))
        patch.setattr(os, "open" if linked else "rename", lambda *_: os.listdir(first))
        link_or_copy(first, second)
    assert second.samefile(first) == linked and second.read_bytes() == b"one"
    write_text(first, "two")
    assert second.read_bytes() == b"one" and sorted(tmp_path.iterdir()) == [first, second]
