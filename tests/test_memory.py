"""Memory does not grow with the number of pictures, but for their names and the like."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks.memory import N_MADE, WIDTH, extraction, link, untrained, watched
from benchmarks.pictures import write_pictures
from saec.config import Config

MOST = 15_000  # pictures
MOST_MORE_MB = 55  # the pictures alone have 60 MB


def peak_mb(workspace: Path, made: Path, n: int, variant: str) -> float:
    """The most anonymous memory of an extraction of n pictures."""
    link(made, workspace / "images", n)
    names = [file.name for file in (workspace / "images").iterdir()]
    names += [f"of_another_folder_{number}.png" for number in range(MOST - n)]  # a table of one size
    lines = [f"{name},{'abc'[number % 3]}" for number, name in enumerate(names)]
    (workspace / "labels.csv").write_text("\n".join(["file,label", *lines]))
    paths = {"data": workspace, "models": workspace / "models", "cache": workspace / "cache"}
    config = Config(**paths, device="cpu", workers=2)
    changes = {"run": untrained(config).timestamp, "variant": variant}
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(watched, extraction, config, changes).result()[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells anonymous memory")
@pytest.mark.parametrize("variant", ["store", "streamed"])
def test_fifteen_times_as_many_pictures_take_little_more_memory(tmp_path, variant):
    made = write_pictures(tmp_path / "made", N_MADE, WIDTH)
    few, many = (
        peak_mb(tmp_path / "few", made, 1_000, variant),
        peak_mb(tmp_path / "many", made, MOST, variant),
    )
    if many - few >= MOST_MORE_MB:  # what an allocator keeps differs by 20 MB now and then
        many = min(many, peak_mb(tmp_path / "again", made, MOST, variant))
    assert many - few < MOST_MORE_MB, (few, many)
