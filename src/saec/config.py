"""What belongs to this machine alone: where data, models and the cache lie, which device computes."""

import logging
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PlainValidator, ValidationError, field_validator

from saec.documents import read_mapping
from saec.faults import Fault, collect_faults, listing
from saec.registry import Strict

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]  # the project's folder
WINDOWS_PATH = re.compile(r"^([A-Za-z]:[\\/]|\\\\)")
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d\d?)?")
DEFAULT = ROOT / "config" / "config.yaml"


def _workers(raw: Any) -> str | int:
    if raw == "auto" or (type(raw) is int and raw >= 0):
        return raw
    raise ValueError(f"must be auto or a number from 0, got {raw!r}")


class Config(Strict):
    """The paths are absolute once `load_config` has read them."""

    data: Path = Path("data")
    models: Path = Path("models")
    cache: Path = Path("cache")
    cache_gb: float = Field(20, gt=0)
    device: str = "auto"
    workers: Annotated[Literal["auto"] | NonNegativeInt, PlainValidator(_workers)] = "auto"

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not DEVICE.fullmatch(device):
            raise ValueError(f"must be auto, cpu, mps, cuda or cuda:<number>, got {device!r}")
        return device

    @property
    def n_workers(self) -> int:
        """Threads or processes beside the main one, for decoding and for sound."""
        return min(os.cpu_count() or 1, 16) if self.workers == "auto" else self.workers

    def data_path(self, path: str | Path) -> Path:
        """A session's relative path counts from the data folder.

        Raises:
            Fault: a Windows path on another system, where it would become a folder of that name.
        """
        return Path(os.path.abspath(self.data / _here(path)))


def load_config(path: Path | None = None) -> Config:
    """Reads the config; its relative paths count from the folder above the one it lies in.

    Raises:
        Fault: a key or a value is not right.
    """
    if path is None and not DEFAULT.exists():
        return _anchored(Config(), Path.cwd())
    file = Path(path or DEFAULT).absolute()
    try:
        config = Config.model_validate(_in_our_words(read_mapping(file), file))
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise Fault(f"{file} cannot be used:\n{faults}") from error
    return _anchored(config, file.parents[1])


def _here(path: str | Path) -> str:
    if os.name != "nt" and WINDOWS_PATH.match(str(path)):
        raise Fault(f"{path} is a Windows path, this is another system: give the path it has here")
    return os.path.expanduser(path)


def _in_our_words(raw: dict[str, Any], file: Path) -> dict[str, Any]:
    """The reference's two keys: trained models are our `models`, its untrained ones are not needed."""
    if raw.pop("path_untrained_models", None) is not None:
        LOG.info("%s: path_untrained_models is not used, untrained models are built when needed", file)
    if "path_trained_models" in raw:
        if "models" in raw:
            raise Fault(f"{file} gives both `models` and `path_trained_models`: keep one of them")
        raw["models"] = raw.pop("path_trained_models")
    return raw


def _anchored(config: Config, folder: Path) -> Config:
    faults: list[str] = []
    paths = {
        key: collect_faults(faults, key, _here, getattr(config, key)) for key in ("data", "models", "cache")
    }
    if faults:
        raise Fault("the config cannot be used:\n" + listing(faults))
    absolute = {key: Path(os.path.abspath(folder / path)) for key, path in paths.items()}
    return config.model_copy(update=absolute)
