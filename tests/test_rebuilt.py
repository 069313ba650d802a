"""The section that evaluates what runs rebuild: scores by side of the split, percentiles, several runs."""

import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import has_words, intensities, training_session, write_pictures
from PIL import Image
from small_runs import untrained_run, workplace
from sounds import MEL, RATE, record_classes
from traces import NAMES, write_traces

from saec.config import Config
from saec.data import Cache
from saec.report import EvaluationSession, Report, evaluate, plan_evaluation
from saec.runs import Run
from saec.session import SessionError, load_session
from saec.training import train

SCORES = ["mse", "mae", "cosine", "psnr", "ssim"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Config, Run]:
    """A run of twelve pictures in `songs/images`, and three new ones in `new/images`, one of them unlike."""
    config = workplace(tmp_path_factory.mktemp("rebuilt"))
    write_pictures(config.data / "songs" / "images", intensities(12))
    new = intensities(3, seed=1)
    new[1] = 255 * (np.indices(new[1].shape).sum(0) % 2)
    write_pictures(config.data / "new" / "images", new, "viridis")
    for file in (config.data / "new" / "images").iterdir():
        file.rename(file.with_name(f"new_{file.name}"))
    session = training_session(objective={"name": "reconstruction", "loss": "mae"})
    return config, train(session, config)


def report_of(config: Config, run: Run | str, **options) -> Report:
    name = run if isinstance(run, str | list) else run.timestamp
    return evaluate({"rebuilt": {"run": name, **options}, "inspect": False}, config)


def rebuilt_by(run: Run, config: Config, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    data = run.data.for_all()(config.data / "songs" / "images", Cache.of(config)).open()
    rows = np.flatnonzero(np.isin(data.samples.names, names))
    seen, model = data.front(data.gather(rows, torch.device("cpu"))), run.model()
    with torch.no_grad():
        return seen.numpy(), model.decoder(model.encoder(seen)).numpy()


def test_a_run_is_evaluated_on_both_sides_of_its_own_split(trained):
    config, run = trained
    report = report_of(config, run)
    table = pd.read_csv(report.folder / "rebuilt.csv")
    sides = [
        one.set_index("file")["split"].to_dict() for one in (table, pd.read_csv(run.folder / "split.csv"))
    ]
    assert sides[0] == sides[1]
    for side, rows in table.groupby("split"):
        seen, rebuilt = rebuilt_by(run, config, rows["file"].tolist())
        assert np.allclose(rows["mse"], np.square(rebuilt.clip(0, 1) - seen).mean((1, 2, 3)), rtol=5e-3)
        assert np.allclose(rows["loss"], np.abs(rebuilt - seen).mean((1, 2, 3)), rtol=5e-3), side
        smaller = [(table["mse"][table["split"] == "train"] < mse).mean() * 100 for mse in rows["mse"]]
        assert np.allclose(rows["percentile"], smaller)
        others = [np.delete(seen, i, axis=0).mean(0) for i in range(len(seen))]
        means = pd.read_csv(report.folder / "rebuilt_means.csv").set_index("split").loc[side]
        assert means["mse_of_mean"] == pytest.approx(np.square(np.array(others) - seen).mean(), rel=1e-4)
        assert means["n"] == len(rows) and np.allclose(means[SCORES].astype(float), rows[SCORES].mean())
    kinds = product(("best", "middle", "worst", "latents"), ("train", "valid"))
    figures = {"rebuilt_errors.png", *(f"rebuilt_{which}_{side}.png" for which, side in kinds)}
    assert figures == {file.name for file in report.folder.glob("*.png")}
    same = report_of(config, run, images="songs/images")
    assert pd.read_csv(same.folder / "rebuilt.csv").equals(table)


def test_runs_are_compared_in_one_table_and_one_that_has_learnt_nothing_is_doubted(trained):
    config, run = trained
    other = untrained_run(config, record={"train": {"colormap": "viridis"}, "valid": {"groups": ["rec00"]}})
    report = report_of(config, [run.timestamp, "*_untrained"])
    means = pd.read_csv(report.folder / "rebuilt_means.csv")
    assert means["run"].tolist() == [run.folder.name] * 2 + [other.folder.name] * 2
    assert means["n"].tolist()[2:] == [8, 4]  # of a run without split.csv, by the groups set aside
    assert "Of 2 runs" in report.findings[0] and "no better than their mean" in report.findings[-1]
    assert (report.folder / f"rebuilt_worst_valid_{other.timestamp}.png").exists()


def test_a_picture_unlike_those_of_the_training_is_the_most_unusual(trained):
    config, run = trained
    report = report_of(config, run, images="new/images")
    table = pd.read_csv(report.folder / "rebuilt.csv")
    assert len(table) == 3 and set(table["split"]) == {"images"}
    worst = table.loc[table["mse"].idxmax()]
    assert worst["file"].startswith("new_rec00_segm_0001") and worst["percentile"] == 100
    page = (report.folder / "report.html").read_text()
    assert "The most unusual pictures" in page
    assert pd.read_csv(report.folder / "rebuilt_means.csv")["split"].tolist() == ["train", "images"]
    moved = config.data / "songs" / "elsewhere"
    (config.data / "songs" / "images").rename(moved)
    report = report_of(config, run, images="new/images")
    moved.rename(config.data / "songs" / "images")
    assert pd.read_csv(report.folder / "rebuilt.csv")["percentile"].isna().all()
    assert "no percentiles" in (report.folder / "report.html").read_text()


def test_spectra_of_sounds_are_rebuilt_too_their_structure_scored_as_shades(config):
    record_classes(config.data / "sounds")
    data = {"kind": "audio", "train": "sounds", "valid": 0.25, "sample_rate": RATE}
    data["spectrum"] = MEL | {"hop_length": 64}
    run = train(training_session(data=data, views="plain", model={"name": "convae"}), config)
    report = report_of(config, run)
    table = pd.read_csv(report.folder / "rebuilt.csv")
    assert len(table) == 12 and table[SCORES].notna().all(axis=None) and table["ssim"].between(-1, 1).all()
    new = report_of(config, run, sounds="sounds/high")
    assert pd.read_csv(new.folder / "rebuilt.csv")["split"].tolist() == ["sounds"] * 4


def test_photographs_are_rebuilt_in_colour_and_shown_with_their_latents(config):
    rng, folder = np.random.default_rng(0), config.data / "photos"
    folder.mkdir(parents=True)
    for number, (height, width) in enumerate(product((40, 70), (50, 90, 64))):
        ramp = np.linspace(0, 255, width)[None, :, None] * rng.uniform(0.3, 1, 3)
        Image.fromarray(np.repeat(ramp, height, axis=0).astype(np.uint8)).save(folder / f"{number}.jpg")
    data = {"kind": "photos", "train": "photos", "valid": 2, "size": [128, 64]}
    run = train(training_session(data=data, views="photo"), config)
    report = report_of(config, run, images="photos")
    table = pd.read_csv(report.folder / "rebuilt.csv")
    assert table["split"].value_counts().to_dict() == {"train": 4, "valid": 2}
    assert table[[*SCORES, "percentile"]].notna().all(axis=None)
    assert (report.folder / "rebuilt_latents_valid.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"run": "latest:nothing"}, "rebuilt.run: no finished run of session 'nothing'"),
        ({"images": "nowhere"}, "rebuilt.images: ... nowhere"),
        ({"sounds": "new"}, "rebuilt.sounds: ... takes images"),
        ({"images": "new/images", "sounds": "new"}, "name one of"),
        ({"weights": "best_alpha_2"}, "rebuilt.run: ... has no best_alpha_2.pt"),
        ({"run": []}, "rebuilt.run"),
    ],
)
def test_faults_come_before_any_work(trained, options, words):
    config, run = trained
    with pytest.raises(SessionError) as fault:
        session = load_session({"rebuilt": {"run": run.timestamp} | options}, EvaluationSession)
        plan_evaluation(session, config)
    assert has_words(str(fault.value), words), fault.value


def test_a_run_whose_pictures_are_gone_and_one_of_traces_are_refused(config, pictures):
    run = untrained_run(config, record={"train": {"colormap": "viridis"}})
    shutil.rmtree(pictures)
    write_traces(config.data / "train", 3)
    session = {
        "data": {"kind": "arrays", "train": "train", "names": NAMES},
        "model": {"name": "conv1d_strided", "widths": [8, 8], "latent": 6, "strides": [2, 1]},
        "training": {"epochs": 1, "batch_size": 2, "precision": "fp32"},
    }
    traces = train(session, config)
    job = {"rebuilt": {"run": [run.timestamp, traces.timestamp]}}
    with pytest.raises(SessionError) as fault:
        plan_evaluation(load_session(job, EvaluationSession), config)
    assert has_words(str(fault.value), "songs ... lengths of their own: evaluate the run with `codes`")
