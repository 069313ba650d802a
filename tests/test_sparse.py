"""Sparse codes: the loss over own frames, the path of alpha, and the best weights of each alpha."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import answer, extraction_session, intensities, training_session, write_pictures
from small_runs import assert_equal_runs, history, killed_run, n_epochs_written, same, workplace
from torch import Tensor, nn
from torch.nn import functional as F
from traces import write_traces

import main_01_train
from saec import extract
from saec.config import ROOT, Config
from saec.data import Batch
from saec.data.batch import own_columns
from saec.faults import Fault
from saec.features import POOLINGS
from saec.lowpass import filtered, lowpass_kernel
from saec.models import MODELS, Model, feature_shape
from saec.models.base import Ragged
from saec.objectives import OBJECTIVES, Objective
from saec.runs import Progress, Run
from saec.session import SessionError, TrainingSession, load_session
from saec.training import go_on, plan_training, train

COLUMNS, CODES, POOL, RATE = 3, 8, 2, 100.0
LENGTHS = [9, 20, 1, 14]


class Halve(nn.Module):
    """Makes codes of pairs of frames, many of them zero."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Conv2d(1, CODES, (COLUMNS, POOL), stride=(1, POOL), bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return F.relu(self.kernel(x))


class Double(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.ConvTranspose2d(CODES, 1, (COLUMNS, POOL), stride=(1, POOL))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x = self.kernel(x)
        return x if lengths is None else x * own_columns(lengths, x.shape[-1])[:, None, None]


def pairs_model() -> Model:
    torch.manual_seed(0)
    return Model(Ragged(Halve()), Ragged(Double()), time_pool=POOL, ragged=True)


def traces(*lengths: int, width: int = 0) -> Batch:
    """A batch of made traces, always the same for the same lengths in the same order."""
    rng = torch.Generator().manual_seed(1)
    width = width or -(-max(LENGTHS) // POOL) * POOL
    samples = {n: torch.randn(1, COLUMNS, n, generator=rng) for n in LENGTHS}
    seen = torch.stack([F.pad(samples[n], (0, width - n)) for n in lengths])
    labels = torch.tensor([n % 2 for n in lengths])
    return Batch(seen, seen, ["x"] * len(lengths), labels, torch.tensor(lengths), frames_hz=RATE)


def objective(name: str = "sparse_reconstruction", model: Model | None = None, **options: Any) -> Objective:
    torch.manual_seed(0)
    parsed = OBJECTIVES.parse({"name": name} | options)
    shape = (CODES, 1, 10) if model is None else feature_shape(model, (1, COLUMNS, 128))
    return parsed(shape, ("a", "b")).eval()


def scores_of(learnt: Objective, model: Model, batch: Batch) -> dict[str, float]:
    with torch.no_grad():
        return {name: float(score) for name, score in learnt(model, batch).items()}


# The loss


def slow_scores(model: Model, batch: Batch, power: int) -> dict[str, float]:
    """Frame by frame: each frame has the codes of its step."""
    errors, sizes, zeros, moves = [], [], [], []
    for seen, n in zip(batch.seen, batch.lengths.tolist(), strict=True):
        with torch.no_grad():
            codes = model.encode(seen[None], torch.tensor([n]))
            rebuilt = model.decode(codes, torch.tensor([n]))[0, 0].numpy()
        codes = codes[0, :, 0].numpy()
        for frame in range(n):
            step = frame // POOL
            before = codes[:, step - 1] if step else codes[:, step]
            errors.append(np.mean(np.abs(rebuilt[:, frame] - seen[0, :, frame].numpy()) ** power))
            sizes.append(np.mean(np.abs(codes[:, step])))
            zeros.append(np.mean(codes[:, step] == 0))
            moves.append(np.mean((codes[:, step] - before) ** 2))
    kernels = [weight.detach().numpy() for weight in model.parameters() if weight.ndim == 4]
    penalty = (np.sqrt(sum((kernel**2).sum() for kernel in kernels)) - 1) ** 2
    means = [float(np.mean(each)) for each in (errors, sizes, zeros, moves)]
    return dict(zip(("error", "l1", "sparsity", "total_variation"), means, strict=True)) | {
        "weight_penalty": float(penalty)
    }


@pytest.mark.parametrize(
    "options",
    [{}, {"alpha": 0.9, "loss": "mae"}, {"alpha": 0.5, "total_variation": 0.3, "weight_penalty": 0.2}],
)
def test_the_loss_is_that_of_numpy_over_own_frames(options):
    model, batch = pairs_model(), traces(*LENGTHS)
    learnt = objective(**options)
    scores, name = scores_of(learnt, model, batch), options.get("loss", "mse")
    slow = slow_scores(model, batch, {"mse": 2, "mae": 1}[name])
    alpha = options.get("alpha", 0.25)
    extra = {key: options[key] for key in ("total_variation", "weight_penalty") if key in options}
    loss = (1 - alpha) * slow["error"] + alpha * slow["l1"]
    assert scores["loss"] == pytest.approx(loss + sum(w * slow[key] for key, w in extra.items()), rel=1e-5)
    assert scores[name] == pytest.approx(slow["error"], rel=1e-5)
    assert set(scores) == {"loss", name, "l1", "sparsity", *extra}
    for key in ("l1", "sparsity", *extra):
        assert scores[key] == pytest.approx(slow[key], rel=1e-5), key
    assert 0 < scores["sparsity"] < 1
    assert learnt.summary() == {"alpha": alpha}
    assert "sparsity" not in learnt.train()(model, batch)


def test_total_variation_by_hand():
    codes = torch.tensor([0.0, 1.0, 3.0, 3.0])
    model = Model(Given(codes), Given(torch.zeros(4)))
    batch = Batch(torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4), ["x"])
    scores = scores_of(objective(alpha=0, total_variation=2), model, batch)
    assert scores["total_variation"] == (1 + 4) / 4 and scores["loss"] == 2 * 5 / 4


class Given(nn.Module):
    """Gives those numbers, whatever comes in."""

    def __init__(self, values: Tensor):
        super().__init__()
        self.values = nn.Parameter(values.reshape(1, 1, 1, -1))

    def forward(self, x: Tensor) -> Tensor:
        return self.values


def test_the_weight_penalty_draws_the_norm_of_all_kernels_to_1():
    model, batch = pairs_model(), traces(*LENGTHS)
    objective(alpha=0, weight_penalty=1e6).train()(model, batch)["loss"].backward()
    kernels = [weight for weight in model.parameters() if weight.ndim > 2]
    norm = torch.cat([kernel.detach().flatten() for kernel in kernels]).norm()
    assert len(kernels) == 2
    for kernel in kernels:
        expected = 2e6 * (norm - 1) * kernel.detach() / norm
        assert kernel.grad.abs().min() > 0 and torch.allclose(kernel.grad, expected, rtol=1e-3)


def test_codes_are_filtered_for_the_decoder_alone():
    t = torch.arange(200) / (RATE / POOL)
    slow, fast = torch.sin(2 * np.pi * 1.5 * t), torch.sin(2 * np.pi * 20 * t)
    model = Model(Given(slow + fast), Same(), time_pool=POOL)
    batch = Batch(torch.zeros(1, 1, 1, 200), slow[None, None, None], ["x"], frames_hz=RATE)
    scores = scores_of(objective(cutoff_hz=6), model, batch)
    assert scores["mse"] < 0.01
    assert scores["l1"] == pytest.approx(float((slow + fast).abs().mean()), rel=1e-6)
    assert scores_of(objective(), model, batch)["mse"] == pytest.approx(0.5, rel=0.02)
    expected = filtered(slow + fast, lowpass_kernel(6, RATE / POOL))
    assert scores["mse"] == pytest.approx(float((expected - slow).square().mean()), rel=1e-4)


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x


# Padding


AS_MEANS = [
    ("reconstruction", {"loss": "mse"}),
    ("reconstruction", {"loss": "mae"}),
    ("sparse_reconstruction", {}),
    (
        "sparse_reconstruction",
        {"loss": "mae", "total_variation": 1, "weight_penalty": 1, "cutoff_hz": 10, "alpha": 0.6},
    ),
]
POOLED = [{"pooling": name} for name in POOLINGS.names() if name != "flatten"]
CLASSIFIED = [("classification", pooled) for pooled in POOLED]
OTHERS = [("contrastive", pooled) for pooled in POOLED]


def built(name: str, **options: Any) -> Model:
    torch.manual_seed(0)
    model = MODELS.parse({"name": name} | options)((1, COLUMNS, 128))
    model.train().encode(traces(*LENGTHS).seen, torch.tensor(LENGTHS))  # for its running statistics
    return model


TAKE_TRACES = {
    "pairs": pairs_model,
    "conv1d": lambda: built("conv1d", encoder_blocks=2, decoder_blocks=2, inner=768),
    "conv1d_strided": lambda: built("conv1d_strided", widths=(8, 8), latent=8),
    "movements": lambda: built("movements", widths=(8,), latent=8, movement_frames=7),
}


@pytest.mark.parametrize("of", TAKE_TRACES)
@pytest.mark.parametrize(("name", "options"), AS_MEANS + CLASSIFIED)
def test_a_padded_batch_scores_as_the_mean_of_what_each_file_alone_scores(name, options, of):
    model = TAKE_TRACES[of]().eval()
    learnt = objective(name, model, **options)
    together = scores_of(learnt, model, traces(*LENGTHS))
    alone = [scores_of(learnt, model, traces(n, width=-(-n // 4) * 4)) for n in LENGTHS]
    weights = [float(learnt.weight(traces(n))) for n in LENGTHS]
    assert sum(weights) == float(learnt.weight(traces(*LENGTHS)))
    for key, score in together.items():
        expected = np.average([scores[key] for scores in alone], weights=weights)
        assert score == pytest.approx(expected, rel=1e-6, abs=1e-6), key


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("of", TAKE_TRACES)
@pytest.mark.parametrize(("name", "options"), AS_MEANS + CLASSIFIED + OTHERS)
def test_more_padding_changes_nothing(name, options, of, training):
    model = TAKE_TRACES[of]().train(training)
    learnt = objective(name, model, **options).train(training)
    batches = [traces(*LENGTHS, width=width) for width in (20, 60)]
    scores, more = (scores_of(learnt, model, batch) for batch in batches)
    assert scores == pytest.approx(more, rel=1e-6, abs=1e-6)


def test_all_that_takes_traces_is_tried_here():
    assert {name for name, _ in AS_MEANS + CLASSIFIED + OTHERS} == set(OBJECTIVES.names())
    with torch.device("meta"):
        built = {name: MODELS.parse(name)((1, 128, 128)) for name in MODELS.names()}
    assert {name for name, model in built.items() if model.ragged} == set(TAKE_TRACES) - {"pairs"}


# The path of alpha


def alphas(n_epochs: int, stalls: Callable[[int], bool] = lambda epoch: False, **options: Any) -> list:
    """The alpha of each epoch; the objective may end it before."""
    learnt, path = objective(**options), []
    for epoch in range(n_epochs):
        path.append(learnt.summary()["alpha"])
        if not learnt.end_epoch(stalls(epoch)):
            break
    return path


def test_alpha_steps_as_the_specification_says():
    path = alphas(15, schedule="step", alpha_max=1)
    assert path == pytest.approx([0.25 + k / 14 for k in range(11)] + [1.0] * 4)
    assert path[10] < 1 == path[11]  # 1 is reached at step 11
    assert alphas(4, schedule="step", alpha_epochs=2) == [0.25, 0.9, 0.9, 0.9]
    assert alphas(5, schedule="constant", alpha_epochs=2) == [0.25] * 5
    last = alphas(99, lambda epoch: epoch == 20, schedule="step")
    assert len(last) == 21 and last[-1] == 0.9  # patience ends it, once alpha is no longer raised


def test_alpha_steps_after_patience_has_ended_and_then_the_training_ends():
    path = alphas(99, lambda epoch: epoch >= 6, schedule="step_after_stop", alpha_epochs=5, alpha_max=0.8)
    assert path == pytest.approx([0.25] * 7 + [0.5, 0.75, 0.8, 0.8, 0.8])


def test_the_trivial_score_is_of_zero_codes_and_the_mean_at_the_alpha_of_each_epoch():
    batches = [traces(9, 20), traces(14)]
    frames = np.concatenate([b.target[0, 0, :, : b.lengths[0]].T for b in [traces(n) for n in (9, 20, 14)]])
    error = np.mean((frames - frames.mean(axis=0)) ** 2)
    for schedule in ("constant", "step_after_stop", "step"):
        learnt = objective(schedule=schedule, alpha=0.4)
        score = learnt.trivial(lambda: batches)
        assert score == pytest.approx(0.6 * error, rel=1e-5)
        for alpha in (0.4, 0.9):
            assert learnt.trivial_of(score, {"valid_alpha": alpha}) == pytest.approx((1 - alpha) * error)


@pytest.mark.parametrize("schedule", ["constant", "step", "step_after_stop"])
def test_the_phase_counts_and_names_the_alphas(schedule):
    learnt = objective(schedule=schedule, alpha_epochs=4, alpha_max=0.8)
    phases = [(learnt.phase, learnt.phase_name, learnt.keeps_best)]
    for _ in range(3):
        learnt.end_epoch(schedule == "step_after_stop")
        phases.append((learnt.phase, learnt.phase_name, learnt.keeps_best))
    kept = schedule == "step"
    raised = [(1, "alpha_0.5833", kept), (2, "alpha_0.8", kept), (2, "alpha_0.8", kept)]
    first = (0, "alpha_0.25", True)
    assert phases == [first, *([first] * 3 if schedule == "constant" else raised)]
    component = OBJECTIVES.parse(
        {"name": "sparse_reconstruction", "schedule": schedule, "alpha_epochs": 4, "alpha_max": 0.8}
    )
    assert component.target.n_phases(component) == len(set(phases))


def test_the_best_of_a_phase_that_does_not_keep_the_best_is_the_lowest_of_that_phase():
    progress = Progress()
    epochs = [(3, 0), (2, 0), (4, 0), (9, 1), (8, 2), (8.5, 2), (7, 2)]
    improved = [progress.update(loss, loss, phase=phase, keeps_best=not phase) for loss, phase in epochs]
    assert improved == [True, True, False, True, True, False, True]
    assert (progress.best, progress.best_epoch, progress.waited, progress.epoch) == (2, 2, 0, 7)


def test_what_does_not_go_together_is_said_before_data_are_read(config, pictures):
    def faults(patience: int | None = None, **options: Any) -> list[str]:
        chosen = {"name": "sparse_reconstruction"} | options
        session = training_session(objective=chosen, training={"epochs": 1, "patience": patience})
        try:
            plan_training(load_session(session, TrainingSession), config)
        except SessionError as error:
            return error.faults
        return []

    assert faults() == faults(5, schedule="step_after_stop") == []
    (unset,) = faults(schedule="step_after_stop")
    assert unset.startswith("objective.schedule: ") and "`training.patience`" in unset
    (high,) = faults(schedule="step", alpha=0.95)
    assert high.startswith("objective.alpha: 0.95 cannot be raised to `alpha_max`, 0.9")
    (no_rate,) = faults(cutoff_hz=3)
    assert no_rate.startswith("objective.cutoff_hz: nothing says how many frames a second")
    component = OBJECTIVES.parse({"name": "sparse_reconstruction", "cutoff_hz": 30})
    (too_high,) = component.target.faults(component, 50.0, None)
    assert too_high.startswith("objective.cutoff_hz: ") and "25 Hz" in too_high
    assert component.target.faults(component, 60.0, None) == []
    with pytest.raises(SessionError, match="objective.alpha_epochs: input should be greater than or equal"):
        load_session(
            training_session(objective={"name": "sparse_reconstruction", "alpha_epochs": 1}), TrainingSession
        )


# Runs


STEPPING = {"name": "sparse_reconstruction", "schedule": "step", "alpha_epochs": 5, "alpha_max": 0.8}
RISING = ["0.25", "0.5", "0.75", "0.8"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Config:
    workspace = workplace(tmp_path_factory.mktemp("sparse"))
    write_pictures(workspace.data / "songs" / "images", intensities(6), per_recording=2)
    return workspace


def session(name: str, n_epochs: int, patience: int | None = None, **changes: Any) -> TrainingSession:
    options = {"epochs": n_epochs, "batch_size": 2, "precision": "fp32", "patience": patience}
    raw = training_session(training=options, **({"objective": STEPPING} | changes))
    return load_session(raw, TrainingSession).named(name)


@pytest.fixture(scope="module")
def stepped(workspace) -> Run:
    return train(session("stepped", 6), workspace)


def kept(run: Run) -> dict[str, dict]:
    return {file.stem.removeprefix("best_alpha_"): run.load(file.stem) for file in run.folder.glob("best_*")}


def test_the_best_weights_of_each_alpha_are_kept(stepped):
    rows, states = history(stepped), kept(stepped)
    assert [row["valid_alpha"] for row in rows] == [*RISING, "0.8", "0.8"]
    assert {"valid_mse", "valid_l1", "valid_sparsity"} <= set(rows[0])
    assert sorted(states) == RISING
    losses = [float(row["valid_loss"]) for row in rows]
    best = 4 + int(np.argmin(losses[3:]))
    assert [state["progress"]["epoch"] for _, state in sorted(states.items())] == [1, 2, 3, best]
    for alpha, state in states.items():
        assert float(state["objective"]["alpha"]) == pytest.approx(float(alpha))
        assert "learner" not in state
    assert stepped.progress.best_epoch == best
    assert same(stepped.load("best"), states["0.8"])
    assert (stepped.folder / "best.pt").samefile(stepped.folder / "best_alpha_0.8.pt")
    assert stepped.which("best_alpha_0.5") == "best_alpha_0.5, epoch 2"
    assert not same(stepped.model("best_alpha_0.25").state_dict(), stepped.model("best").state_dict())


def test_weights_that_a_run_does_not_have_are_a_fault_that_lists_those_it_has(stepped, workspace):
    with pytest.raises(
        Fault, match="has no best_alpha_0.3.pt: it has the weights best, best_alpha_0.25, .*last"
    ):
        stepped.load("best_alpha_0.3")
    start = {"weights_of": stepped.timestamp, "weights": "best_alpha_0.3"}
    with pytest.raises(SessionError, match="start.weights: .*it has the weights best, best_alpha_0.25"):
        plan_training(session("child", 1, start=start), workspace)
    start["weights"] = "best_alpha_0.5"
    child = train(
        session("child", 1, start=start, optimizer={"name": "adam", "learning_rate": 1e-9}), workspace
    )
    theirs, own = (run.load(name)["model"] for run, name in ((stepped, "best_alpha_0.5"), (child, "last")))
    weights = [key for key in own if key.endswith("weight")]
    assert all(torch.allclose(own[key], theirs[key], atol=1e-6) for key in weights)
    assert history(child)[0]["valid_alpha"] == "0.25"  # of its own session, not its parent's


def test_features_are_those_of_the_alpha_that_is_chosen(stepped, workspace):
    raw = extraction_session(stepped.timestamp, weights="best_alpha_0.5", variant="half", reconstructions=0)
    features = extract(raw, workspace)
    assert '"weights": "best_alpha_0.5, epoch 2"' in features.paths[-1].read_text()
    raw |= {"weights": "best_alpha_0.3", "variant": "other"}
    with pytest.raises(SessionError, match="run: .*has no best_alpha_0.3.pt: it has the weights best, "):
        extract(raw, workspace)


@pytest.mark.parametrize("n", [2, 4])
def test_a_training_gone_on_with_while_alpha_steps_equals_an_unbroken_one(stepped, workspace, n):
    part = train(session(f"part_{n}", n), workspace)
    assert len(history(part)) == n
    run = go_on(part, workspace, epochs=6)
    assert_equal_runs(run, stepped)
    assert same(*({k: v["model"] for k, v in kept(one).items()} for one in (run, stepped)))


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 3, 4])
def test_a_training_killed_while_alpha_steps_is_finished_as_if_unbroken(stepped, workspace, n):
    raw = session("raw", 6).model_dump(mode="json")
    moment = lambda folder: n_epochs_written(folder) == n and any(folder.glob(".writing_*_last.pt"))  # noqa: E731
    run = go_on(killed_run(workspace, f"killed_{n}", raw, moment), workspace)
    assert_equal_runs(run, stepped)
    assert sorted(kept(run)) == RISING


def test_with_a_constant_alpha_patience_ends_the_training(workspace):
    wild = {"optimizer": {"name": "adam", "learning_rate": 0.5}}
    run = train(session("constant", 30, 1, objective="sparse_reconstruction", **wild), workspace)
    assert run.progress.epoch < 30 and {row["valid_alpha"] for row in history(run)} == {"0.25"}
    assert sorted(kept(run)) == ["0.25"] and same(run.load("best"), kept(run)["0.25"])


def test_after_patience_has_ended_alpha_steps_and_best_stays_that_before(workspace, log):
    wild = {"optimizer": {"name": "adam", "learning_rate": 0.5}}
    after = STEPPING | {"schedule": "step_after_stop"}
    run = train(session("after", 40, 2, objective=after, **wild), workspace)
    path = [row["valid_alpha"] for row in history(run)]
    n_before = path.count("0.25")
    assert path[n_before:] == [*RISING[1:], "0.8", "0.8"] and run.progress.finished
    losses = [float(row["valid_loss"]) for row in history(run)]
    assert run.progress.best_epoch == 1 + int(np.argmin(losses[:n_before]))
    states = kept(run)
    assert sorted(states) == RISING and same(run.load("best"), states["0.25"])
    assert states["0.8"]["progress"]["epoch"] == n_before + 3 + int(np.argmin(losses[n_before + 2 :]))
    lines = (run.folder / "log.txt").read_text().splitlines()
    assert sum("(best, best_alpha_0.25)" in line for line in lines) == len(
        set(np.minimum.accumulate(losses[:n_before]))
    )
    assert sum("(best_alpha_0.5)" in line for line in lines) == 1
    part = train(session("after_part", n_before + 2, 2, objective=after, **wild), workspace)
    ended = "the training ended in phase 3 of the 4 of sparse_reconstruction"
    assert ended in (part.folder / "log.txt").read_text() and "ended in" not in "".join(lines)
    assert_equal_runs(go_on(part, workspace, epochs=40), run)
    log.clear()
    plan_training(session("short", 3), workspace)
    assert "training.epochs: 3 are too few for the 4 phases" in log.text


# The sessions that ship

FEW = ["training.batch_size=2", "training.precision=fp32"]
SHIPPED = {  # changes, most epochs, and alpha once it is raised
    "traces": ([], 3, []),
    "traces_update": (["objective.alpha_epochs=3"], 4, ["0.75", "0.9", "0.9"]),
    "traces_early_stop": (
        ["objective.alpha_epochs=3", "training.patience=1", "optimizer.learning_rate=0.5"],
        30,
        ["0.75", "0.9", "0.9"],
    ),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_session_trains_on_traces_and_goes_on_as_if_unbroken(name, config):
    for part, n in (("train", 5), ("valid", 3)):
        write_traces(config.data / "traces" / part / f"of_{part}", n)
    changes, n_epochs, raised = SHIPPED[name]
    file = ROOT / "session_params" / "training" / f"{name}.yaml"

    def trained(what: Any, n_epochs: int, *more: str) -> Run:
        words = [word for one in (f"training.epochs={n_epochs}", *more) for word in ("--set", one)]
        code, out, err = answer(main_01_train, what, config, *words)
        assert code == 0, err
        return Run(Path(out.splitlines()[-1]))

    whole = trained(file, n_epochs, *FEW, *changes)
    path = [row["valid_alpha"] for row in history(whole)]
    assert path[path.count("0.25") :] == raised and len(path) <= n_epochs
    assert sorted(kept(whole)) == sorted({*path})
    part = trained(file, len(path) - 1, *FEW, *changes)
    assert_equal_runs(trained(part.folder, n_epochs), whole)
