"""Contenders work in turn, round by round: each round gives one ratio to the first of them."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.workers import Setup, Task, Worker

HEADINGS = ("work, width", "contender", "pictures/s", "x first", "goal", "memory MB", "remarks")
WIDTHS = (17, 25, 24, 22, 14, 10, 0)


@dataclass(frozen=True)
class Entry:
    """A contender, and how many times as fast as the first one it is to be."""

    name: str
    setup: Setup
    task: Task
    goal: float | None = None


@dataclass
class Row:
    """What came of a contender: one rate and one ratio a round, and what else its last round says."""

    work: str
    entry: Entry
    rates: list[float]
    ratios: list[float]
    last: dict[str, Any]
    peaks: dict[str, float]
    errors: dict[str, float] = field(default_factory=dict)  # mean relative ones, by array

    def facts(self) -> dict[str, Any]:
        shares = {key: share for key, share in self.last.items() if key in ("waiting", "busy")}
        return {
            "work": self.work,
            "contender": self.entry.name,
            "pictures_per_s": self.rates,
            "times_the_first": self.ratios,
            "goal": self.entry.goal,
            "errors": self.errors,
            **self.peaks,
            **shares,
        }

    def cells(self) -> list[str]:
        on_gpu = self.peaks["gpu_mb"]
        memory = f"{self.peaks['anonymous_mb']:.0f}" + (f" + {on_gpu:.0f}" if on_gpu else "")
        rates, ratios = _with_range(self.rates), _with_range(self.ratios)
        return [self.work, self.entry.name, rates, ratios, self._verdict(), memory, self._remarks()]

    def _verdict(self) -> str:
        if self.entry.goal is None:
            return ""
        reached = median(self.ratios) >= self.entry.goal
        return f">= {self.entry.goal:g} {'yes' if reached else 'NO'}"

    def _remarks(self) -> str:
        errors = [f"{array} error {error:.1e}" for array, error in self.errors.items()]
        shares = [f"{key} {100 * self.last[key]:.0f} %" for key in ("waiting", "busy") if key in self.last]
        return ", ".join(errors + shares)


def contest(work: str, entries: list[Entry], n_rounds: int, seconds: float) -> list[Row]:
    """All contenders have a process of their own at the same time, but only one of them works."""
    workers: list[Worker] = []
    try:
        for entry in entries:
            workers.append(Worker(entry.setup, entry.task))
        for worker in workers:
            worker.measure(0)  # warms up
        rounds = [[worker.measure(seconds) for worker in workers] for _ in range(n_rounds)]
        peaks = [worker.peaks() for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    rows = []
    for entry, scores, peak in zip(entries, zip(*rounds, strict=True), peaks, strict=True):
        rates = [score["pictures_per_s"] for score in scores]
        ratios = [rate / first[0]["pictures_per_s"] for rate, first in zip(rates, rounds, strict=True)]
        rows.append(Row(work, entry, rates, ratios, scores[-1], peak))
    return rows


def table(rows: list[Row]) -> str:
    return "\n".join(_line(cells) for cells in [list(HEADINGS), *(row.cells() for row in rows)])


def _line(cells: list[str]) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def _with_range(values: list[float]) -> str:
    """Median, least and most."""
    result = (median(values), min(values), max(values))
    middle, least, most = (f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in result)
    return f"{middle} ({least} to {most})"
