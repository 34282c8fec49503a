"""sacct: it reads the event log itself, because accounting works without the scheduler."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client, config, events, hostlist, names, times
from hpcsweep.emulator.jobs import Job
from hpcsweep.emulator.logged_state import LoggedState
from hpcsweep.emulator.programs import options, sacct_fields, tabular
from hpcsweep.emulator.programs.sacct_fields import BRIEF, DEFAULT, LONG
from hpcsweep.emulator.programs.sacct_rows import (
    SacctRow,
    job_row,
    phantom_rows,
    srun_row,
    step_row,
)
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "allusers,a accounts,A: allocations,X brief,b batch-script,B completion,c "
    "!constraints,C: delimiter: duplicates,D !federation helpformat,e help-fields>helpformat "
    "endtime,E: env-vars !file,f: !flags,F: gid,g: group>gid,g: help,h local name: "
    "nnodes,i: ncpus,I: jobs,j: !timelimit-min,k: !timelimit-max,K: long,l allclusters,L "
    "cluster>clusters,M: clusters,M: nodelist,N: noconvert units: noheader,n fields>format,o: "
    "format,o: parsable,p parsable2,P qos,q: partition,r: reason: state,s: starttime,S: "
    "truncate,T uid>user,u: use-local-uid,U usage user,u: verbose,v version,V wckeys,W: "
    "!whole-hetjob:: !associations,x: !json !yaml"
)
_OPENING = "slurm_persist_conn_open_without_init"
_REFUSED = (
    f"{_OPENING}: failed to open persistent connection to host:localhost:6819: Connection refused",
    "Sending PersistInit msg: Connection refused",
    "Problem talking to the database: Connection refused",
)


def main(state_dir: Path, argv: list[str]) -> int:
    """Print accounting rows."""
    options.refuse_variables("sacct", "SLURM_TIME_FORMAT")
    pairs, _ = options.Getopt("sacct", TABLE, hint=False).read(argv)
    given = dict(pairs)
    if options.print_information("sacct", "", TABLE, given):
        return 0
    if "helpformat" in given:
        return sacct_fields.show(options.version())
    if "completion" in given:
        options.to_stderr("Slurm job completion is disabled")
        return 1
    _check_units(given.get("units"))
    default = LONG if "long" in given else BRIEF if "brief" in given else DEFAULT
    columns = _columns(given.get("format") or ",".join(default.replace(",", " ").split()))
    jobs = [_selector(word) for value in _all(pairs, "jobs") for word in _words(value)]
    try:  # the ping starts a scheduler: jobs of a dead one end only after its recovery
        answer = client.ask(state_dir, {"do": "ping"})
    except ClusterUnavailable as error:
        if not (state_dir / names.EVENTS).exists():
            options.fail("sacct", str(error))
        answer = {}  # accounting answers without a controller
    if answer.get("accounting_down"):
        for line in _REFUSED:
            options.to_stderr(f"sacct: error: {line}")
        return 1
    rows = _rows(state_dir, given, answer.get("accounting_late_s", 0))
    named = _words(given.get("clusters", "all"))
    if not {"all", "-1", config.load(state_dir).cluster_name} & set(named):
        rows = []  # another cluster, which this accounting does not have
    rows = [row for row in rows if _is_selected(row, given, jobs)]
    if kept := {"batch-script", "env-vars"} & set(given):
        _show_kept(rows, is_script="batch-script" in kept)
        return 0
    _show(rows, columns, given)
    return 0


def _check_units(unit: str | None) -> None:
    if unit is not None and (len(unit) != 1 or unit not in "KMGTP"):
        options.print_error("sacct", f"Invalid unit type '{unit}'. Possible options are 'KMGTP'")
        options.to_stderr("sacct: fatal: Invalid unit type")
        raise SystemExit(1)


def _show_kept(rows: list[SacctRow], *, is_script: bool) -> None:
    """Print scripts or environments: always NONE, as without the option to store them."""
    what = (
        "Batch Script for {}"
        if is_script
        else ("Environment used for {} (must be batch to display)")
    )
    for row in rows:
        if not row["step"]:
            print(what.format(row["shown"]["jobid"]) + "\n" + "-" * 80 + "\nNONE\n")


def _all(pairs: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in pairs if key == name]


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


# -- which rows ------------------------------------------------------------------------------


def _selector(text: str) -> tuple[int, int | None, str]:
    """Job id, array task id or None, step or empty."""
    match = re.fullmatch(r"(\d+)(?:_(\d+))?(?:\.(\w+))?", text)
    if match is None:
        bracket = re.match(r"(\d+)_", text)
        if bracket and not options.version().since("26.05"):
            options.to_stderr(f"sacct: fatal: Bad job array element specified: {bracket[1]}")
        elif bracket:
            what = f"{text}: JobID includes unexpected non-numeric characters"
            options.to_stderr(f"sacct: fatal: Bad job/step specified: {what}")
        else:
            options.to_stderr(f"sacct: fatal: Bad job/step specified: {text}")
        raise SystemExit(1)
    return int(match[1]), int(match[2]) if match[2] else None, match[3] or ""


def _rows(state_dir: Path, given: dict[str, str], late_s: float) -> list[SacctRow]:
    """The rows that accounting has now, in Slurm's order."""
    settings = config.load(state_dir)
    logged, late = _read(state_dir, time.time() - max(late_s, settings.acct_lag_s))
    runs = [job for job, _ in logged.runs.values()]
    last = {job.id: job.restart for job in runs}
    if "duplicates" not in given:
        runs = [job for job in runs if job.restart == last[job.id]]
    rows: list[SacctRow] = []
    for job in sorted(runs, key=_order):
        is_held = job.state == "PENDING" and job.held and not job.restart
        if is_held and not settings.version.since("24.11"):
            continue  # a held job has no row (22.05)
        steps = logged.steps.get((job.id, job.restart), {})
        rows.append(job_row(job, settings, steps))
        if job.started and not job.request.client:
            rows.append(step_row(job))
        rows += [srun_row(job, step) for step in steps.values()]
    if settings.phantom_rows:
        rows += phantom_rows(logged, late)
    return [row for row in rows if "allocations" not in given or not row["step"]]


def _read(state_dir: Path, horizon: float) -> tuple[LoggedState, list[dict[str, Any]]]:
    """The state of the log at the horizon, and later events of jobs."""
    logged, late = LoggedState(), []
    for event in events.read(state_dir / names.EVENTS):
        if event["e"] == "job" and event["at"] > horizon:
            late.append(event)
        elif event["e"] != "drop" or event["id"] in logged.jobs:
            logged.apply(event)
    return logged, late


def _order(job: Job) -> tuple[Any, ...]:
    """Plain jobs first, arrays by id, requeued elements last."""
    task = job.task if job.task is not None else 1 << 32
    return bool(job.request.array), job.request.id, job.restart, task


def _is_selected(
    row: SacctRow, given: dict[str, str], jobs: list[tuple[int, int | None, str]]
) -> bool:
    if jobs and not any(_fits(row, *job) for job in jobs):
        return False
    for option, key in _FILTERS:
        if given.get(option) and row["job"].get(key, "") not in given[option].split(","):
            return False
    if given.get("user") and not {row["job"]["user"], row["job"]["uid"]} & set(
        given["user"].split(",")
    ):
        return False
    if given.get("nodelist") and not set(hostlist.expand_words(row["job"]["nodelist"])) & set(
        hostlist.expand_words(given["nodelist"])
    ):
        return False
    if given.get("state") and not _has_state(row, given["state"]):
        return False
    return (bool(jobs) and "starttime" not in given) or _is_in_window(row, given)


_FILTERS = (
    ("name", "jobname"),
    ("partition", "partition"),
    ("accounts", "account"),
    ("qos", "qos"),
    ("nnodes", "nnodes"),
    ("ncpus", "ncpus"),
    ("wckeys", "wckey"),
    ("gid", "gid"),
)


def _fits(row: SacctRow, job: int, task: int | None, step: str) -> bool:
    if step and row["step"] != step:
        return False
    if task is not None:
        return bool(row["base"] == job and row["task"] == task)
    return job in (row["base"], row["id"])


def _has_state(row: SacctRow, text: str) -> bool:
    states = set()
    for word in text.upper().split(","):
        name = names.LONG_STATES.get(word, word)
        if name not in names.SHORT_STATES:
            options.to_stderr(f"sacct: fatal: unrecognized job state value '{word}'")
            raise SystemExit(1)
        states.add(name)
    return row["state"].partition(" ")[0] in states


def _is_in_window(row: SacctRow, given: dict[str, str]) -> bool:
    """Whether the job existed in the requested period (default: today), in the requested state.

    With --state and without --endtime the period is the moment of --starttime (default: now,
    22.05.8).
    """
    now = time.time()
    since = _midnight()
    if given.get("starttime"):
        since = _moment(given["starttime"])
    elif given.get("state"):
        since = now
    until = now + 1
    if given.get("endtime"):
        until = _moment(given["endtime"])
    elif given.get("state"):
        until = since
    if not row["eligible"] or row["eligible"] > until:
        return False
    if given.get("state"):
        state = row["state"].partition(" ")[0]
        if state == "PENDING":
            return not row["started"] or bool(row["started"] >= since)
        if state != "RUNNING":
            return bool(since <= row["ended"] <= until)
        return bool(row["started"] <= until)
    return not row["ended"] or bool(row["ended"] >= since)


def _midnight() -> float:
    return time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))


def _moment(text: str) -> float:
    moment = times.moment(text, time.time())
    if moment is None:
        options.to_stderr(f"Invalid time specification (pos=0): {text}")
        return time.time()
    return moment


# -- output ------------------------------------------------------------------------------------


def _columns(text: str) -> list[tuple[str, int]]:
    """Field names and widths; a negative width pads on the right."""
    columns = []
    fields = sacct_fields.fields(options.version())
    for word in _words(text):
        name, _, width = word.partition("%")
        key = name.strip().lower()
        if key == "all":
            columns += [(full_name, usual) for full_name, (_, usual) in fields.items()]
            continue
        if key not in fields:
            options.fail("sacct", f'Invalid field requested: "{name}"')
        columns.append((key, int(width) if width else fields[key][1]))
    return columns


def _text(row: SacctRow, key: str, unit: str) -> str:
    text = str(row["shown"].get(key, ""))
    return times.size_in(text, unit) if unit and key in _SIZES else text


# Fields that --units converts.
_SIZES = ("reqmem", "maxrss", "averss", "maxvmsize", "avevmsize")


def _show(rows: list[SacctRow], columns: list[tuple[str, int]], given: dict[str, str]) -> None:
    unit = "M" if "noconvert" in given else given.get("units", "")
    table = [[_text(row, key, unit) for key, _ in columns] for row in rows]
    fields = sacct_fields.fields(options.version())
    heads = [(fields[key][0], width) for key, width in columns]
    tabular.show(heads, table, given, delimiter=given.get("delimiter", "|"))
