"""Says when and where samples were recorded, by columns of a table or by the names of recordings.

Times are the recorder's clock as it is written: no time zone is guessed, and none is converted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from posixpath import basename
from typing import TYPE_CHECKING

import numpy as np

from saec.faults import Fault, counted
from saec.samples.table import Samples, start_of

if TYPE_CHECKING:
    import pandas as pd

CLOCK = "begin clock time"  # of a selection of Raven; other times are of the file that a row names
DAYS = ("date", "begin date", "recording date", "datetime", "date_time", "timestamp", "recorded")
CLOCKS = ("time", CLOCK, "clock time", "recording time")
SITES = ("site", "location", "station", "plot")
# AudioMoth: 20240501_053000, Song Meter: SITE_20240501_053000 and SITE_0+1_20240501_053000
NAME = re.compile(
    r"^(?:(?P<site>.+?)(?:_\d\+\d)?[_-])??(?P<date>(?:19|20)\d\d([-_]?)\d\d\3\d\d)[T_$ -]"
    r"(?P<time>\d\d([-_.]?)\d\d\5\d\d)(?!\d)"
)
DAY = re.compile(  # with dots and the year behind, the day comes first
    r"(\d{4})(?:([-_./])(\d\d?)\2(\d\d?)|(\d\d)(\d\d))(?!\d)|(\d\d?)\.(\d\d?)\.(\d{4})"
)
TIME = re.compile(  # a fraction of a day, as Excel keeps times, is none
    r"(?<!\d)(?<!\d[.,])(?!0[.,]\d+$)(\d\d?)[-_.:]?(\d\d)(?:[-_.:]?(\d\d(?:[.,]\d+)?))?\s*([AaPp][Mm])?(?!\d)"
)
# A time zone is left out: the clock counts as it is written
ZONE = re.compile(r"(:\d\d(?:[.,]\d+)?)\s*(?:Z|[+-]\d\d:?\d\d)$")
A_YEAR_S = 366 * 86_400.0  # no recording is longer
When = tuple[date | None, float | None]  # the day, and seconds since midnight; one may be unknown


def clock_columns(table: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[str]]:
    """Adds `time`, when the file of each row begins, and `site` where a table has columns that say them.

    The time of a row that names a segment, and that of a selection, is of these: their start is taken off.
    """
    small = {column.strip().casefold(): column for column in reversed(table.columns)}
    day, clock, site = (
        next((small[name] for name in names if name in small), None) for names in (DAYS, CLOCKS, SITES)
    )
    added = {} if site is None else {"site": table[site]}
    empty = [""] * len(table)
    columns = (table[one].fillna("").astype(str).str.strip() if one else empty for one in (day, clock))
    texts = list(zip(*columns, strict=True))
    moments = [_moment(*text) for text in texts]
    unread = [
        " ".join(text)
        for text, when in zip(texts, moments, strict=True)
        if (any(text) and not when)
        or (text[0] and not when[0])
        or (text[1] and when[1] is None and not DAY.match(text[1]))
    ]
    if any(moments):
        starts = np.array([start_of(file) for file in table["file"]])
        if clock and clock == small.get(CLOCK):
            starts = np.where(np.isnan(starts), table["start_s"], starts)
        pairs = zip(moments, np.nan_to_num(starts), strict=True)
        added["time"] = [_written(when, -start)[0] for when, start in pairs]
    words = f"rows of {source} have a date or time that cannot be read (2024-05-01 and 05:30:00 can)"
    return table.assign(**added), counted(unread, words, 3) if day or any(moments) else []


def with_clock(
    samples: Samples, pattern: str | None = None, called: Sequence[str] | None = None
) -> tuple[Samples, list[str]]:
    """Adds `time`, `date`, `hour` and `site` of the beginning of each sample, where they are known.

    What a table says of its file counts, then a pattern with groups of these names, then the form of names
    that recorders give. `called` are the names of recordings, where samples are called otherwise.

    Raises:
        Fault: no name matches the pattern.
    """
    names = samples.table.index.tolist()
    called, search = called or names, re.compile(pattern).search if pattern else _named_by_recorder
    matches = [search(name) for name in called]
    if pattern and not any(matches):
        raise Fault(f"pattern {pattern} matches none of {len(names):,} names, such as {[*called, ''][0]!r}")
    groups = [match.groupdict(default="") if match else {} for match in matches]
    times, sites = (samples.table.get(key, [""] * len(names)) for key in ("time", "site"))
    moments = [
        _completed(
            _moment("", time) if isinstance(time, str) else None,
            _moment(group.get("date", ""), group.get("time", "")),
        )
        for time, group in zip(times, groups, strict=True)
    ]
    begins = np.nan_to_num(samples.begins)
    rows = [_written(when, begin) for when, begin in zip(moments, begins, strict=True)]
    columns = {key: [row[n] for row in rows] for n, key in enumerate(("time", "date", "hour"))}
    columns["site"] = [
        site if str(site) else group.get("site", "") for site, group in zip(sites, groups, strict=True)
    ]
    columns = {key: cells for key, cells in columns.items() if any(one == one and one != "" for one in cells)}
    without = [name for name, when in zip(names, moments, strict=True) if not when]
    words = f"of {len(names):,} samples have no date and time in a table or in the names of files"
    return samples.but(**columns), counted(without, words, 3) if "time" in columns else []


def _named_by_recorder(name: str) -> re.Match | None:
    match = NAME.search(basename(name))
    return match if match and _moment(match["date"], match["time"]) else None


def _moment(day: str, clock: str) -> When | None:
    """Reads a day and a time of day; None where neither can be read. Without a day, a time has colons."""
    text = clock if DAY.match(clock) else f"{day} {clock}".strip()
    text = ZONE.sub(r"\1", text)
    on = DAY.match(text)
    times = [one for one in TIME.finditer(text[on.end() :] if on else text) if on or ":" in one[0]]
    try:
        on = (
            date(*map(int, [one for one in on.groups() if one and one.isdigit()][:: 1 if on[1] else -1]))
            if on
            else None
        )
    except ValueError:
        return None
    hours, minutes, seconds, half = times[-1].groups() if times else (None,) * 4
    if hours is None:
        return (on, None) if on else None
    hours = int(hours) % 12 + 12 * (half.lower() == "pm") if half else int(hours)
    seconds = float((seconds or "0").replace(",", "."))
    if hours > 23 or int(minutes) > 59 or seconds >= 60 or (on and not 1900 < on.year < 2200):
        return None
    return on, 3600 * hours + 60 * int(minutes) + seconds


def _completed(when: When | None, other: When | None) -> When | None:
    """Returns a moment; a day or a time of day that it lacks is of another that agrees with it."""
    (day, clock), (their_day, their_clock) = when or (None, None), other or (None, None)
    whole = day or their_day, their_clock if clock is None and day in (None, their_day) else clock
    return None if whole == (None, None) else whole


def _written(when: When | None, later_s: float) -> tuple[str, str, float]:
    """Returns time (2024-05-01T05:30:00), date and hour so many seconds later, as far as they are known."""
    day, clock = when or (None, None)
    if clock is None:
        text = day.isoformat() if day else ""
        return text, text, np.nan
    seconds = round(clock + float(np.clip(later_s, -A_YEAR_S, A_YEAR_S)), 3)
    moment = datetime.combine(day or date(2000, 1, 1), time()) + timedelta(seconds=seconds)
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    hour = moment.hour + moment.minute / 60 + (moment.second + moment.microsecond / 1e6) / 3600
    return (text, text[:10], hour) if day else (text[11:], "", hour)
