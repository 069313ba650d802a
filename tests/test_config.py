"""The config: where things lie on this machine, and which device computes."""

import os
from pathlib import Path

import pytest

import main_01_train
from saec import config
from saec.config import Config, load_config
from saec.faults import Fault, MissingFault


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "project" / "config" / "config.yaml"
    path.parent.mkdir(parents=True)
    return path


def test_paths_count_from_the_folder_above_the_configs_and_absolute_ones_stay(file, tmp_path, monkeypatch):
    file.write_text("data: songs\nmodels: ../elsewhere/models\n")
    monkeypatch.chdir(tmp_path)
    for path in (file, Path("project/config/config.yaml")):
        config = load_config(path)
        assert config.data == tmp_path / "project" / "songs"
        assert config.models == tmp_path / "elsewhere" / "models"
        assert config.cache == tmp_path / "project" / "cache"
    assert config.data_path("train/../images/") == config.data / "images"  # of a session
    assert config.data_path(tmp_path / "x") == tmp_path / "x"
    for path in ("c", "C:songs", "~/songs"):
        assert config.data_path(path) == Path(os.path.abspath(config.data / os.path.expanduser(path)))
    file.write_text(f"data: '{tmp_path / 'far'}'\nmodels: ~/runs\n")
    config = load_config(file)
    assert (config.data, config.models) == (tmp_path / "far", Path.home() / "runs")


def test_what_a_config_leaves_out_has_a_default(file):
    file.write_text("device: cpu")
    config = load_config(file)
    assert (config.cache_gb, config.workers, config.device) == (20, "auto", "cpu")
    assert 1 <= config.n_workers <= 16


def test_of_the_reference_trained_models_are_used_and_untrained_ones_are_not(file, tmp_path, log):
    file.write_text("path_untrained_models: cold\npath_trained_models: trained")
    assert load_config(file).models == tmp_path / "project" / "trained"
    assert "path_untrained_models is not used" in log.text
    file.write_text("models: a\npath_trained_models: b")
    with pytest.raises(Fault, match="gives both `models` and `path_trained_models`: keep one"):
        load_config(file)


@pytest.mark.parametrize(
    "text, words",
    [
        ("cach: x", "cach: unknown key, did you mean 'cache'?"),
        ("gpu: 1", "gpu: unknown key, choose from data, models, cache, cache_gb, device, workers"),
        ("device: gpu", "device: .*got 'gpu'"),
        ("device: cuda:x", "device: .*got 'cuda:x'"),
        ("device: cuda:999", "device: .*got 'cuda:999'"),
        ("workers: many", "workers.*got 'many'"),
        ("workers: -1", "workers.*got -1"),
        ("cache_gb: 0", "cache_gb: .*greater than 0, got 0"),
        ("cache_gb: .inf", "cache_gb: .*finite.*got inf"),
        ("data: null", "data: .*got None"),
        ("data: [a]", r"data: .*got \['a'\]"),
    ],
)
def test_a_key_or_value_that_is_not_right_is_named_with_the_file(file, text, words):
    file.write_text(text)
    with pytest.raises(Fault, match=rf"config.yaml cannot be used:\n(.*\n)*  {words}"):
        load_config(file)


def test_all_faults_of_a_config_are_raised_at_once_and_a_missing_one_is_named(file):
    with pytest.raises(MissingFault, match="no such file: .*config.yaml"):
        load_config(file)
    file.write_text("cach: x\ncache_gb: 0\ndevice: gpu")
    with pytest.raises(Fault) as caught:
        load_config(file)
    assert all(f"\n  {key}: " in str(caught.value) for key in ("cach", "cache_gb", "device"))


def test_the_shipped_config_can_be_used():
    data = load_config().data
    assert data.is_absolute() and data.name == "data"


def test_the_working_folders_config_comes_first_and_without_any_it_is_the_workplace(file, monkeypatch, log):
    folder = file.parents[1]
    monkeypatch.chdir(folder)
    assert load_config().data == config.ROOT / "data"
    file.write_text("data: songs")
    assert load_config().data == folder / "songs"
    file.unlink()
    monkeypatch.setattr(config, "SHIPPED", config.INSTALLED)  # as of a built package
    assert load_config() == Config(**{key: folder / key for key in ("data", "models", "cache")})
    assert f"config is not here: data, models and cache are folders of {folder}" in log.text


def test_a_folder_that_is_no_text_is_refused_by_name(tmp_path):
    for folder in ("sp\udce4t", "songs/sp\udce4t/images"):
        with pytest.raises(Fault, match="has a name that is no UTF-8 text: rename it"):
            Config(data=tmp_path).data_path(folder)


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 128, f"songs/{'x' * 300}/images"])
def test_a_name_that_no_file_has_is_refused_before_it_is_looked_for(name, tmp_path):
    with pytest.raises(Fault, match=r"no file can be called .*\.\.\.: names have 255 letters at most"):
        Config(data=tmp_path).data_path(name)


@pytest.mark.skipif(os.name == "nt", reason="there such paths are at home")
@pytest.mark.parametrize("path", [r"C:\songs\models", "d:/models", r"\\server\models"])
def test_a_windows_path_on_another_system_is_refused_and_no_such_folder_is_made(file, path, capsys, tmp_path):
    file.write_text(f"models: '{path}'\n")
    with pytest.raises(Fault, match="is a Windows path, this is another system"):
        Config(data=tmp_path).data_path(path)
    before = sorted(file.parents[2].rglob("*"))
    assert main_01_train.main(["--config", str(file)]) == 2
    assert f"{path} is a Windows path, this is another system: give the path" in capsys.readouterr().err
    assert sorted(file.parents[2].rglob("*")) == before
