"""The benchmarks run: every contender at a tiny size, in this process; all of it with `-m slow`."""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import contenders, distortions, maps, precision, scale_plan, speed
from benchmarks.contest import Entry, Row, table
from benchmarks.errors import errors
from benchmarks.pictures import write_images
from benchmarks.reference import pooled
from saec.features import mean_std

WIDTH = 64
MEMORY = {"anonymous_mb": 9, "gpu_mb": 0}


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> contenders.Setting:
    """Two pictures of width 64, the small default architecture for both sides."""
    monkeypatch.setattr(contenders, "TRAINED_S", 0.0)
    options = argparse.Namespace(model="compact", device="cpu", threads=2)
    return contenders.Setting(write_images(tmp_path, 2, WIDTH), tmp_path, options)


def work_once(entry: Entry) -> dict:
    result = entry.setup(entry.task)(0.0)
    assert result["pictures_per_s"] > 0, entry.name
    return result


def test_every_contender_loads_trains_and_extracts_the_features_that_the_weights_give(on):
    for entry in contenders.loading(on) + contenders.training(on):
        work_once(entry)
    for entry in contenders.extraction(on, contenders.runs(on)):
        differences = errors(entry.task, work_once(entry))
        assert differences["pooled"] < (3e-2 if "bf16" in entry.name else 1e-4), entry.name
    latents = np.random.default_rng(0).normal(size=(3, 4, 36)).astype(np.float32)
    assert np.allclose(pooled(latents), mean_std(torch.from_numpy(latents)).numpy(), atol=1e-6)


def test_a_row_says_what_was_reached_and_the_goal(on):
    entry = contenders.training(on)[1]
    row = Row("training 64", entry, [20.0, 30.0, 25.0], [2.0, 3.0, 2.6], {"waiting": 0.5}, MEMORY)
    last = table([row]).splitlines()[-1]
    assert all(words in last for words in ("25 (20 to 30)", "2.6 (2 to 3)", ">= 2.5 yes", "waiting 50 %"))
    assert row.facts()["times_the_first"] == [2.0, 3.0, 2.6]


def test_rows_are_placed_and_neighbours_looked_up_beside_all_of_them(capsys):
    rng = np.random.default_rng(0)
    kinds, recordings = np.arange(300) % 3, np.arange(300) // 10
    rows = rng.normal(size=(300, 8)) + 5 * kinds[:, None] * rng.normal(size=8)
    options = argparse.Namespace(fit=150, new="recordings", dims=[2], others=False, umap=False)
    maps.place(rows.astype(np.float32), kinds.astype(str), recordings, options)
    maps.find(rows.astype(np.float32))
    output = capsys.readouterr().out
    scores = [float(one) for one in re.findall(r"recordings right ([0-9.]+)", output)]
    assert len(scores) == 2 and min(scores) > 0.9 and "1,000 queries" in output
    assert min(float(one) for one in re.findall(r"recall ([0-9.]+)", output)) > 0.95


def test_precisions_are_compared_and_auto_is_scored(on):
    rows = [
        Row("training 64", entry, [rate], [rate], {}, MEMORY)
        for entry, rate in zip(precision.entries(on, "default", "encoding"), (1.0, 2.0), strict=True)
    ]
    assert precision.verdict(rows, "bf16").endswith("as it should be")
    assert precision.verdict(rows, "fp32").endswith("NOT the right rule")
    for row in rows:
        work_once(row.entry)


@pytest.mark.slow
def test_contenders_in_processes_of_their_own_take_turns_as_it_is_called(tmp_path, monkeypatch):
    def some(n: int, make: Callable[..., list[Entry]]) -> Callable[..., list[Entry]]:
        return lambda *on: make(*on)[:n]

    for work, n in {"loading": 2, "training": 1, "extraction": 1}.items():  # all work in one process above
        monkeypatch.setattr(contenders, work, some(n, getattr(contenders, work)))
    words = "speed --pictures 2 --widths 64 --pairs 2 --seconds 0 --model compact --device cpu --json"
    file = tmp_path / "speed.json"
    monkeypatch.setattr(sys, "argv", [*words.split(), str(file), "--threads", "2"])
    speed.main()
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [row["work"] for row in rows] == ["loading 64"] * 2 + ["training 64", "extraction 64"]
    first, second = rows[:2]
    assert first["times_the_first"] == [1.0, 1.0] and len(second["pictures_per_s"]) == 2
    assert sys.platform != "linux" or second["anonymous_mb"] > 50


def test_the_plan_is_linear_and_ends_where_the_shared_disk_is_busy():
    row = dict.fromkeys(scale_plan.STEPS, 3.6) | {"pictures": 3_600, "cpu_s": 20.0, "anonymous_mb": 1_000}
    row |= {"step": "all", "out": {"bytes": 36e6}, "c": {"bytes": 72e6}}
    costs = scale_plan.Costs.of(row)
    few, many = (scale_plan.hours(costs, n, 8) for n in (10**6, 10**9))
    assert many["all"] == pytest.approx(1_000 * few["all"])
    assert many["all"] == pytest.approx(sum(many.values()) / 2)
    assert many["encoding"] == pytest.approx(10**9 / 20_000 / 8 / 3600)
    assert many["decoding"] == pytest.approx(10**9 * 30_000 / 2e9 / 3600)  # reading takes longer
    assert (
        "| 1,000,000,000 | 1,000 | 100,000 | 5,000 | 30.00 TB | 20.00 TB | 10.00 TB |"
        in scale_plan.tables([row])
    )


def test_levels_of_noise_that_is_shifted_or_stretched_are_those_that_are_expected():
    noise = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    for case in ({"semitones": 4.0}, {"rate": 0.8}, {"rate": 1.25}):
        made = distortions.ours(noise, noise, 8000, 256, case)
        levels, right = distortions.third_octaves(made, 8000), distortions.expected(noise, 8000, case)
        assert np.abs(10 * np.log10(levels / right))[3:-1].max() < 1.5  # dB, in bands of several windows
        assert float(distortions.difference(levels, right).split(",")[1]) == pytest.approx(-0.6, abs=0.6)
