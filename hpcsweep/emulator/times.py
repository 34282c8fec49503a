"""Times, durations and sizes in Slurm's formats."""

from __future__ import annotations

import re
import time

_DAY = 86400


def stamp(when: float, missing: str) -> str:
    """Local time as `2026-11-20T13:35:58`; `missing` for 0."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(when)) if when else missing


def elapsed_short(seconds: float) -> str:
    """A duration in squeue's format: `0:05`, `1:02:03`, `1-02:03:04`."""
    days, hours, minutes, rest = _split(seconds)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def elapsed_long(seconds: float) -> str:
    """A duration in sacct's and scontrol's format: `00:00:05`, `1-02:03:04`."""
    days, hours, minutes, rest = _split(seconds)
    return (f"{days}-" if days else "") + f"{hours:02}:{minutes:02}:{rest:02}"


def _split(seconds: float) -> tuple[int, int, int, int]:
    whole = max(0, int(seconds))
    return whole // _DAY, whole // 3600 % 24, whole // 60 % 60, whole % 60


_LIMIT = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def parse_minutes(text: str) -> int | None:
    """A --time value in minutes, rounded up; 0 is no limit, None is invalid.

    Forms: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S.
    """
    if text.lower() in ("unlimited", "infinite") or re.fullmatch(r"-\d+", text):
        return 0  # Slurm 22.05 takes -5 for no limit at all
    match = _LIMIT.fullmatch(text)
    if match is None:
        return None
    days, *numbers = (int(part) if part else None for part in match.groups())
    first, second, third = numbers
    if days is not None:
        hours, minutes, seconds = first or 0, second or 0, third or 0
    elif third is not None:
        hours, minutes, seconds = first or 0, second or 0, third
    else:
        hours, minutes, seconds = 0, first or 0, second or 0
    total = ((days or 0) * 24 + hours) * 3600 + minutes * 60 + seconds
    return -(-total // 60)


_SIZE = re.compile(r"(\d+)([kmgt]?)b?", re.IGNORECASE)


def parse_megabytes(text: str) -> int | None:
    """A --mem value in megabytes, kilobytes rounded up; None is invalid."""
    match = _SIZE.fullmatch(text)
    if match is None or (text[-1] in "bB" and not match[2]):
        return None
    number = int(match[1])
    return {
        "k": -(-number // 1024),
        "": number,
        "m": number,
        "g": number << 10,
        "t": number << 20,
    }[match[2].lower()]


def show_megabytes(megabytes: int) -> str:
    """`100M`, `1G`, `1T`; 0 stays `0`."""
    for unit, size in (("T", 1 << 20), ("G", 1 << 10)):
        if megabytes and megabytes % size == 0:
            return f"{megabytes // size}{unit}"
    return f"{megabytes}M" if megabytes else "0"


def size(megabytes: float) -> str:
    """A size in accounting's format, `100M` or `2G`: the largest unit without a remainder."""
    whole = int(megabytes)
    return f"{whole // 1024}G" if whole % 1024 == 0 else f"{whole}M"


def cpu_time(seconds: float) -> str:
    """Processor time in accounting's format: `00:00:00`, `01:02.345`, `01:02:03`, `1-02:03:04`."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    if whole < 3600 and milliseconds:
        return f"{whole // 60:02}:{whole % 60:02}.{milliseconds:03}"
    return elapsed_long(whole)


def size_in(text: str, unit: str) -> str:
    """A size such as `100M` in another unit: `0.10G`, `102400K`."""
    units = "KMGTP"
    if not text or text[-1] not in units:
        return text
    value = int(text[:-1]) * 1024.0 ** (units.index(text[-1]) - units.index(unit))
    return f"{int(value)}{unit}" if value == int(value) else f"{value:.2f}{unit}"


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DATES = ("%Y-%m-%d", "%m/%d/%y", "%m/%d", "%m%d%y")
_CLOCKS = ("", "T%H:%M", "T%H:%M:%S", "-%H:%M", "-%H:%M:%S")
_HOURS = {"midnight": "00:00", "noon": "12:00", "teatime": "16:00", "fika": "15:00"}


def moment(text: str, now: float) -> float | None:
    """Parse a point in time like Slurm's options; None if it is invalid.

    `now-2days`, `2026-11-29[T12:00[:00]]`, `11/29[/26]`, `112926`, `12:00`, `today`, `noon`.
    """
    if match := re.fullmatch(r"now(?:([+-])(\d+)([a-z]*))?", text):
        size = _UNITS.get((match[3] or "s")[0])
        if size is None:
            return None
        return now + int(match[2] or 0) * size * (-1 if match[1] == "-" else 1)
    today = time.strftime("%Y-%m-%d", time.localtime(now))
    if text in ("today", "tomorrow"):
        later = 0 if text == "today" else _DAY
        return time.mktime(time.strptime(today, "%Y-%m-%d")) + later
    text = _HOURS.get(text, text)
    for day in _DATES:
        for clock in _CLOCKS:
            if result := _read(text, day + clock, now):
                return result
    return _read(f"{today}T{text}", "%Y-%m-%dT%H:%M", now) or _read(
        f"{today}T{text}", "%Y-%m-%dT%H:%M:%S", now
    )


def _read(text: str, form: str, now: float) -> float | None:
    """Parse a time in this format; the current year if the format has none."""
    if "%y" not in form and "%Y" not in form:
        text, form = f"{time.localtime(now).tm_year} {text}", f"%Y {form}"
    try:
        return time.mktime(time.strptime(text, form))
    except ValueError:
        return None
