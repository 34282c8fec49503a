"""sacct: reads the event log itself, as accounting is a thing apart from the scheduler."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client, config, events, names, options
from hpcsweep.emulator.jobs import Book, Job
from hpcsweep.emulator.sacct_rows import (
    FIELDS,
    KNOWN,
    Row,
    job_row,
    phantom_rows,
    srun_row,
    step_row,
)
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "allusers,a accounts,A: allocations,X brief,b !batch-script,B !completion,c "
    "!constraints,C: delimiter: duplicates,D !federation !helpformat,e !help-fields "
    "endtime,E: !env-vars !file,f: !flags,F: !gid,g: !group,g: !help,h !local name: "
    "!nnodes,i: !ncpus,I: jobs,j: !timelimit-min,k: !timelimit-max,K: !long,l !allclusters,L "
    "!cluster,M: !clusters,M: !nodelist,N: !noconvert !units: noheader,n fields>format,o: "
    "format,o: parsable,p parsable2,P !qos,q: partition,r: !reason,R: state,s: starttime,S: "
    "!truncate,T !uid,u: !use-local-uid,U !usage user,u: !verbose,v version,V !wckeys,W: "
    "!whole-hetjob:: !associations,x: !json !yaml"
)
_DEFAULT = "jobid,jobname,partition,account,alloccpus,state,exitcode"
_OPENING = "slurm_persist_conn_open_without_init"
_REFUSED = (
    f"{_OPENING}: failed to open persistent connection to host:localhost:6819: Connection refused",
    "Sending PersistInit msg: Connection refused",
    "Problem talking to the database: Connection refused",
)
_BRIEF = "jobid,state,exitcode"


def main(state_dir: Path, argv: list[str]) -> int:
    """Print accounting rows."""
    options.refuse_variables("sacct", "SLURM_TIME_FORMAT")
    found, _ = options.Getopt("sacct", TABLE, hint=False).read(argv)
    wanted = dict(found)
    if "version" in wanted:
        return options.version()
    columns = _columns(wanted.get("format") or (_BRIEF if "brief" in wanted else _DEFAULT))
    jobs = [_selector(one) for value in _all(found, "jobs") for one in _words(value)]
    try:  # a dead scheduler's jobs are over only when a new one has seen it
        answer = client.ask(state_dir, {"do": "ping"})
    except ClusterUnavailable as error:
        if not (state_dir / names.EVENTS).exists():
            options.error("sacct", str(error))
        answer = {}  # a dead controller is no obstacle: accounting knows what it knew
    if answer.get("accounting_down"):
        for line in _REFUSED:
            options.say(f"sacct: error: {line}")
        return 1
    rows = _rows(state_dir, wanted, answer.get("accounting_late_s", 0))
    rows = [row for row in rows if _is_wanted(row, wanted, jobs)]
    _show(rows, columns, wanted)
    return 0


def _all(found: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in found if key == name]


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


# -- which rows ------------------------------------------------------------------------------


def _selector(text: str) -> tuple[int, int | None, str]:
    """Job id, array task id or None, step or empty."""
    match = re.fullmatch(r"(\d+)(?:_(\d+))?(?:\.(\w+))?", text)
    if match is None:
        if bracket := re.match(r"(\d+)_", text):
            options.say(f"sacct: fatal: Bad job array element specified: {bracket[1]}")
        else:
            options.say(f"sacct: fatal: Bad job/step specified: {text}")
        raise SystemExit(1)
    return int(match[1]), int(match[2]) if match[2] else None, match[3] or ""


def _rows(state_dir: Path, wanted: dict[str, str], late_s: float) -> list[Row]:
    """Every row that accounting knows of by now, in Slurm's order."""
    settings = config.load(state_dir)
    book, late = _read(state_dir, time.time() - max(late_s, settings.acct_lag_s))
    runs = [job for job, _ in book.runs.values()]
    last = {job.id: job.restart for job in runs}
    if "duplicates" not in wanted:
        runs = [job for job in runs if job.restart == last[job.id]]
    rows: list[Row] = []
    for job in sorted(runs, key=_order):
        if job.state == "PENDING" and job.held and not job.restart:
            continue  # a held job has no row
        steps = book.steps.get((job.id, job.restart), {})
        rows.append(job_row(job, settings, steps))
        if job.started:
            rows.append(step_row(job))
        rows += [srun_row(job, step) for step in steps.values()]
    if settings.phantom_rows:
        rows += phantom_rows(book, late)
    return [row for row in rows if "allocations" not in wanted or not row["step"]]


def _read(state_dir: Path, horizon: float) -> tuple[Book, list[dict[str, Any]]]:
    """What accounting knows, and the events of jobs after the horizon, which it does not."""
    book, late = Book(), []
    for event in events.read(state_dir / names.EVENTS):
        if event["e"] == "job" and event["at"] > horizon:
            late.append(event)
        elif event["e"] != "drop" or event["id"] in book.jobs:
            book.apply(event)
    return book, late


def _order(job: Job) -> tuple[Any, ...]:
    """Plain jobs first, arrays by id, requeued elements last."""
    task = job.task if job.task is not None else 1 << 32
    return bool(job.request.array), job.request.id, job.restart, task


def _is_wanted(row: Row, wanted: dict[str, str], jobs: list[tuple[int, int | None, str]]) -> bool:
    if jobs and not any(_fits(row, *one) for one in jobs):
        return False
    for option, key in (("name", "jobname"), ("partition", "partition"), ("accounts", "account")):
        if wanted.get(option) and row["job"][key] not in wanted[option].split(","):
            return False
    if wanted.get("user") and not {row["job"]["user"], row["job"]["uid"]} & set(
        wanted["user"].split(",")
    ):
        return False
    if wanted.get("state") and not _has_state(row, wanted["state"]):
        return False
    return (bool(jobs) and "starttime" not in wanted) or _is_in_window(row, wanted)


def _fits(row: Row, job: int, task: int | None, step: str) -> bool:
    if step and row["step"] != step:
        return False
    if task is not None:
        return bool(row["base"] == job and row["task"] == task)
    return job in (row["base"], row["id"])


def _has_state(row: Row, text: str) -> bool:
    long_names = {short: name for name, short in names.SHORT_STATES.items()}
    states = set()
    for word in text.upper().split(","):
        name = long_names.get(word, word)
        if name not in names.SHORT_STATES:
            options.say(f"sacct: fatal: unrecognized job state value '{word}'")
            raise SystemExit(1)
        states.add(name)
    return row["state"].partition(" ")[0] in states


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _is_in_window(row: Row, wanted: dict[str, str]) -> bool:
    """Whether the job could have run in the time asked for, by default today."""
    today = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))
    since = _moment(wanted["starttime"]) if wanted.get("starttime") else today
    until = _moment(wanted["endtime"]) if wanted.get("endtime") else time.time() + 1
    is_open = not row["ended"] or row["ended"] >= since
    return bool(row["eligible"]) and row["eligible"] <= until and is_open


def _moment(text: str) -> float:
    if match := re.fullmatch(r"now(?:-(\d+)([a-z]*))?", text):
        unit = _UNITS.get((match[2] or "s")[0])
        if unit:
            return time.time() - int(match[1] or 0) * unit
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"):
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            continue
    options.say(f"sacct: error: slurm_parse_time: invalid time {text}")
    raise SystemExit(1)


# -- how they are shown ------------------------------------------------------------------------


def _columns(text: str) -> list[tuple[str, int]]:
    """Field names and widths; a negative width pads on the right."""
    found = []
    for word in _words(text):
        name, _, width = word.partition("%")
        key = name.strip().lower()
        if key not in KNOWN:
            options.error("sacct", f'Invalid field requested: "{name}"')
        if key not in FIELDS:
            options.not_emulated("sacct", f"field {KNOWN[key]}")
        found.append((key, int(width) if width else FIELDS[key]))
    return found


def _show(rows: list[Row], columns: list[tuple[str, int]], wanted: dict[str, str]) -> None:
    ends = "parsable" in wanted
    delimiter = wanted.get("delimiter", "|")
    lines = []
    table = [[row["shown"].get(key, "") for key, _ in columns] for row in rows]
    if "noheader" not in wanted:
        heads = [KNOWN[key] for key, _ in columns]
        if not ends and "parsable2" not in wanted:
            heads = [name[: abs(width)] for name, (_, width) in zip(heads, columns, strict=True)]
        table.insert(0, heads)
    if ends or "parsable2" in wanted:
        lines = [delimiter.join(cells) + (delimiter if ends else "") for cells in table]
    else:
        widths = [width for _, width in columns]
        lines = ["".join(map(_fitted, cells, widths)) for cells in table]
        if "noheader" not in wanted:
            lines.insert(1, "".join("-" * abs(width) + " " for width in widths))
    text = "".join(line + "\n" for line in lines)
    print(text, end="")


def _fitted(text: str, width: int) -> str:
    size = abs(width)
    if len(text) > size:
        text = text[: size - 1] + "+"
    return (text.ljust(size) if width < 0 else text.rjust(size)) + " "
