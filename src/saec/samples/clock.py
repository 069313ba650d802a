"""Says when and where samples were recorded, by columns of a table or by the names of recordings.

Times are the recorder's clock as it is written, and are converted only where a time zone is stated: by the
time itself (05:30:00Z, UTC+2), or by the user. None is guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from difflib import get_close_matches
from posixpath import basename
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

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
    r"(?P<time>\d\d([-_.]?)\d\d\5\d\d"
    r"(?:Z(?![^\W_])|(?:\+|(?<=T\d{6})-)(?:0\d|1[0-4])(?:[03]0|45))?)(?!\d)"  # 20240501T053000-0700, or Z
)
DAY = re.compile(  # with dots and the year behind, the day comes first
    r"(\d{4})(?:([-_./])(\d\d?)\2(\d\d?)|(\d\d)(\d\d))(?!\d)|(\d\d?)\.(\d\d?)\.(\d{4})"
)
TIME = re.compile(  # a fraction of a day, as Excel keeps times, is none
    r"(?<!\d)(?<!\d[.,])(?!0[.,]\d+$)(\d\d?)[-_.:]?(\d\d)(?:[-_.:]?(\d\d(?:[.,]\d+)?))?\s*([AaPp][Mm])?(?!\d)"
)
OFFSET = r"(?:Z|(?:UTC|GMT)(?:[+-](?:0?\d|1[0-4])(?::?[0-5]\d)?)?|[+-](?:0\d|1[0-4]):?[0-5]\d)"
ZONE = re.compile(rf"(:\d\d(?:[.,]\d+)?(?:\s*[AP]M)?|\d{{6}})\s*\(?({OFFSET})\)?$", re.IGNORECASE)
A_YEAR_S = 366 * 86_400.0  # no recording is longer
# The day, seconds since midnight, and the time zone that is written there; not all may be known
When = tuple[date | None, float | None, tzinfo | None]


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
        or (text[0] and when and not when[0])
        or (text[1] and when and when[1] is None and not DAY.match(text[1]))
    ]
    if any(moments):
        starts = np.array([start_of(file) for file in table["file"]])
        if clock and clock == small.get(CLOCK):
            starts = np.where(np.isnan(starts), table["start_s"], starts)
        pairs = zip(moments, np.nan_to_num(starts), strict=True)
        added["time"] = [_written(when, -start)[0] for when, start in pairs]
    words = f"rows of {source} have a date or time that cannot be read (2024-05-01 and 05:30:00 can)"
    return table.assign(**added), counted(unread, words, 3) if day or any(moments) else []


def zone_of(text: str) -> tzinfo:
    """Returns a time zone by its name, such as Europe/Zurich, or by an offset, such as UTC+2 or +02:00.

    Raises:
        Fault: there is no such time zone.
    """
    if re.fullmatch(OFFSET, text, re.IGNORECASE):
        return _offset(text)
    names = available_timezones()
    if text in names:
        return ZoneInfo(text)
    towns = get_close_matches(text.rpartition("/")[2], {name.rpartition("/")[2] for name in names})
    near = get_close_matches(text, names) + sorted(n for n in names if n.rpartition("/")[2] in towns[:1])
    words = f", did you mean {' or '.join(dict.fromkeys(near[:3]))}?" if near else ""
    raise Fault(f"no time zone {text!r}{words} (expected a name such as Europe/Zurich, or UTC+2)")


def with_clock(
    samples: Samples,
    pattern: str | None = None,
    called: Sequence[str] | None = None,
    clock: tzinfo | None = None,
    shown_in: tzinfo | None = None,
) -> tuple[Samples, list[str]]:
    """Adds `time`, `date`, `hour` and `site` of the beginning of each sample, where they are known.

    What a table says of its file counts, then a pattern with groups of these names, then the form of names
    that recorders give. `called` are the names of recordings, where samples are called otherwise. Times that
    state no time zone are of `clock`; all are converted to `shown_in`, else to `clock`.

    Raises:
        Fault: no name matches the pattern, or no time can be converted.
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
    zones = clock, shown_in or clock
    rows = [_written(when, begin, *zones) for when, begin in zip(moments, begins, strict=True)]
    columns = {key: [row[n] for row in rows] for n, key in enumerate(("time", "date", "hour"))}
    columns["site"] = [
        site if str(site) else group.get("site", "") for site, group in zip(sites, groups, strict=True)
    ]
    columns = {key: cells for key, cells in columns.items() if any(one == one and one != "" for one in cells)}
    without = [name for name, when in zip(names, moments, strict=True) if not when]
    words = f"of {len(names):,} samples have no date and time in a table or in the names of files"
    remarks = counted(without, words, 3) if "time" in columns else []
    return samples.but(**columns), remarks + _of_zones(dict(zip(names, moments, strict=True)), *zones)


def _of_zones(moments: dict[str, When | None], clock: tzinfo | None, shown_in: tzinfo | None) -> list[str]:
    """Returns a remark on times that are not converted though others are, or though time zones differ."""
    timed = {name: when for name, when in moments.items() if when and when[1] is not None}
    if not shown_in:
        zones = Counter(str(when[2] or "none") for when in timed.values())
        words = ", ".join(f"{zone}: {n:,}" for zone, n in zones.items())
        words = f"times state different time zones ({words}) and count as they are written"
        return [f"{words}: `labels.shown_in` converts them"] if len(zones) > 1 else []
    apart = [name for name, (day, _, zone) in timed.items() if not (day and (zone or clock))]
    words = "times without a date or time zone, and these stay as written (`labels.clock` states the zone)"
    if len(apart) == len(timed):
        raise Fault(f"no time is converted: {len(apart):,} of {len(moments):,} samples have {words}")
    return counted(apart, f"of {len(moments):,} samples have {words}", 3)


def _named_by_recorder(name: str) -> re.Match | None:
    match = NAME.search(basename(name))
    return match if match and _moment(match["date"], match["time"]) else None


def _moment(day: str, clock: str) -> When | None:
    """Reads a day and a time of day; None where neither can be read. Without a day, a time has colons."""
    text = clock if DAY.match(clock) else f"{day} {clock}".strip()
    written = DAY.match(text)
    text = text[written.end() :] if written else text
    zone = ZONE.search(text)
    times = [one for one in TIME.finditer(ZONE.sub(r"\1", text)) if written or ":" in one[0]]
    try:
        on = _date(written) if written else None
    except ValueError:
        return None
    if not times:
        return (on, None, None) if on else None
    hour, minutes, second, half = times[-1].groups()
    hours = int(hour) % 12 + 12 * (half.lower() == "pm") if half else int(hour)
    seconds = float((second or "0").replace(",", "."))
    if hours > 23 or int(minutes) > 59 or seconds >= 60 or (on and not 1900 < on.year < 2200):
        return None
    return on, 3600 * hours + 60 * int(minutes) + seconds, _offset(zone[2]) if zone else None


def _date(day: re.Match[str]) -> date:
    numbers = [int(one) for one in day.groups() if one and one.isdigit()]
    year, month, of_month = numbers if day[1] else numbers[::-1]
    return date(year, month, of_month)


def _offset(text: str) -> timezone:
    """Returns the time zone of Z, UTC+2, +02:00 or +0200."""
    match = re.search(r"([+-])(\d\d?):?(\d\d)?$", text)
    sign, hours, minutes = match.groups("0") if match else ("+", 0, 0)
    return timezone((-1 if sign == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes)))


def _completed(when: When | None, other: When | None) -> When | None:
    """Returns a moment; a day or a time of day that it lacks is of another that agrees with it."""
    nothing: When = (None, None, None)
    day, seconds, zone = when or nothing
    their_day, their_seconds, their_zone = other or nothing
    if seconds is None and day in (None, their_day):
        seconds, zone = their_seconds, their_zone
    whole = day or their_day, seconds, zone
    return None if whole == nothing else whole


def _written(
    when: When | None, later_s: float, clock: tzinfo | None = None, shown_in: tzinfo | None = None
) -> tuple[str, str, float]:
    """Returns time (2024-05-01T05:30:00), date and hour so many seconds later, as far as they are known."""
    day, seconds, zone = when or (None, None, None)
    if seconds is None:
        text = day.isoformat() if day else ""
        return text, text, np.nan
    midnight = datetime.combine(day or date(2000, 1, 1), time(), zone or (clock if day else None))
    later_s = round(seconds + float(np.clip(later_s, -A_YEAR_S, A_YEAR_S)), 3) - seconds
    moment, later = midnight + timedelta(seconds=seconds), timedelta(seconds=later_s)
    if moment.tzinfo:  # where summer time begins, an hour of the clock is none
        moment = (moment.astimezone(UTC) + later).astimezone(day and shown_in or moment.tzinfo)
    else:
        moment += later
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    hour = moment.hour + moment.minute / 60 + (moment.second + moment.microsecond / 1e6) / 3600
    return (text, text[:10], hour) if day else (text[11:], "", hour)
