"""scancel."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import Any

from hpcsweep.emulator import arrays, client, identity, names
from hpcsweep.emulator.messages import ALREADY_OVER, INVALID_JOB, UNREACHABLE
from hpcsweep.emulator.programs import options
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "account,A: batch,b ctld full,f help hurry,H !interactive,i !cluster,M: !clusters,M: "
    "jobname>name,n: me name,n: !nodelist,w: partition,p: qos,q: quiet,Q !reservation,R: "
    "!sibling: signal,s: state,t: usage user,u: verbose,v version,V wckey:"
)
_FILTERS = {
    "name": "name",
    "partition": "partition",
    "account": "account",
    "state": "state",
    "qos": "qos",
    "wckey": "wckey",
}
_NOT_NOW = "Job can not be altered now, try again later"
# Exit codes are Slurm's error numbers, truncated to a byte.
_CODES = {UNREACHABLE: 8, _NOT_NOW: 228}
# Slurm 22.05 waits 5, 6, 7, ... seconds between its tries: 95 in total.
_RETRIES = 10
_FIRST_WAIT_S = 5


def main(state_dir: Path, argv: list[str]) -> int:
    """Cancel or signal jobs."""
    pairs, operands = options.Getopt("scancel", TABLE).read(argv)
    given = dict(pairs)
    if options.print_information("scancel", "[JOB...]", TABLE, given):
        return 0
    filters = _filters(given)
    number = _signal(given)
    selectors = _selectors(operands)
    if not selectors and not filters:
        options.fail("scancel", "No job identification provided")
    if filters:
        selectors = _matching(state_dir, filters, selectors)
        if not selectors and "verbose" in given:
            _report_none(given)
    code = 0
    for selector in selectors:
        if selector.tasks == ():
            continue
        question = {
            "do": "cancel",
            "job": selector.job,
            "tasks": selector.tasks,
            "signal": number,
            "batch": "batch" in given,
            "full": "full" in given,
            "uid": os.getuid(),
        }
        code = _cancel(state_dir, selector.text, question, is_verbose="verbose" in given) or code
    return code


# The names of filters in the message of 22.05.8 if no job matches.
_WORDS = {
    "account": "account",
    "name": "job_name",
    "partition": "partition",
    "qos": "qos",
    "state": "state",
    "user": "user_name",
    "wckey": "wckey",
}


def _report_none(given: dict[str, str]) -> None:
    filters = (f"{word}={given[name]} " for name, word in _WORDS.items() if given.get(name))
    text = f"No active jobs match ALL job filters, including: {''.join(filters)}"
    options.print_error("scancel", text)


def _filters(given: dict[str, str]) -> dict[str, list[str]]:
    # One value each: Slurm 22.05 reads `-n a,b` as a name with a comma.
    filters = {key: [given[name]] for name, key in _FILTERS.items() if given.get(name)}
    if "state" in filters:
        state = given["state"].upper()
        filters["state"] = [names.LONG_STATES.get(state, state)]
        if filters["state"][0] not in ("PENDING", "RUNNING", "SUSPENDED"):
            options.to_stderr(f"Invalid job state specified: {given['state']}")
            options.to_stderr("Valid job states are PENDING, RUNNING, and SUSPENDED")
            raise SystemExit(1)
    if "me" in given:
        filters["user"] = [identity.user_name(os.getuid())]
    elif given.get("user"):
        name = given["user"]
        try:
            entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        except KeyError:
            options.fail("scancel", f"Invalid user name: {name}")
        filters["user"] = [entry.pw_name]
    return filters


def _signal(given: dict[str, str]) -> int | None:
    if "signal" not in given:
        return None
    number = options.signal_number(given["signal"])
    if not number:
        options.to_stderr(f"Unknown job signal: {given['signal']}")
        raise SystemExit(1)
    return number


def _selectors(operands: list[str]) -> list[arrays.Selector]:
    """The named jobs; an invalid id stops the program."""
    selectors = []
    for text in [part for word in operands for part in arrays.split_selectors(word)]:
        selector = arrays.parse_selector(text)
        if selector is None:
            options.fail("scancel", f"Invalid job id {text}")
        selectors.append(selector)
    return selectors


def _matching(
    state_dir: Path, filters: dict[str, list[str]], selectors: list[arrays.Selector]
) -> list[arrays.Selector]:
    """The jobs that match the filters, and the selectors if there are any."""
    try:
        answer = client.ask(state_dir, {"do": "matching", "filters": filters})
    except ClusterUnavailable:
        options.fail("scancel", f"Unable to load jobs: {UNREACHABLE}")
    matches = []
    for job in answer["found"]:
        tasks = None if job["tasks"] is None else set(job["tasks"])
        if selectors:
            fitting = [sel for sel in selectors if sel.job in (job["job"], job["id"])]
            if not fitting:
                continue
            if tasks is not None and all(sel.tasks is not None for sel in fitting):
                tasks &= {task for sel in fitting for task in sel.tasks or ()}
        matches.append(
            arrays.Selector(
                job=job["job"],
                tasks=None if tasks is None else tuple(sorted(tasks)),
                text=str(job["job"]),
            )
        )
    return matches


def _cancel(state_dir: Path, text: str, question: dict[str, Any], *, is_verbose: bool) -> int:
    """Cancel or signal one target. Returns the exit code."""
    number = question["signal"]
    if is_verbose:
        what = "Terminating job" if number is None else f"Signal {number} to job"
        options.to_stderr(f"scancel: {what} {text}")
    for attempt in range(_RETRIES + 1):
        try:
            answer = client.ask(state_dir, question)
        except ClusterUnavailable:
            answer = {"error": UNREACHABLE}
        if not answer.get("transitional"):
            break
        if attempt == _RETRIES:
            answer = {"error": _NOT_NOW, "shown": answer["shown"]}
            break
        if is_verbose:
            options.to_stderr("scancel: Job is in transitional state, retrying")
        time.sleep((_FIRST_WAIT_S + attempt) * answer["scale"])
    if "error" not in answer:
        return 0
    error = answer["error"]
    # Cancelling a job that has ended or never existed is no error; a signal to it is one.
    is_silent = error in (INVALID_JOB, ALREADY_OVER) and number is None
    if error == ALREADY_OVER and not is_silent:
        error = INVALID_JOB
    if not is_silent or is_verbose:
        shown = answer.get("shown") or text
        options.to_stderr(f"scancel: error: Kill job error on job id {shown}: {error}")
    return 0 if is_silent else _CODES.get(error, 1)
