"""Classifiers: the convolutional models to the letter, the objective, splits, transfer, resuming."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY, n_weights
from numpy.testing import assert_allclose
from sklearn.dummy import DummyClassifier
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight
from small_runs import assert_equal_runs, same, workplace
from sounds import CNN, LINEAR, features_session, heard_session, record, record_classes, tone
from torch import Tensor, nn
from torch.nn import functional as F

from saec.config import Config
from saec.data import VIEWS, Batch, Dataset, Loader
from saec.data.fronts import PictureFront
from saec.data.stored import Mapped
from saec.export import export_encoder
from saec.extraction import extract
from saec.faults import Fault
from saec.features import POOLINGS, Features
from saec.models import MODELS, Model
from saec.models.base import Tap, find_tap, run_to_tap
from saec.objectives import OBJECTIVES, Objective
from saec.objectives.classification import macro_f1_of
from saec.optimizers import OPTIMIZERS, Learner
from saec.runs import Progress, Run
from saec.samples import Samples
from saec.session import TrainingSession, load_session
from saec.training import go_on, train
from saec.training.build import Training, build
from saec.training.loop import one_epoch
from saec.training.plan import check_training

CPU = torch.device("cpu")
T = 21  # frames of the reference's tables
DROPPED = {0: 3, 1: 256, 2: 1024, 3: 2048, 4: 4096, 5: 10_240, 6: 20_480, 7: 128 * T}
CONVAE = {"name": "convae", "widths": [2, 2], "latent": 2}
ONE_EPOCH = {"epochs": 1, "batch_size": 4, "precision": "fp32"}


def objective(channels: int, classes: str, **options: Any) -> Objective:
    made = OBJECTIVES.parse({"name": "classification"} | options)
    return made((channels, 1, 1), tuple(classes))


def build_training(session: dict[str, Any], workspace: Config) -> Training:
    return build(check_training(load_session(session, TrainingSession), workspace))


def history(run: Run) -> list[dict[str, float]]:
    with (run.folder / "history.csv").open(encoding="utf-8", newline="") as rows:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(rows)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Config:
    """A workplace that the tests of this file share: three classes, and two others."""
    workspace = workplace(tmp_path_factory.mktemp("classes"))
    record_classes(workspace.data / "sounds")
    record_classes(workspace.data / "others", n=4, deep=200, shrill=3500)
    return workspace


# The models


def conv(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 5, padding=2), nn.BatchNorm2d(n_out), nn.LeakyReLU()]


class ReferenceCnn(nn.Sequential):
    """As the reference lists its layers, without the activation after the last one."""

    def __init__(self, n_frames: int, n_classes: int):
        widths = [1, 32, 64, 128, 256]
        blocks = [layer for k in range(4) for layer in (*conv(*widths[k : k + 2]), nn.MaxPool2d(2))]
        linear = [
            *(nn.Flatten(), nn.Dropout(0.75), nn.Linear(256 * 8 * (n_frames // 16), 1024), nn.LeakyReLU()),
            *(nn.Dropout(0.5), nn.Linear(1024, 256), nn.LeakyReLU(), nn.Linear(256, n_classes)),
        ]
        super().__init__(*blocks, *linear)


class ReferenceConvAE(nn.Module):
    """Four times down, with the indices of the maxima, and up again by them."""

    def __init__(self, n: int = 10):
        super().__init__()
        down = [*conv(1, 64), *conv(64, 128), *conv(128, 256), nn.Conv2d(256, n, 5, padding=2)]
        up = []
        for step in ((n, 256), (256, 128), (128, 64), (64, 1)):
            up += [nn.ConvTranspose2d(*step, 5, padding=2), nn.BatchNorm2d(step[1]), nn.LeakyReLU()]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up[:-2])

    def encode(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, torch.Size]]]:
        kept = []
        for start in (0, 3, 6, 9):
            for layer in self.down[start : start + 3]:
                x = layer(x)
            before = x.shape
            x, indices = F.max_pool2d(x, 2, return_indices=True)
            kept.append((indices, before))
        return x, kept

    def decode(self, x: Tensor, kept: list[tuple[Tensor, torch.Size]]) -> Tensor:
        for start, (indices, size) in zip((0, 3, 6, 9), reversed(kept), strict=True):
            x = F.max_unpool2d(x, indices, 2, output_size=size[2:])
            for layer in self.up[start : start + 3]:
                x = layer(x)
        return x


def carry_over(source: nn.Module, target: nn.Module, *more: nn.Module) -> None:
    """Weights and statistics in their order, which must be of the same shapes."""
    ours = [tensor for part in (target, *more) for tensor in part.state_dict().values()]
    for theirs, tensor in zip(source.state_dict().values(), ours, strict=True):
        assert tensor.shape == theirs.shape
        tensor.copy_(theirs)


def shaken(module: nn.Module) -> nn.Module:
    """Its statistics as if it had been trained."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return module


@pytest.mark.parametrize(("n_frames", "n_classes"), [(T, 3), (16, 2), (51, 10)])
@torch.no_grad()
def test_cnn_and_its_head_are_the_references_layers(n_frames, n_classes):
    torch.manual_seed(0)
    theirs = shaken(ReferenceCnn(n_frames, n_classes)).eval()
    model = MODELS.parse("cnn")((1, 128, n_frames)).eval()
    head = objective(256, "abcdefghij"[:n_classes]).eval()
    carry_over(theirs, model, head.head)
    x = torch.rand(3, 1, 128, n_frames)
    assert_allclose(head.logits(model.encoder(x)), theirs(x), atol=1e-5)
    assert list(model.blocks) == ["conv1", "conv2", "conv3", "conv4", "lin1", "lin2"]
    dropouts = [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert dropouts == [0.75, 0.5]
    if n_frames == T:
        assert n_weights(model, head) == n_weights(theirs) == 3_438_787


@pytest.mark.parametrize("n_frames", [16, T, 32, 51])
@torch.no_grad()
def test_convae_is_the_references_and_rebuilds_as_it_does(n_frames):
    torch.manual_seed(0)
    theirs = shaken(ReferenceConvAE()).eval()
    model = MODELS.parse("convae")((1, 128, n_frames)).eval()
    carry_over(theirs, model)
    assert n_weights(model) == n_weights(theirs) == 2_181_899
    x = torch.rand(2, 1, 128, n_frames)
    latents, kept = theirs.encode(x)
    assert_allclose(model.encoder(x), latents, atol=1e-5)
    assert model.encoder(x)[0].numel() == 10 * (n_frames // 16) * 8
    assert_allclose(model.decoder(model.encoder(x)), theirs.decode(latents, kept), atol=1e-4)


@torch.no_grad()
def test_convae_without_indices_decodes_latents_of_any_batch():
    even = MODELS.parse(CONVAE | {"unpooling": "nearest"})((1, 16, 12)).eval()
    latents = even.encoder(torch.rand(3, 1, 16, 12))
    even.encoder(torch.rand(2, 1, 16, 12))
    assert even.decoder(latents).shape == (3, 1, 16, 12)
    unpooled = MODELS.parse(CONVAE)((1, 16, 12)).eval()
    latents = unpooled.encoder(torch.rand(3, 1, 16, 12))
    unpooled.encoder(torch.rand(2, 1, 16, 12))
    words = "was given latents of another batch: choose `model.unpooling: nearest`"
    with pytest.raises(ValueError, match=words):
        unpooled.decoder(latents)


@pytest.mark.parametrize("name", ["cnn", "convae"])
def test_a_spectrum_of_fewer_than_sixteen_rows_or_frames_is_refused(name):
    MODELS.parse(name)((1, 16, 16))
    for shape in ((1, 128, 15), (1, 15, 128)):
        with pytest.raises(ValueError, match="at least 16 rows and 16 frames, got .* choose a smaller"):
            MODELS.parse(name)(shape)


@pytest.mark.parametrize("model", [CNN, CONVAE], ids=["cnn", "convae"])
@torch.no_grad()
def test_an_encoder_of_one_width_is_exported_at_it_for_any_batch(model, tmp_path):
    model = MODELS.parse(model)((1, 16, 13)).eval()
    export_encoder(model, (1, 16, 13), tmp_path / "encoder.pt2")
    exported = torch.export.load(tmp_path / "encoder.pt2").module()
    for n in (1, 3):
        x = torch.rand(n, 1, 16, 13)
        assert_allclose(exported(x), model.encoder(x), atol=1e-6)


@torch.no_grad()
def test_a_tap_gives_what_the_first_blocks_make_and_the_latents():
    torch.manual_seed(0)
    model = MODELS.parse(CNN)((1, 16, 12)).eval()
    x = torch.rand(2, 1, 16, 12)
    blocks = list(model.encoder)
    for n in range(len(blocks) + 1):
        tapped, latents = run_to_tap(model.encoder, x, Tap("block", n))
        expected = nn.Sequential(*blocks[:n])(x)
        assert tapped.ndim == 4 and torch.equal(tapped.flatten(1), expected.flatten(1))
        assert torch.equal(latents, model.encoder(x))


def test_blocks_are_counted_over_the_encoder_and_the_head():
    model = MODELS.parse(CNN)((1, 16, 12))  # conv1, conv2, lin1, lin2
    blocks = [Tap("block", n) for n in (4, 3, 2, 1, 0)]
    assert [find_tap(model, None, n, True) for n in range(6)] == [Tap("head"), *blocks]
    assert [find_tap(model, None, n, False) for n in range(5)] == blocks
    assert find_tap(model, "conv2", None, True) == Tap("block", 2)
    assert find_tap(model, None, None, True) == Tap("latents")
    with pytest.raises(Fault, match="has 5 blocks, 6 cannot be dropped"):
        find_tap(model, None, 6, True)
    with pytest.raises(Fault, match="no block 'conv3': did you mean 'conv"):
        find_tap(model, "conv3", None, True)


@pytest.fixture(scope="module")
def full_sized(workspace) -> Run:
    """The reference's classifier at 128 mels and 21 frames of 50 ms, after an epoch on a second of each."""
    for number in range(6):
        name = f"{'abc'[number % 3]}/{number}.wav"
        record(workspace.data / "seconds" / name, tone(300 + 500 * (number % 3), 1.0, seed=number))
    mel = {"name": "mel", "n_fft": 400, "hop_length": 400, "n_mels": 128}
    data = {"train": "seconds", "valid": 0.5, "spectrum": mel}
    session = heard_session(data=data, model="cnn", training=ONE_EPOCH)
    return train(load_session(session, TrainingSession).named("full"), workspace)


def dropped(run: Run, workspace: Config, n: int) -> Features:
    session = features_session(run.timestamp, layers_dropped=n, variant=f"l{n}", pooling="flatten")
    return extract(session | {"data": {"sounds": "seconds"}}, workspace)


def test_dropped_layers_leave_what_the_references_table_says_beside_probabilities(full_sized, workspace):
    features = {n: dropped(full_sized, workspace, n) for n in DROPPED}
    assert {n: one.X[0].size for n, one in features.items()} == DROPPED
    model, answers = full_sized.model(), full_sized.objective()
    _, valid = (loader.data for loader in loaders(full_sized, workspace))
    rows = [features[0].N.tolist().index(name) for name in valid.samples.names]
    x = valid.front(valid.gather(np.arange(len(valid)), CPU))
    with torch.no_grad():
        flattened = nn.Sequential(*list(model.encoder)[:4])(x).flatten(1)
        logits = answers.logits(model.encoder(x))
    assert_allclose(features[7].X[rows].reshape(len(rows), -1), x.flatten(1), atol=1e-6)
    assert_allclose(features[3].X[rows].reshape(len(rows), -1), flattened, atol=1e-4)
    assert_allclose(features[0].X[rows][:, :, 0], logits, atol=1e-4)
    probabilities = Features.load(features[3].roles["probabilities"])
    expected = torch.from_numpy(np.array(features[0].X[:, :, 0])).softmax(1)
    assert_allclose(probabilities.X, expected, atol=1e-6)
    table = pd.read_csv(features[3].roles["predictions"], dtype={"file": str})
    assert table["file"].tolist() == probabilities.N.tolist()
    assert table["predicted"].tolist() == ["abc"[index] for index in probabilities.X.argmax(1)]
    assert table["label"].tolist() == [name[0] for name in probabilities.N]
    assert_allclose(table[["p a", "p b", "p c"]], probabilities.X, atol=1e-6)


def loaders(run: Run, workspace: Config) -> tuple[Loader, Loader]:
    built = build_training(run.session.model_dump(mode="json"), workspace)
    return built.train, built.valid


# The objective


def batch_of(codes: Tensor, label: list[int]) -> Batch:
    return Batch(codes, codes, [""] * len(label), torch.tensor(label))


def as_it_is() -> Model:
    return Model(nn.Sequential(nn.Identity()))


def slow_loss(logits: Tensor, label: list[int], weights: np.ndarray, smoothing: float = 0.0) -> float:
    """Mean over samples of the weight of the class times the cross-entropy with the smoothed truth."""
    losses = []
    for row, true in zip(logits.detach().double().numpy(), label, strict=True):
        log_chances = row - np.log(np.exp(row).sum())
        truth = np.full(len(row), smoothing / len(row))
        truth[true] += 1 - smoothing
        losses.append(-weights[true] * (truth * log_chances).sum())
    return float(np.mean(losses))


@pytest.mark.parametrize("balance", ["none", "weights", "oversample"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_a_weighed_mean_of_cross_entropies(balance, smoothing):
    torch.manual_seed(0)
    names, labels = "abc", np.array(list("aaaaaabbc"))
    learnt = objective(4, names, balance=balance, label_smoothing=smoothing)
    learnt.count_classes(labels)
    weights = np.ones(3)
    if balance == "weights":
        weights = compute_class_weight("balanced", classes=np.array(list(names)), y=labels)
    codes, label = torch.randn(5, 4, 1, 1), [0, 2, 1, 0, 2]
    scores = learnt(as_it_is(), batch_of(codes, label))
    logits = learnt.logits(codes)
    expected = slow_loss(logits, label, weights, smoothing)
    assert float(scores["loss"].detach()) == pytest.approx(expected, abs=1e-6)
    assert float(scores["accuracy"]) == np.mean(logits.argmax(1).numpy() == label)
    assert learnt.evenly == (balance == "oversample")
    assert balance != "weights" or float(learnt.weights[[0] * 6 + [1] * 2 + [2]].mean()) == pytest.approx(1)


def test_mixup_mixes_samples_and_losses_in_pairs_and_validation_does_not():
    torch.manual_seed(0)
    learnt = objective(4, "abc", mixup=0.4, label_smoothing=0.1).train()
    codes, label = torch.randn(6, 4, 1, 1), [0, 2, 1, 0, 2, 1]
    torch.manual_seed(7)
    loss = float(learnt(as_it_is(), batch_of(codes, label))["loss"].detach())
    torch.manual_seed(7)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    other = torch.randperm(6)
    logits = learnt.logits(share * codes + (1 - share) * codes[other])
    swapped, ones = [label[index] for index in other], np.ones(3)
    losses = [slow_loss(logits, labels, ones, 0.1) for labels in (label, swapped)]
    expected = share * losses[0] + (1 - share) * losses[1]
    assert 0.01 < share < 0.99 and loss == pytest.approx(expected, abs=1e-6)
    plain = float(learnt.eval()(as_it_is(), batch_of(codes, label))["loss"].detach())
    assert plain == pytest.approx(slow_loss(learnt.logits(codes), label, ones, 0.1), abs=1e-6)


@pytest.mark.parametrize("n", [1, 5, 40])
def test_macro_f1_is_sklearns_over_all_batches_since_the_last_time(n):
    rng = np.random.default_rng(n)
    learnt = objective(5, "abcde").eval()
    for _ in range(3):  # epochs
        true, answered = rng.integers(0, 4, n), []
        for start in range(0, n, 7):
            codes = torch.randn(len(true[start : start + 7]), 5, 1, 1)
            answered += learnt.logits(codes).argmax(1).tolist()
            learnt(as_it_is(), batch_of(codes, true[start : start + 7].tolist()))
        expected = f1_score(true, answered, labels=np.unique(true), average="macro", zero_division=0)
        assert learnt.summary() == {"macro_f1": pytest.approx(expected)}
    assert learnt.summary() == {"macro_f1": 0.0}
    confusion = torch.tensor([[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0]])
    assert macro_f1_of(confusion) == pytest.approx((6 / 8 + 2 / 6 + 0) / 3)


def test_an_answer_that_has_learnt_nothing_names_the_most_frequent_class():
    label = [0, 1, 1, 2, 1]
    batches = [batch_of(torch.zeros(3, 4, 1, 1), label[:3]), batch_of(torch.zeros(2, 4, 1, 1), label[3:])]
    answers = DummyClassifier().fit(np.zeros((5, 1)), label).predict(np.zeros((5, 1)))
    expected = f1_score(label, answers, average="macro", zero_division=0)
    assert objective(4, "abcd").trivial(lambda: batches) == pytest.approx(expected)


@pytest.mark.parametrize("pooling", POOLINGS.names())
def test_the_head_takes_latents_however_they_are_pooled(pooling):
    made = OBJECTIVES.parse({"name": "classification", "pooling": pooling})
    learnt = made((4, 2, 6), ("a", "b", "c"))
    codes = torch.randn(2, 4, 2, 6)
    pooled = POOLINGS.parse(pooling)(codes.flatten(1, 2))
    assert_allclose(learnt.logits(codes).detach(), learnt.head(pooled).detach(), atol=1e-6)


# The order of samples


def labelled(labels: str, groups: list[str] | None = None, splits: list[str] | None = None) -> Dataset:
    """Pictures of one level each, their own number."""
    n = len(labels)
    stored = np.repeat(np.arange(n, dtype=np.uint8), 4).reshape(n, 2, 2)
    names = np.array([f"{index:03d}" for index in range(n)])
    front = PictureFront((2, 2), "intensity")
    samples = Samples.of(names, label=list(labels), group=groups, split=splits)
    return Dataset(samples, Mapped(stored), np.arange(n), front, "", {})


def drawn(data: Dataset, epoch: int, seed: int = 0, evenly: bool = True) -> list[str]:
    feed = Loader(data, VIEWS.parse("plain"), 4, CPU, seed, tuple(np.unique(data.samples.labels)), evenly)
    batches = list(feed.training(epoch))
    assert len(batches) == feed.n_training_batches
    return [name for batch in batches for name in batch.names]


def test_oversampling_draws_every_class_as_often_as_the_most_frequent_one():
    data = labelled("aaaaaaabbc")
    for epoch in range(3):
        names = drawn(data, epoch)
        labels = [data.samples.labels[int(name)] for name in names]
        assert {name: labels.count(name) for name in "abc"} == {"a": 7, "b": 7, "c": 7}
        assert set(names) == set(data.samples.names) and sorted(names[:21]) != names
        assert [names.count(name) for name in data.samples.names[:7]] == [1] * 7
    assert sorted(drawn(data, 0, evenly=False)) == data.samples.names.tolist()
    orders = [tuple(drawn(data, *key)) for key in ((0, 0), (1, 0), (0, 1), (0, 0))]
    assert orders[0] == orders[3] and len(set(orders)) == 3  # by seed and epoch alone


def test_an_objective_that_oversamples_is_given_even_batches(workspace):
    record_classes(workspace.data / "uneven", n=2)
    record_classes(workspace.data / "uneven", n=8, low=300)
    data = {"train": "uneven", "valid": "sounds"}
    session = heard_session(data=data, objective={"name": "classification", "balance": "oversample"})
    built = build_training(session, workspace)
    labels = torch.cat([batch.label for batch in built.train.training(0)])
    assert torch.bincount(labels).tolist() == [8, 8, 8] and built.train.n_training_batches == 6
    assert [len(batch) for batch in built.valid.validation()] == [4, 4, 4]


# Training and validation


@pytest.fixture(scope="module")
def tables(workspace) -> dict[str, Path]:
    """Tables of the fixture's sounds: number 0 is for tests, 1 for validation or for training."""
    names = [f"{name}/{number}.wav" for name in ("high", "low", "mid") for number in range(4)]
    words = {"three": ("test", "valid", "train", ""), "two": ("test", "train", "train", "train")}
    result = {}
    for key, parts_of in words.items():
        rows = [f"{name},{name.split('/')[0]},{parts_of[int(name[-5])]}" for name in names]
        result[key] = workspace.data / "sounds" / f"{key}.csv"
        result[key].write_text("\n".join(["file,label,split", *rows]))
    return result


@pytest.mark.parametrize("valid", [0.25, "sounds"])
@pytest.mark.parametrize("key", ["three", "two"])
@pytest.mark.parametrize("name", ["classification", "reconstruction"])
def test_samples_for_tests_are_neither_learnt_nor_validated_on(name, key, valid, workspace, tables):
    session = heard_session(data={"train": str(tables[key]), "valid": valid}, objective={"name": name})
    built = build_training(session | ({"model": CONVAE} if name == "reconstruction" else {}), workspace)
    learnt, aside = (set(loader.data.samples.names) for loader in (built.train, built.valid))
    numbers = (2, 3) if key == "three" else (1, 2, 3)
    listed = {f"{name}/{number}.wav" for name in ("high", "low", "mid") for number in numbers}
    if valid == "sounds":
        assert learnt == listed
    elif key == "three":
        assert learnt == listed and aside == {"high/1.wav", "low/1.wav", "mid/1.wav"}
    else:
        assert learnt | aside == listed and not learnt & aside


# The schedule


def plateaued(name: str = "adam", **options: Any) -> Learner:
    weight = nn.Parameter(torch.zeros(1))
    output = {"name": name, "learning_rate": 0.1, "schedule": "plateau", "factor": 0.5, "plateau_patience": 3}
    return OPTIMIZERS.parse(output | options)([weight], 100)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_the_rate_falls_on_plateaus_as_torchs_does(name):
    for patience in (1, 2, 3):
        learner = plateaued(name, plateau_patience=patience)
        other = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            other, "max", 0.5, patience - 1, threshold=0, eps=0
        )
        best, waited = -1.0, 0
        for score in np.random.default_rng(patience).random(40).tolist():
            best, waited = (score, 0) if score > best else (best, waited + 1)
            learner.end_epoch(waited)
            theirs.step(score)
            assert learner.rate == pytest.approx(other.param_groups[0]["lr"])
            learner.step(sum(group["params"][0].sum() for group in learner.optimizer.param_groups))
            assert learner.optimizer.param_groups[0]["lr"] == learner.rate
        assert learner.rate < 0.05


def test_a_lowered_rate_is_saved_and_other_schedules_know_no_plateau():
    learner, again, constant = plateaued(), plateaued(), plateaued(schedule="constant")
    learner.end_epoch(3)
    learner.end_epoch(4)
    again.load_state_dict(learner.state_dict())
    assert again.rate == learner.rate == 0.05
    constant.end_epoch(3)
    assert constant.rate == 0.1 and "lowered" not in constant.state_dict()


# Runs

WAVERING = heard_session(
    data={"valid": "sounds", "standardise": "set"},
    model=CNN | {"dropout": [0.3, 0.2]},
    objective={"name": "classification", "balance": "oversample", "mixup": 0.5, "label_smoothing": 0.1},
    optimizer={
        "name": "adamw",
        "learning_rate": 0.3,
        "schedule": "plateau",
        "plateau_patience": 2,
        "factor": 0.5,
    },
    training={"epochs": 8, "batch_size": 4, "precision": "fp32"},
)


@pytest.fixture(scope="module")
def unbroken(workspace) -> Run:
    return train(load_session(WAVERING, TrainingSession).named("unbroken"), workspace)


def better(row: dict[str, float]) -> tuple[float, float]:
    return row["valid_macro_f1"], -row["valid_loss"]


@torch.no_grad()
def test_the_best_epoch_has_the_highest_macro_f1_and_of_equals_the_lowest_loss(unbroken, workspace):
    rows, progress = history(unbroken), unbroken.progress
    best = max(range(len(rows)), key=lambda index: better(rows[index]))
    assert (progress.best_epoch, progress.best) == (best + 1, rows[best]["valid_macro_f1"])
    assert progress.best_epoch == unbroken.load("best")["progress"]["best_epoch"]
    lowest = min(range(len(rows)), key=lambda index: rows[index]["valid_loss"])
    assert best not in (lowest, len(rows) - 1)  # else nothing is seen
    model, answers = unbroken.model("best"), unbroken.objective("best")
    batches = list(loaders(unbroken, workspace)[1].validation())
    answered = torch.cat([answers.logits(model.encoder(batch.seen)).argmax(1) for batch in batches])
    true = torch.cat([batch.label for batch in batches])
    assert progress.best == pytest.approx(f1_score(true, answered, average="macro", zero_division=0))
    assert unbroken.record["classes"] == list(answers.classes) == ["high", "low", "mid"]


def test_of_equal_scores_the_one_with_the_lower_loss_is_the_best_and_a_new_phase_begins_anew():
    scores = [(1, 5.0), (2, 5.0), (2, 6.0), (2, 4.0), (1, 0.0), (2, 4.0), (3, 9.0)]
    for rising, sign in ((True, 1), (False, -1)):
        progress = Progress()
        improved = [progress.update(sign * score, loss, rising) for score, loss in scores]
        assert improved == [True, True, False, True, False, False, True]
        state = (progress.best, progress.best_epoch, progress.epoch, progress.waited)
        assert state == (sign * 3, 7, 7, 0)
    progress = Progress()
    improved = [progress.update(loss, loss, phase=phase) for loss, phase in ((3, 0), (5, 1), (6, 1), (4, 1))]
    assert improved == [True, True, False, True]
    assert (progress.best, progress.best_epoch, progress.waited) == (4, 4, 0)


def test_the_rate_of_a_run_halves_after_every_second_epoch_without_a_better_macro_f1(unbroken):
    rate, best, waited = 0.3, (-1.0, 0.0), 0
    for row in history(unbroken):
        best, waited = (better(row), 0) if better(row) > best else (best, waited + 1)
        rate *= 0.5 if waited and waited % 2 == 0 else 1
        assert row["learning_rate"] == pytest.approx(rate)
    assert rate < 0.3


def test_some_epochs_and_the_rest_equal_all_of_them(unbroken, workspace):
    options = WAVERING["training"] | {"epochs": 5}
    part = train(load_session(WAVERING | {"training": options}, TrainingSession).named("part"), workspace)
    assert_equal_runs(go_on(part, workspace, epochs=8), unbroken)


# Transfer

CONTRASTIVE = {"name": "contrastive", "hidden": 4, "projection": 3}
SCRATCH: dict[str, dict[str, Any]] = {
    "classifier": {"model": CNN | {"dropout": [0.4, 0.4]}},
    "convae": {"model": CONVAE, "objective": "reconstruction"},
    "contrastive": {"model": TINY, "objective": CONTRASTIVE, "views": "pair"},
    "autoencoder": {"model": TINY, "objective": "reconstruction"},
}


@pytest.fixture(scope="module")
def parents(workspace) -> dict[str, Run]:
    """A run of each way of learning, on the three classes."""
    result = {}
    for name, changes in SCRATCH.items():
        session = heard_session(data={"spectrum": LINEAR}, training=ONE_EPOCH) | changes
        result[name] = train(load_session(session, TrainingSession).named(name), workspace)
    return result


def child(parent: Run, workspace: Config, freeze: int | str, **changes: Any) -> Training:
    """A classifier of the two other classes that starts from a parent's weights."""
    start = {"weights_of": parent.timestamp, "weights": "last", "freeze": freeze}
    data = {"train": "others", "spectrum": LINEAR} | changes.pop("data", {})
    session = heard_session(data=data, start=start, **changes)
    session.pop("model")
    return build_training(session | {"optimizer": {"name": "adamw", "learning_rate": 0.05}}, workspace)


def learn(built: Training, n_epochs: int = 2) -> None:
    """Epochs as a training has them, validation included."""
    for epoch in range(n_epochs):
        one_epoch(built, built.train.training(epoch), "learning", built.learner)
        one_epoch(built, built.valid.validation(), "validation")


def blocks_of(model: Model) -> list[dict[str, Tensor]]:
    return [{key: value.clone() for key, value in block.state_dict().items()} for block in model.encoder]


@pytest.mark.parametrize("name", SCRATCH)
@pytest.mark.parametrize("freeze", [0, 2, "all_but_head"])
def test_frozen_blocks_of_any_parent_stay_bit_for_bit_and_the_others_learn(name, freeze, parents, workspace):
    parent = parents[name]
    built = child(parent, workspace, freeze)
    theirs = blocks_of(parent.model("last"))
    assert same(blocks_of(built.model), theirs)
    head = built.objective.head.weight.clone()
    learn(built)
    n = len(theirs) if freeze == "all_but_head" else freeze
    now = blocks_of(built.model)
    assert same(now[:n], theirs[:n])
    for before, after in zip(theirs[n:], now[n:], strict=True):
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        assert not before or moved and all(key in moved for key in before if "running_" in key)
    assert not torch.equal(built.objective.head.weight, head)
    decoder, same_decoder = built.model.decoder, parent.model("last").decoder
    assert decoder is None or same(decoder.state_dict(), same_decoder.state_dict())


@pytest.mark.parametrize("name", SCRATCH)
def test_frozen_blocks_are_deaf_to_the_batch_they_are_in(name, parents, workspace):
    """Neither its statistics nor dropout are at work while the head learns."""
    built = child(parents[name], workspace, "all_but_head")
    built.model.train()
    batch = next(iter(built.train.training(0)))
    assert len(batch) > 1
    alone = torch.cat([built.model.encoder(one[None]) for one in batch.seen])
    assert torch.allclose(built.model.encoder(batch.seen), alone, atol=1e-5)
    learning = {id(weight) for group in built.learner.optimizer.param_groups for weight in group["params"]}
    assert learning.isdisjoint(map(id, built.model.encoder.parameters()))
    assert learning.issuperset(map(id, built.objective.parameters()))


@pytest.mark.parametrize(("train_on", "taken"), [("sounds", True), ("others", False)])
def test_a_head_is_taken_over_where_classes_are_the_same(train_on, taken, parents, workspace):
    parent = parents["classifier"]
    built = child(parent, workspace, 0, data={"train": train_on})
    theirs = parent.objective("last").head
    assert len(built.objective.classes) == (3 if taken else 2)
    assert same(built.objective.head.state_dict(), theirs.state_dict()) == taken
    assert built.session.model == parent.session.model
    assert built.session.data.length_s == parent.session.data.length_s
    assert list(built.plan.input_shape) == parent.record["input_shape"]
    assert built.record()["parent"] == str(parent.folder)


def test_a_head_of_other_classes_is_not_taken_over_nor_are_their_weights(parents, workspace):
    parent = parents["classifier"]
    record_classes(workspace.data / "renamed", hoch=3000, tief=300, mittel=1000)
    built = child(parent, workspace, 0, data={"train": "renamed"})
    theirs = parent.objective("last").head
    assert built.objective.head.weight.shape == theirs.weight.shape
    assert not torch.equal(built.objective.head.weight, theirs.weight)
    record_classes(workspace.data / "uneven_too", n=2)
    record_classes(workspace.data / "uneven_too", n=6, low=300)
    weighing = {"name": "classification", "balance": "weights"}
    data = {"train": "uneven_too", "valid": "sounds"}
    built = child(parent, workspace, 0, data=data, objective=weighing)
    labels, classes = built.train.data.samples.labels, np.array(["high", "low", "mid"])
    expected = compute_class_weight("balanced", classes=classes, y=labels)
    assert_allclose(built.objective.weights, expected, rtol=1e-6)


def test_a_transfer_that_was_interrupted_keeps_frozen_what_was_without_its_parent(parents, workspace):
    parent = Run(shutil.copytree(parents["classifier"].folder, workspace.models / "20000101_000000_parent"))
    start = {"weights_of": "20000101_000000", "freeze": 2}
    session = heard_session(data={"train": "others", "spectrum": LINEAR}, start=start) | {"model": None}
    whole = train(load_session(session, TrainingSession).named("whole"), workspace)
    short = session | {"training": ONE_EPOCH}
    part = train(load_session(short, TrainingSession).named("short"), workspace)
    theirs = blocks_of(parent.model("best"))
    shutil.rmtree(parent.folder)
    run = go_on(part, workspace, epochs=2)
    assert_equal_runs(run, whole)
    ours = blocks_of(run.model("best"))
    assert same(ours[:2], theirs[:2]) and not same(ours[2:], theirs[2:])
