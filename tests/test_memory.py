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


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells anonymous memory")
@pytest.mark.parametrize("variant", ["store", "streamed"])
def test_fifteen_times_as_many_pictures_take_little_more_memory(tmp_path, variant):
    made, peaks = write_pictures(tmp_path / "made", N_MADE, WIDTH), []
    for n in (1_000, MOST):
        workspace = tmp_path / str(n)
        link(made, workspace / "images", n)
        names = [file.name for file in (workspace / "images").iterdir()]
        names += [f"of_another_folder_{number}.png" for number in range(MOST - n)]  # a table of one size
        lines = [f"{name},{'abc'[number % 3]}" for number, name in enumerate(names)]
        (workspace / "labels.csv").write_text("\n".join(["file,label", *lines]))
        paths = {"data": workspace, "models": workspace / "models", "cache": workspace / "cache"}
        config = Config(**paths, device="cpu", workers=2)
        changes = {"run": untrained(config).timestamp, "variant": variant}
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            peaks.append(process.submit(watched, extraction, config, changes).result()[1])
    assert peaks[1] - peaks[0] < MOST_MORE_MB, peaks
