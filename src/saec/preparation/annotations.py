"""Tables beside recordings: what is sung when (`recording,start,end,label`), and labels of recordings."""

import math
from dataclasses import dataclass
from pathlib import Path

from saec.data.labels import LABELS
from saec.documents import parsed, read_rows
from saec.faults import Fault, listing
from saec.sound.listed import length_s


@dataclass(frozen=True, order=True)
class Annotation:
    """One sound within a recording."""

    start_s: float
    end_s: float
    label: str

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


def read_annotations(file: Path, folder: Path, recordings: list[str]) -> dict[str, list[Annotation]]:
    """The annotations by recording, in the order of time. A recording is given by relative path or by name.

    Raises:
        MissingFault: there is no such file.
        Fault: columns are missing, there is no row, or some rows are not right: all of them are listed.
    """
    found: dict[str, list[Annotation]] = {}
    known = _by_path_or_name(recordings)
    rows = read_rows(file, ("recording", "start", "end", "label"))
    annotated, wrong = parsed(rows, lambda row: (_recording(row["recording"], known), _annotation(row)))
    for recording, annotation in annotated:
        found.setdefault(recording, []).append(annotation)
    if not found and not wrong:
        raise Fault(f"{file} has no row: expected one a sound, `recording,start,end,label`")
    for recording in sorted(found):
        wrong += _late(folder, recording, found[recording])
    if wrong:
        raise Fault(f"{file}: {len(wrong)} rows are not right, correct or delete them:\n{listing(wrong)}")
    return {recording: sorted(rows) for recording, rows in found.items()}


def read_labels(folder: Path, recordings: list[str]) -> dict[str, tuple[str, str]] | None:
    """(label, group) by recording, from a `labels.csv` in the folder or beside it that names any of them."""
    known = _by_path_or_name(recordings)
    for file in (folder / LABELS, folder.parent / LABELS):
        if not file.is_file():
            continue
        found: dict[str, tuple[str, str]] = {}
        for place, row in read_rows(file, ("file", "label")):
            for recording in known.get(_plain(row["file"]), []):
                labelled = (row["label"] or "", row.get("group") or recording)
                if found.setdefault(recording, labelled) != labelled:
                    raise Fault(f"{file}, {place}: {recording} has another label or group above: keep one")
        if found:
            return found
    return None


def _by_path_or_name(recordings: list[str]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for recording in recordings:
        for name in {recording, recording.rsplit("/", 1)[-1]}:
            known.setdefault(name, []).append(recording)
    return known


def _plain(path: str | None) -> str:
    return (path or "").strip().replace("\\", "/").removeprefix("./")


def _recording(given: str | None, known: dict[str, list[str]]) -> str:
    candidates = known.get(_plain(given), [])
    if not candidates:
        raise ValueError(f"no recording {given!r} in the folder")
    if _plain(given) in candidates:
        return _plain(given)
    if len(candidates) > 1:
        raise ValueError(f"{given!r} may be {' or '.join(candidates)}: give its path from the folder")
    return candidates[0]


def _annotation(row: dict[str, str]) -> Annotation:
    try:
        start, end = float(row["start"]), float(row["end"])
    except (TypeError, ValueError):
        start = end = math.nan
    if not 0 <= start <= end < math.inf:
        raise ValueError(f"needs seconds with 0 <= start <= end, got {row['start']!r} and {row['end']!r}")
    return Annotation(start, end, (row["label"] or "").strip())


def _late(folder: Path, recording: str, rows: list[Annotation]) -> list[str]:
    length = length_s(folder / recording)
    late = [] if length is None else [row for row in rows if row.start_s >= length]
    return [
        f"{recording}: a row starts at {row.start_s:g} s, the recording has {length:.3f} s" for row in late
    ]
