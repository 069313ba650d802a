"""The source `extractor`: hand-crafted features, for which nothing is trained; no latents, a row a sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saec.config import Config
from saec.data import DATA, Dataset, Raw
from saec.extraction.shards import Shapes
from saec.extraction.sources.base import SOURCES, ExtractionData, Source
from saec.faults import collect_faults
from saec.sound.handcrafted import EXTRACTORS, Handcrafted

BATCH_SIZE = 64


@dataclass
class HandcraftedSource(Source):
    """Computes features on the CPU, sample by sample."""

    extractor: Handcrafted

    @property
    def n_bytes(self) -> int:
        return self.sizes.n_samples * 4 * len(self.extractor.names)

    def describe(self) -> str:
        return "hand-crafted features"

    def batch_size(self, data: Dataset) -> int:
        return BATCH_SIZE

    def shapes(self, data: Dataset) -> Shapes:
        return {"pooled": ((len(self.extractor.names),), np.float32)}

    def rows(self, data: Dataset, stored: Raw, n: int) -> dict[str, Tensor]:
        sounds = [
            sound[:length].numpy() for sound, length in zip(stored.values[:n], stored.lengths, strict=False)
        ]
        return {"pooled": torch.from_numpy(np.stack([self.extractor(sound) for sound in sounds]))}


@SOURCES.register("extractor")
def extractor(
    component: EXTRACTORS.field, data: ExtractionData, config: Config, faults: list[str]
) -> HandcraftedSource | None:
    """Features by a formula, of recordings as the extractor's options cut and resample them."""
    made = component()
    hop = max(2, round(made.windows["step_s"] * made.listening["sample_rate"]))
    spectrum = {"name": "linear", "n_fft": 2 * hop, "hop_length": hop}  # never computed, but fits any rate
    options = {"kind": "audio", "train": "", "length_s": "longest", "spectrum": spectrum}
    options = DATA.parse(options | made.listening)
    kind = collect_faults(faults, f"data.{data.key}", data.open, component.name, options, config)
    sizes = kind and collect_faults(faults, f"data.{data.key}", kind.sizes)
    if not sizes:
        return None
    settings = {"run": component.name, "weights": component.model_dump(mode="json")}
    files = {"pooled": f"pooled_{component.name}"}
    return HandcraftedSource(component.name, Path(component.name), data, kind, sizes, settings, files, made)
