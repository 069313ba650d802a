"""The benchmark of spoken digits on tones: labels are drawn as they should be, every job is done once."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import tone

from benchmarks import digits, spoken
from benchmarks.spoken import RATE, SPEAKERS, few_labels, stitched, write_table

N_EACH = 3


@pytest.fixture
def tones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tone of its own for each digit, a little higher for each speaker."""
    folder = tmp_path / "real" / "fsdd"
    folder.mkdir(parents=True)
    for digit in range(10):
        for number, speaker in enumerate(SPEAKERS):
            for n in range(N_EACH):
                hertz, seed = 300 * (1 + digit) + 10 * number, 100 * digit + 10 * number + n
                sound = tone(hertz, 0.1 + 0.01 * n, seed=seed)
                soundfile.write(folder / f"{digit}_{speaker}_{n}.wav", sound, RATE)
    monkeypatch.setenv("SAEC_REAL_DATA", str(tmp_path / "real"))
    return tmp_path


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_table_has_the_recordings_of_the_speakers_and_no_groups_where_they_are_learnt(tones):
    rows = rows_of(write_table(tones / "some.csv", {"theo": "train", "lucas": "test"}))
    assert len(rows) == 2 * 10 * N_EACH
    assert {(row["group"], row["split"]) for row in rows} == {("", "train"), ("lucas", "test")}
    assert all(Path(row["file"]).name[0] == row["label"] for row in rows)


@pytest.mark.parametrize(("n", "n_digits"), [(5, 5), (20, 10)])
def test_few_labels_are_of_all_digits_and_the_others_of_these_are_scored(tones, n, n_digits):
    learnt, wanted = few_labels("theo", n, seed=0)
    assert len(learnt) == n and not learnt & wanted
    assert len({name[0] for name in learnt}) == len({name[0] for name in wanted}) == n_digits
    assert len(wanted) == n_digits * N_EACH - n
    assert few_labels("theo", n, seed=0) == (learnt, wanted) != few_labels("theo", n, seed=1)


def test_a_stitched_recording_says_what_sounds_when(tones):
    file, truth = stitched(tones / "long", "theo", seed=0, n=5)
    sound, rate = soundfile.read(file)
    for row in rows_of(truth):
        start, end = (round(float(row[key]) * rate) for key in ("start", "end"))
        piece = np.abs(np.fft.rfft(sound[start:end]))
        hertz = piece.argmax() * rate / (end - start)
        assert hertz == pytest.approx(300 * (1 + int(row["label"])) + 40, abs=30)


@pytest.mark.slow
def test_every_job_is_done_once_and_its_table_shown(tones, monkeypatch, capsys):
    small = {"name": "cnn", "widths": [2, 2], "hidden": 8, "latent": 4}
    quick = {"epochs": 1, "batch_size": 16, "precision": "fp32"}
    spectrum = {"name": "mel", "n_fft": 256, "hop_length": 80, "n_mels": 32}
    for recipe in spoken.RECIPES.values():
        tiny = {"model": small, "training": quick, "data": {"spectrum": spectrum, "length_s": 0.1}}
        monkeypatch.setitem(spoken.RECIPES, "ours" if recipe is spoken.OURS else "reference", recipe | tiny)
    monkeypatch.setattr(digits, "TRANSFERRED", quick)
    monkeypatch.setattr(digits, "N_LABELS", (5, 20))
    monkeypatch.setattr(digits, "WITHOUT_LABELS", digits.WITHOUT_LABELS | {"training": quick})
    words = f"digits --workspace {tones / 'work'} --results {tones / 'results.jsonl'} --seeds 0 --threads 2"
    monkeypatch.setattr(sys, "argv", [*words.split(), "--device", "cpu"])
    digits.main()
    rows = digits.written(tones / "results.jsonl")
    assert [row["recipe"] for row in rows if row["job"] == "classify"] == ["reference", "ours"]
    assert len([row for row in rows if row["job"] == "transfer"]) == 2 * 3
    methods = {row["method"] for row in rows if row["job"] == "combine"}
    assert methods == {"classifier", "without labels", "hand-crafted", *digits.COMBINATIONS}
    shown = capsys.readouterr().out
    assert "Unseen speakers" in shown and "A stitched recording, seed 0" in shown
    digits.main()
    assert digits.written(tones / "results.jsonl") == rows
