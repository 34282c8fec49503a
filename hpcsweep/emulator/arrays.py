"""Array syntax: values of --array, the display of task ids, and selectors `J`, `J_3`, `J_[1-4]`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpcsweep.errors import InputError

# Slurm 22.05: one more is refused ("Pathname of a file, directory or other parameter too long").
MAX_ARRAY_STRING = 4096
# The array task id (`%a`) of a job that is no element of an array.
NO_TASK = 4294967294
# SLURM_BITSTR_LEN's default, and the width of squeue's buffer when the variable is not set.
DEFAULT_BITSTR_LEN = 64
_JOB_ID_WIDTH = 31

# Slurm 22.05 shows a step (`0-12:2`) if the last id minus the first one is above this.
_LONG = 10

_INTEGER = re.compile(r"\s*[+-]?\d+")
# The highest MaxArraySize that Slurm accepts: every accepted id is below it.
ANY_ID = 4_000_001


def _integer(text: str) -> tuple[int, str]:
    """Like strtol(3): the leading integer (0 if there is none) and the remaining text."""
    match = _INTEGER.match(text)
    if match is None:
        return 0, text
    rest = text[match.end() :]
    return int(match.group()), rest.removeprefix("]")


def _token(text: str, limit: int) -> range:
    """One comma-separated part: `3`, `1-9`, `1-9:2`, each with an optional `%N`."""
    first, rest = _integer(text.removeprefix("["))
    last, step = first, 1
    if rest.startswith("-"):
        last, rest = _integer(rest[1:])
        if rest.startswith(":"):
            step, rest = _integer(rest[1:])
            if not 0 < step < limit:
                raise InputError("Invalid job array specification", where=text)
    if (rest and not rest.startswith("%")) or first < 0 or last < first or last >= limit:
        raise InputError("Invalid job array specification", where=text)
    return range(first, last + 1, step)


def parse_array(text: str, limit: int) -> list[int]:
    """Sorted task ids of an --array value; empty if Slurm makes a plain job of it.

    `limit` is MaxArraySize: every id must be below it. *Raises* InputError.
    """
    ranges = [_token(part, min(limit, ANY_ID)) for part in text.split(",") if part]
    if len(ranges) == 1:
        return list(ranges[0])
    return sorted(set().union(*ranges))


def parse_throttle(text: str) -> int:
    """The `%N` of an --array value; 0 if there is no valid one."""
    _, percent, rest = text.partition("%")
    return max(0, _integer(rest)[0]) if percent else 0


def format_ids(ids: Iterable[int]) -> str:
    """`1,3-5` for sorted ids."""
    parts: list[str] = []
    first = last = -2
    for number in ids:
        if number == last + 1:
            last = number
            continue
        if first >= 0:
            parts.append(f"{first}-{last}" if last > first else f"{first}")
        first = last = number
    if first >= 0:
        parts.append(f"{first}-{last}" if last > first else f"{first}")
    return ",".join(parts)


def format_tasks(ids: Sequence[int]) -> str:
    """Task ids as Slurm shows an array: `0-12:2` for a long one with a constant step."""
    if (
        len(ids) > 1 and ids[-1] - ids[0] == len(ids) - 1
    ):  # the common case, without a pass over all ids
        return f"{ids[0]}-{ids[-1]}"
    if len(ids) > 2 and ids[-1] - ids[0] > _LONG and ids[1] != ids[0] + 1:
        step = ids[1] - ids[0]
        if all(after - before == step for before, after in itertools.pairwise(ids)):
            return f"{ids[0]}-{ids[-1]}:{step}"
    return format_ids(ids)


def cut_ids(text: str, bitstr_len: int = DEFAULT_BITSTR_LEN) -> str:
    """The ids, truncated as Slurm does by SLURM_BITSTR_LEN (0: not truncated)."""
    if bitstr_len <= 0 or len(text) <= bitstr_len - 3:
        return text
    return text[: bitstr_len - 4] + "..."


def array_job_id(base: int, tasks: str, throttle: int, bitstr_len: int | None) -> str:
    """The %i of squeue for the remainder of an array.

    `bitstr_len`: SLURM_BITSTR_LEN of the caller's environment. If it is not set, the text is
    truncated at 31 characters, without a closing bracket.
    """
    length = DEFAULT_BITSTR_LEN if bitstr_len is None else bitstr_len
    limit = f"%{throttle}" if throttle else ""
    text = f"{base}_[{cut_ids(tasks, length)}{limit}]"
    return text[:_JOB_ID_WIDTH] if bitstr_len is None else text


@dataclass(frozen=True, kw_only=True, slots=True)
class Selector:
    """A user's selection: a job or whole array, or some elements of an array."""

    job: int
    # None: the whole job. Empty: nothing (`J_`).
    tasks: tuple[int, ...] | None = None
    # As typed, for messages.
    text: str


_SELECTOR = re.compile(r"(\d+)(_(\[.*\]|\d+)?)?")


def parse_selector(text: str) -> Selector | None:
    """Parse a job id as scancel and scontrol do; None if it is invalid."""
    match = _SELECTOR.fullmatch(text)
    if match is None:
        return None
    job = int(match[1])
    if match[2] is None:
        return Selector(job=job, text=text)
    try:
        tasks = parse_array(match[3] or "", ANY_ID)
    except InputError:
        return None
    return Selector(job=job, tasks=tuple(tasks), text=text)


def split_selectors(text: str) -> list[str]:
    """Split a comma-separated list, but not inside brackets."""
    return [part for part in re.split(r",(?![^\[]*\])", text) if part]
