"""Encoders from elsewhere: in each format the numbers are those of torch, and what cannot be is refused."""

import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import torch
import torchvision
import yaml
from ai_edge_litert import schema_py_generated as schema
from conftest import answer, contents, intensities, refused, write_pictures
from PIL import Image
from sounds import RATE, record, tone
from tiny_tflite import write_tflite
from torch import nn

import main_02_extract
from saec import extract
from saec.config import Config
from saec.extraction.sources.base import for_samples, recipe_of
from saec.extraction.sources.encoders import of_torchvision
from saec.faults import Fault
from saec.sound.inputs import INPUTS

ROOT = Path(__file__).parents[1]
WINDOW_S, N = 0.25, 2000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Two(nn.Module):
    """Two linear layers on a window of sound, with both as outputs if they are wanted."""

    def __init__(self, both: bool = False, scale: float = 1.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(N, 5), nn.Linear(5, 3)
        self.both, self.scale = both, scale

    def forward(self, sound: torch.Tensor):
        hidden = self.first(sound).relu()
        out = self.second(hidden) * self.scale
        return (hidden, out) if self.both else out


class Levels(nn.Module):
    """The logarithm of the mean power, which silence has not."""

    def forward(self, sound: torch.Tensor):
        return sound.square().mean(1, keepdim=True).log()


class Whole(nn.Module):
    """Whole numbers."""

    def forward(self, sound: torch.Tensor):
        return sound[:, :3].to(torch.int32)


class Looks(nn.Module):
    """A convolution on pictures of three channels, (batch, features, rows, columns)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 8, stride=8)

    def forward(self, pictures: torch.Tensor):
        return self.conv(pictures)


def written(file: Path, module: nn.Module, example: torch.Tensor, batches: bool = True) -> Path:
    """The module in the format of the file's ending."""
    sizes = ({0: torch.export.Dim("batch", min=1)},) if batches else None
    module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if file.suffix == ".pt":
            torch.jit.save(torch.jit.trace(module, example), file)
        elif file.suffix == ".tflite":
            write_tflite(file, module.first, module.second, -1 if batches else 1)
        else:
            program = torch.export.export(module, (example,), dynamic_shapes=sizes)
            if file.suffix == ".pt2":
                torch.export.save(program, file)
            else:
                torch.onnx.export(program, dynamo=True, verbose=False).save(file)
    return file


def of_sound(file: Path | str, /, **changes: Any) -> dict[str, Any]:
    how = {"file": str(file), "sample_rate": RATE, "window_s": WINDOW_S, "trust": True} | changes
    return {"pretrained": how, "data": {"sounds": "sounds"}, "reduction": None}


def extracted(session: dict[str, Any], config: Config) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """Rows by name, what `<id>.json` says, and what the script writes beside its paths."""
    code, out, text = answer(main_02_extract, session, config)
    assert code == 0, text
    npz, about = out.splitlines()
    with np.load(npz) as result:
        rows = dict(zip(result["N"].tolist(), result["X"], strict=True))
    return rows, json.loads(Path(about).read_text(encoding="utf-8")), text


@pytest.fixture
def windows(config) -> dict[str, np.ndarray]:
    """Windows by name: those of a recording of 0.6 s, the last ends with it, and one that is shorter."""
    long, short = tone(300, 0.6).astype(np.float32), tone(900, 0.1).astype(np.float32)
    for name, sound in {"long": long, "short": short}.items():
        record(config.data / "sounds" / f"{name}.wav", sound, subtype="FLOAT")
    made = {f"long_segm_{s:08.3f}.wav": long[round(s * RATE) :][:N] for s in (0, 0.25, 0.35)}
    return made | {"short_segm_0000.000.wav": np.pad(short, (0, N - len(short)))}


@torch.no_grad()
def assert_rows(rows: dict[str, np.ndarray], module: nn.Module, windows: dict[str, np.ndarray]) -> None:
    assert rows.keys() == windows.keys()
    for name, sound in windows.items():
        expected = module(torch.from_numpy(sound)[None]).numpy().ravel()
        np.testing.assert_allclose(rows[name], expected, atol=1e-4)


# Right numbers


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("ending", [".pt", ".pt2", ".onnx", ".tflite"])
def test_windows_of_sound_have_the_numbers_that_torch_gives_in_each_format(ending, batches, windows, config):
    module = Two()
    file = written(config.data / f"tiny{ending}", module, torch.zeros(3 if batches else 1, N), batches)
    rows, about, text = extracted(of_sound(file.name), config)
    assert_rows(rows, module, windows)
    assert ("in batches" in text) == (batches or ending == ".pt")
    assert (config.data / "saec_tiny.json").exists()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert about["settings"]["weights"]["sha256"] == digest and about["sample_s"] == WINDOW_S
    assert "nothing to do" in extracted(of_sound(file.name, sha256=digest.upper()), config)[2]


def test_only_recordings_that_have_changed_are_encoded_again_and_windows_may_overlap(windows, config):
    file = written(config.data / "tiny.onnx", Two(), torch.zeros(3, N))
    session = of_sound(file, step_s=0.1)
    before, _, _ = extracted(session, config)
    starts = ["0000.000", "0000.100", "0000.200", "0000.300", "0000.350"]
    assert [*before] == [f"long_segm_{s}.wav" for s in starts] + ["short_segm_0000.000.wav"]
    record(config.data / "sounds" / "short.wav", tone(500, 0.1))
    after, about, text = extracted(session, config)
    assert "5 of 6 sounds are as they were" in text
    other = record(config.data / "other" / "x.wav", tone(300, 0.3))
    made = extract(for_samples(recipe_of(about), str(other.parent)), config)  # as sections of a report do
    assert np.array(made.N).tolist() == [f"x_segm_{s}.wav" for s in ("0000.000", "0000.050")]
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ["short_segm_0000.000.wav"]
    text = refused(main_02_extract, session | {"data": {"sounds": "sounds", "segment_s": 1}}, config)
    assert "data.segment_s: the model's window is 0.25 s, got 1 s" in text


@pytest.mark.parametrize("output", ["hidden", 0])
def test_one_of_several_outputs_and_a_tensor_within_a_tflite_model_can_be_taken(output, windows, config):
    both = Two(both=True)
    if output == "hidden":
        file = written(config.data / "tiny.tflite", both, torch.zeros(1, N))
    else:
        file = written(config.data / "tiny.pt2", both, torch.zeros(3, N))
    rows, _, _ = extracted(of_sound(file, output=output), config)
    assert_rows(rows, lambda sound: both(sound)[0], windows)


@torch.no_grad()
def test_pictures_have_the_numbers_that_torch_gives_from_levels_that_are_normalised(config):
    names = write_pictures(config.data / "songs" / "images", intensities(5))
    module = Looks()
    session = {"data": {"images": "songs/images"}, "reduction": None}
    how = {"input": "image", "channels": 3, "mean": MEAN, "std": STD, "mean_over": [2, 3], "trust": True}
    for ending in (".pt", ".pt2", ".onnx"):
        file = written(config.data / f"looks{ending}", module, torch.zeros(3, 3, 128, 32))
        session |= {"pretrained": how | {"file": file.name}, "variant": ending[1:]}
        rows, _, _ = extracted(session, config)
        assert [*rows] == names
        for name, row in rows.items():
            levels = np.array(Image.open(config.data / "songs" / "images" / name).convert("RGB")) / 255
            seen = torch.tensor(((levels - MEAN) / STD).transpose(2, 0, 1), dtype=torch.float32)[None]
            np.testing.assert_allclose(row, module(seen).mean((2, 3))[0].numpy(), atol=1e-4)


@torch.no_grad()
def test_a_model_of_torchvision_takes_spectra_and_weights_of_a_file(windows, config, monkeypatch):
    model = torchvision.models.shufflenet_v2_x0_5(weights=None)
    torch.save(model.state_dict(), config.data / "weights.pth")
    mel = {"name": "mel", "n_fft": 256, "hop_length": 64, "n_mels": 32, "reference": 1.0}
    how = {"torchvision": "shufflenet_v2_x0_5", "input": mel, "channels": 3, "size": (64, 64)}
    session = of_sound("weights.pth", **how)
    rows, about, _ = extracted(session, config)
    model.fc = nn.Identity()
    seen = INPUTS.parse(mel)(RATE)(torch.from_numpy(np.stack([*windows.values()])), torch.full((4,), N))
    seen = nn.functional.interpolate(seen[:, None], (64, 64), mode="bilinear", antialias=True)
    expected = model.eval()(seen.expand(-1, 3, -1, -1)).numpy()
    np.testing.assert_allclose(np.stack([*rows.values()]), expected, atol=1e-4)
    assert about["id"] == "saec_shufflenet_v2_x0_5" and expected.shape == (4, 1024)
    digest = hashlib.sha256((config.data / "weights.pth").read_bytes()).hexdigest()
    there = (config.data / "weights.pth").rename(config.data / f"weights-{digest[:8]}.pth")
    weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(weights, "url", there.as_uri())
    cached = config.cache / "weights" / there.name
    own = {"pretrained": {key: value for key, value in session["pretrained"].items() if key != "file"}}
    assert "nothing to do, the files are there" in extracted(session | own, config)[2]
    session["pretrained"]["file"] = str(cached)
    for changes, words in {
        "torchvision=shufflenet": "torchvision has no model 'shufflenet', did you mean",
        "torchvision=fcn_resnet50": "torchvision has no model 'fcn_resnet50', ",
        "torchvision=resnet18": "the weights are damaged, or not those of resnet18",
        "output=layer9": "output: ",
    }.items():
        assert words in refused(main_02_extract, session, config, "--set", f"pretrained.{changes}")
    state = torch.load(cached, weights_only=True)
    torch.save({key: x.char() if x.ndim == 4 else x for key, x in state.items()}, config.data / "others.pth")
    content = bytearray(cached.read_bytes())
    content[content.find(state["conv5.0.weight"].numpy().tobytes()[:64])] ^= 1
    cached.write_bytes(content)
    for file, words in {"others.pth": "torch.int8, the model has", str(cached): "damaged"}.items():
        session["pretrained"]["file"] = file
        assert words in refused(main_02_extract, session, config)


def test_the_session_of_vggish_gives_patches_as_a_slow_loop_computes_them(config):
    """https://github.com/tensorflow/models/tree/master/research/audioset/vggish, mel_features.py."""
    sound = np.random.default_rng(0).normal(size=15_600).astype(np.float32) * 0.1
    hann = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    frames = [sound[start : start + 400] * hann for start in range(0, 15_600 - 399, 160)]
    magnitudes = np.abs(np.fft.rfft(frames, 512))

    def mel(hertz):
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    edges, bins = np.linspace(mel(125.0), mel(7500.0), 66), mel(np.linspace(0, 8000.0, 257))
    bank = np.zeros((257, 64))
    for i, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bank[:, i] = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    bank[0] = 0
    expected = np.log(magnitudes @ bank + 0.01)
    made = INPUTS.parse("log_mel")(16_000)
    result = made(torch.from_numpy(sound)[None], torch.tensor([15_600]))[0]
    assert made.n_frames(15_600) == 96 and expected.shape == (96, 64)
    np.testing.assert_allclose(result.flip(0).T.numpy(), expected, atol=1e-3)
    record(config.data / "sounds" / "a.wav", sound, 16_000, subtype="FLOAT")
    file = written(config.data / "patches.pt", nn.Flatten(), torch.zeros(1, 1, 96, 64))
    session = yaml.safe_load((ROOT / "session_params" / "extraction" / "vggish.yaml").read_text())
    session["pretrained"] |= {"file": str(file), "trust": True}
    rows, _, _ = extracted(session | {"data": {"sounds": "sounds"}}, config)
    np.testing.assert_allclose(rows["a_segm_0000.000.wav"].reshape(96, 64), expected, atol=1e-3)


def test_perch_gets_windows_without_a_mean_and_of_one_peak():
    sound = torch.stack([torch.randn(100) + 3, torch.zeros(100)])
    result = INPUTS.parse({"name": "waveform", "peak": 0.25})(32_000)(sound, torch.tensor([100, 100]))[:, 0]
    assert torch.allclose(result.abs().amax(1), torch.tensor([0.25, 0])) and abs(result[0].mean()) < 1e-6


def test_silero_vad_says_what_its_own_program_says_of_the_beginning_of_a_recording(config):
    silero = pytest.importorskip("silero_vad")
    sound = tone(300, 0.036, rate=16_000).astype(np.float32)
    sound[:64] = 0  # the context of the first chunk
    record(config.data / "sounds" / "a.wav", sound, 16_000, subtype="FLOAT")
    file = Path(silero.__file__).parent / "data" / "silero_vad.onnx"
    how = {"window_s": 0.036, "sample_rate": 16_000, "constants": {"state": 0, "sr": 16_000}}
    rows, _, _ = extracted(of_sound(file, output="output", **how), config)
    expected = silero.load_silero_vad(onnx=True)(torch.from_numpy(sound[64:]), 16_000)
    np.testing.assert_allclose(rows["a_segm_0000.000.wav"], expected[0].numpy(), atol=1e-5)
    state, _, text = extracted(of_sound(file, output="stateN", **how) | {"variant": "state"}, config)
    assert state["a_segm_0000.000.wav"].shape == (256,) and "one by one" in text
    assert soundfile.info(config.data / "sounds" / "a.wav").frames == 576


# What is refused, before anything is read or written


FAULTS = [
    ({"sha256": "0" * 64}, "tiny.onnx has the SHA-256 ", "the session says 0000"),
    ({"sha256": "abc"}, "pretrained.sha256: must be 64 hexadecimal digits, got 'abc'", ""),
    ({"window_s": 0.2}, "a batch of the shape [1, 1600] is given, the model takes sound", "`window_s`"),
    ({"sample_rate": 50}, "pretrained.sample_rate: ", "greater than or equal to 100, got 50"),
    ({"window_s": 121}, "pretrained.window_s: ", "less than or equal to 120, got 121"),
    ({"window_s": 0.0001}, "segment_s: 0.0001 s are 1 samples at 8000 Hz, 2 are needed", ""),
    ({"window_s": None}, "sound needs `sample_rate` and `window_s`", ""),
    ({"output": "third"}, "the model has 2 outputs, 'third' is none of them", "0: "),
    ({"output": None}, "the model has 2 outputs, say which is the embedding", "1: mul ["),
    ({"output": 2}, "2 is none of them", "1: "),
    ({"constants": {"sr": 1}}, "constants: the model has 0 inputs beside the one for samples, got sr", ""),
    ({"constants": {"sr": True}}, "pretrained.constants.sr: must be a number, got True", ""),
    ({"layout": "hw"}, "a batch of the shape [1, 1, 2000] is given", "`layout`"),
    ({"layout": "h"}, "layout: h leaves out an axis of channels x rows x columns = 1 x 1 x 2000", ""),
    ({"layout": "ww"}, "`layout` names each of c, h and w once", ""),
    ({"mean": [0, 0]}, "`mean` and `std` have one number, or one for each of 1 channels", ""),
    ({"mean_over": [5]}, "mean_over: the output has the axes [1, 3]", ""),
    ({"input": "image"}, "`sample_rate` is of sound, the input is an image", ""),
    ({"input": {"name": "log_mel", "fmax": 5000}}, "pretrained.input: needs fmin < fmax <= 4,000 Hz", ""),
    ({"input": "sound"}, "unknown input 'sound', ", ""),
    ({"file": "none.onnx"}, "no such file: ", "none.onnx (docs/pretrained.md says where "),
    ({"file": None}, "name a `file`, or a `torchvision` model", ""),
    ({"file": "tiny.h5"}, "the format is told by the ending, one of .onnx, .tflite, .pt2", ""),
    ({"file": "tiny.pt", "trust": False}, "tiny.pt is a program (TorchScript)", "say `trust: true`"),
    ({"file": "tiny.pt2", "trust": False}, "tiny.pt2 is a program (torch.export)", "say `trust: true`"),
    ({"file": "bad.pt"}, "bad.pt cannot be read as TorchScript: ", ""),
    ({"file": "flipped.pt"}, "flipped.pt cannot be read as TorchScript: Bad CRC-32", ""),
    ({"file": "bad.pt2"}, "bad.pt2 cannot be read as torch.export: ", ""),
    ({"file": "bad.onnx"}, "bad.onnx cannot be read as ONNX of one file: ", ""),
    ({"file": "beside.onnx"}, "beside.onnx cannot be read as ONNX of one file: ", "none/tiny.bin"),
    ({"file": "whole.onnx"}, "the model takes uint8 as sound, samples are numbers with fractions", ""),
    ({"file": "whole.tflite"}, "the model takes int8 as sound, ", "of float16, float32, float64"),
    ({"file": "whole.pt"}, "output: the model gives torch.int32 there", ""),
    ({"file": "bad.tflite"}, "bad.tflite cannot be read as TFLite: ", ""),
    ({"file": "tiny.tflite", "output": "third"}, "the model has 1 outputs, 'third' is none of them", "out"),
    ({"file": "tiny.tflite", "window_s": 0.3}, "the model takes sound [-1, 2000]", "`sample_rate`"),
    ({"file": "nan.pt"}, "the model gives numbers that are not finite", ""),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    written(folder / "tiny.onnx", Two(both=True), torch.zeros(3, N))
    for ending in (".pt", ".pt2", ".tflite"):
        written(folder / f"tiny{ending}", Two(), torch.zeros(3, N))
        (folder / f"bad{ending}").write_bytes(b"PK\x03\x04 nothing of the kind" * 9)
    flipped = bytearray((folder / "tiny.pt").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (folder / "flipped.pt").write_bytes(flipped)
    (folder / "bad.onnx").write_bytes((folder / "tiny.onnx").read_bytes()[:500])
    onnx.save_model(
        onnx.load(folder / "tiny.onnx"),
        folder / "beside.onnx",
        save_as_external_data=True,
        location="tiny.bin",
        size_threshold=0,
    )
    written(folder / "whole.onnx", Whole(), torch.zeros(3, N, dtype=torch.uint8))
    written(folder / "whole.pt", Whole(), torch.zeros(3, N))
    write_tflite(folder / "whole.tflite", *Two().children(), type=schema.TensorType.INT8)
    written(folder / "nan.pt", Two(scale=float("nan")), torch.zeros(3, N))
    return folder


@pytest.mark.parametrize(("changes", "words", "more"), FAULTS)
def test_what_cannot_be_is_refused_before_reading(changes, words, more, models, windows, config, monkeypatch):
    monkeypatch.chdir(models)  # where weights lie that no SHA-256 covers
    how = {"file": "tiny.onnx", "output": 1} | changes
    if how["file"]:
        how |= {"file": str(models / how["file"])}
    if how["output"] == 1 and "tiny.onnx" not in str(how["file"]):
        how["output"] = None
    session = {key: value for key, value in of_sound("", **how)["pretrained"].items() if value is not None}
    before = contents(config.data)
    text = refused(main_02_extract, of_sound("") | {"pretrained": session}, config)
    assert words in text and more in text and contents(config.data) == before


def test_windows_of_which_each_changes_the_others_are_encoded_one_by_one(windows, config):
    class Normed(nn.Module):
        def forward(self, sound: torch.Tensor) -> torch.Tensor:
            few, large = sound[:, :3], torch.full((len(sound), 1), 5000.0)
            return torch.cat([few - few.mean(0) if len(few) > 1 else few, large], 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript
        torch.jit.save(torch.jit.script(Normed()), config.data / "normed.pt")
    rows, _, text = extracted(of_sound("normed.pt"), config)
    assert_rows(rows, Normed(), windows)
    assert "one by one" in text and "zeros" not in text
    record(config.data / "short" / "a.wav", tone(300, 0.05, rate=4000), 4000)
    _, _, text = extracted(of_sound("normed.pt") | {"data": {"sounds": "short"}}, config)
    assert "80% of what the model gets are zeros: half of its windows hold at most 0.05 s of sound" in text
    assert "some recordings were made at 4000 Hz: at `sample_rate: 8000` they hold nothing above" in text


def test_models_of_torchvision_end_before_their_last_linear_layer_and_take_pictures_as_theirs():
    def content(model: nn.Module) -> bytes:
        torch.save(model.state_dict(), file := io.BytesIO())
        return file.getvalue()

    seen, cpu = torch.rand(1, 3, 96, 96), torch.device("cpu")
    model = torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False)
    made = of_torchvision("googlenet", content(model), None, cpu)(seen)
    model.fc = nn.Identity()
    with torch.no_grad():
        expected = model.eval()(seen)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    squeezenet = content(torchvision.models.squeezenet1_1(weights=None))
    with pytest.raises(Fault, match="(?s)output: squeezenet1_1 has no linear layer .*features.12.cat"):
        of_torchvision("squeezenet1_1", squeezenet, None, cpu)


def test_a_model_that_keeps_a_state_or_a_missing_package_is_refused(models, windows, config, monkeypatch):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.zeros(1))

        def forward(self, sound: torch.Tensor) -> torch.Tensor:
            self.n += 1
            large = torch.full((len(sound), 1), 5000.0)  # beside which the others change little
            return torch.cat([sound[:, :3] + self.n, large], 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript
        torch.jit.save(torch.jit.script(Counts()), config.data / "counts.pt")
    assert "it keeps a state" in refused(main_02_extract, of_sound("counts.pt"), config)
    file = written(config.data / "log.pt", Levels(), torch.zeros(1, N))
    record(config.data / "sounds" / "silent.wav", np.zeros(N))
    text = refused(main_02_extract, of_sound(file), config)
    assert "not finite of some sounds, perhaps of silent ones" in text
    monkeypatch.setattr("saec.extraction.sources.encoders.find_spec", lambda name: None)
    text = refused(main_02_extract, of_sound(models / "tiny.tflite"), config)
    assert "needs a package: pip install ai-edge-litert" in text
    session = of_sound(models / "tiny.onnx") | {"data": {"images": "sounds"}}
    assert "takes sounds: say `data: {sounds: ...}`, not `images`" in refused(
        main_02_extract, session, config
    )
