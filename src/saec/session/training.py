"""What a training session may say."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PlainValidator,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
)

from saec.data import DATA, VIEWS
from saec.devices import Precision
from saec.models import MODELS
from saec.objectives import OBJECTIVES
from saec.optimizers import OPTIMIZERS
from saec.registry import Strict
from saec.session.base import Count, Session
from saec.upgrade import upgrade_training

Weights = Literal["best", "last"]
Export = Annotated[Literal[False, "pt2", "onnx"], BeforeValidator(lambda raw: "pt2" if raw is True else raw)]


class TrainingOptions(Strict):
    epochs: Count = 10
    batch_size: Count = 8
    patience: Count | None = None
    seed: int = Field(0, ge=0)
    precision: Precision = "auto"
    tensorboard: bool = False
    export: Export = False


class WeightsOf(Strict):
    """A start from trained weights; the first `freeze` blocks of the encoder stay as they are, or all."""

    weights_of: str
    weights: Weights = "best"
    freeze: NonNegativeInt | Literal["all_but_head"] = 0


def _start(raw: Any) -> str | WeightsOf:
    if raw == "scratch" or isinstance(raw, WeightsOf):
        return raw
    if not isinstance(raw, dict):
        raise ValueError(f"must be `scratch` or a mapping with `weights_of`, got {raw!r}")
    return WeightsOf.model_validate(raw)


class TrainingSession(Session):
    upgrade: ClassVar = staticmethod(upgrade_training)

    data: DATA.field
    views: VIEWS.field = "plain"
    model: MODELS.field | None = None
    objective: OBJECTIVES.field = "reconstruction"
    optimizer: OPTIMIZERS.field = "adam"
    training: TrainingOptions = TrainingOptions()
    start: Annotated[SerializeAsAny[Literal["scratch"] | WeightsOf], PlainValidator(_start)] = "scratch"

    @property
    def folders(self) -> list[str]:
        return [folder for folder in (self.data.train, self.data.valid) if isinstance(folder, str)]

    @field_validator("start")
    @classmethod
    def _has_a_model(cls, start: str | WeightsOf, known: ValidationInfo) -> str | WeightsOf:
        if start == "scratch" and known.data.get("model", "faulty") is None:
            raise ValueError(f"scratch needs a `model`, choose from {', '.join(MODELS.names())}")
        return start
