"""A plan for very many pictures: files, bytes and hours, from what few of them were measured to cost.

The model is linear: every step has its seconds and bytes a picture, and steps follow one another, as they do
in an extraction. What was not measured here stands below, as an assumption.
"""

from dataclasses import dataclass
from typing import Any

from saec.data.listed import N_THREADS
from saec.files import GB

PER_SESSION, PER_FOLDER = 1_000_000, 10_000  # pictures
FILES_OF_SESSION = 5  # latents, pooled, a reduction, its map, JSON
N_CORES = 16  # beside each GPU
GPU_RATE = 20_000  # pictures a second that one GPU encodes: an assumption, none was at hand
STAT_S = 3e-4  # that a shared disk takes to say size and time of a file: an assumption
DISK_RATE = 2 * GB  # bytes a second that the shared disk gives to all machines together: an assumption
PNG_BYTES = 30_000  # of a picture of 256 x 128 in viridis
BASE_MB = 540  # of a process that has imported everything
NUMBERS, GPUS = (1_000_000, 10_000_000, 1_000_000_000), (1, 8, 64)
STEPS = ("listing", "decoding", "encoding", "writing files")


@dataclass(frozen=True)
class Costs:
    """Holds what one picture costs: seconds of one core by the step, and bytes."""

    seconds: dict[str, float]
    out_bytes: float
    store_bytes: float
    memory_bytes: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Costs":
        """Returns the costs from a row that `benchmarks.scale` has measured of a whole extraction."""
        n = row["pictures"]
        seconds = {step: row[step] / n for step in STEPS} | {"all": row["cpu_s"] / n}
        memory = max(0, row["anonymous_mb"] - BASE_MB) * 1e6 / n
        return cls(seconds, row["out"]["bytes"] / n, row["c"]["bytes"] / n, memory)


def hours(costs: Costs, n: int, gpus: int) -> dict[str, float]:
    """Returns the hours of each step where every GPU with its cores works on sessions of its own.

    `gpus` 0: one machine without a GPU.
    """
    machines = max(1, gpus)
    cores = machines * N_CORES
    rate = GPU_RATE * gpus if gpus else cores / costs.seconds["encoding"]
    seconds = {
        "listing": n * (costs.seconds["listing"] + STAT_S / N_THREADS) / machines,
        "decoding": max(n * costs.seconds["decoding"] / cores, n * PNG_BYTES / DISK_RATE),
        "encoding": n / rate,
        "writing": max(
            n * costs.seconds["writing files"] / machines, 3 * n * costs.out_bytes / DISK_RATE
        ),  # rows, read again, files
    }
    return {step: value / 3600 for step, value in (seconds | {"all": sum(seconds.values())}).items()}


def tables(rows: list[dict[str, Any]]) -> str:
    """Returns the tables as Markdown: measured beside simulated, room, hours."""
    whole = sorted((row for row in rows if row["step"] == "all"), key=lambda row: row["pictures"])
    costs = Costs.of(whole[0])
    return "\n\n".join((_checked(costs, whole), _room(costs), _hours(costs)))


def _checked(costs: Costs, whole: list[dict[str, Any]]) -> str:
    lines = [
        "| pictures | CPU s, measured | simulated | MB out, measured | simulated |",
        "|---|---|---|---|---|",
    ]
    for row in whole:
        n = row["pictures"]
        numbers = (
            row["cpu_s"],
            costs.seconds["all"] * n,
            row["out"]["bytes"] / 1e6,
            costs.out_bytes * n / 1e6,
        )
        lines.append(f"| {n:,} | " + " | ".join(f"{number:,.1f}" for number in numbers) + " |")
    return "\n".join(lines)


def _room(costs: Costs) -> str:
    lines = ["| pictures | sessions | folders | files made | PNG | decoded | features | read and written |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for n in NUMBERS:
        sessions = -(-n // PER_SESSION)
        traffic = PNG_BYTES + 2 * costs.store_bytes + 3 * costs.out_bytes
        room = [n * one for one in (PNG_BYTES, costs.store_bytes, costs.out_bytes, traffic)]
        words = " | ".join(f"{one / 1e12:,.2f} TB" for one in room)
        counts = (n, sessions, -(-n // PER_FOLDER), sessions * FILES_OF_SESSION)
        lines.append("| " + " | ".join(f"{count:,}" for count in counts) + f" | {words} |")
    return "\n".join(lines)


def _hours(costs: Costs) -> str:
    lines = [
        "| pictures | GPUs | listing | decoding | encoding | writing | hours |",
        "|---|---|---|---|---|---|---|",
    ]
    for n in NUMBERS:
        for gpus in (0, *GPUS):
            words = " | ".join(f"{value:,.2f}" for value in hours(costs, n, gpus).values())
            lines.append(f"| {n:,} | {gpus or f'none, {N_CORES} cores'} | {words} |")
    return "\n".join(lines)
