"""The wheel has all that the command needs: sessions, config, pages; no checkout is there."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import intensities, write_pictures

from saec.config import ROOT

COMMANDS = """
from saec.command import main
small = ["--set", "training.epochs=1", "--set", "model={name: compact, widths: [4, 4, 4], latent: 8}"]
codes = [
    main(["init", "lab"]),
    main(["train", "default", "--set", "data.valid=0.3", "--set", "training.batch_size=4", *small]),
    main(["extract", "default", "--check"]),
    main(["extract", "nothere"]),
]
print(codes)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "wheel")
    return folder / "wheel"


@pytest.mark.slow
def test_a_wheel_holds_the_package_and_one_copy_of_config_and_sessions(unpacked):
    package = unpacked / "saec"
    files = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    source, shipped = ROOT / "src" / "saec", Path("shipped")
    expected = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    sessions = {path.relative_to(ROOT) for path in (ROOT / "session_params").rglob("*.*")}
    assert files == expected | {shipped / path for path in (*sessions, Path("config", "config.yaml"))}
    (about,) = unpacked.glob("*.dist-info")
    assert "saec = saec.command:main" in (about / "entry_points.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_command_of_a_wheel_works_in_a_folder_that_has_nothing_but_pictures(unpacked, tmp_path):
    write_pictures(tmp_path / "data" / "songs" / "train" / "images", intensities(12))
    command = [sys.executable, "-P", "-c", COMMANDS]
    env = os.environ | {"PYTHONPATH": str(unpacked)}
    done = subprocess.run(command, cwd=tmp_path, env=env, text=True, capture_output=True)
    lab, run, codes = done.stdout.splitlines()
    assert (Path(lab), Path(run).parent, codes) == (tmp_path / "lab", tmp_path / "models", "[0, 0, 0, 2]")
    assert f"config is not here: data, models and cache are folders of {tmp_path}" in done.stderr
    assert str(unpacked / "saec" / "shipped" / "session_params" / "extraction") in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "data", "lab", "models"]
