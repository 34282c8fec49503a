"""squeue."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from hpcsweep.emulator import arrays, client, config, times
from hpcsweep.emulator.messages import INVALID_JOB, UNREACHABLE
from hpcsweep.emulator.programs import options, squeue_rows
from hpcsweep.emulator.programs.format_fields import fitted
from hpcsweep.emulator.programs.squeue_fields import FormatColumn, JobView, columns
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "accounts,A: all,a array,r array-unique Format,O: format,o: federation help hide "
    "!iterate,i: jobs,j: local long,l licenses,L: !cluster,M: !clusters,M: me name,n: "
    "noconvert node>nodelist nodes>nodelist nodelist,w: noheader,h partitions,p: priority,P qos,q: "
    "reservation,R: sib sibling sort,S: start states,t: steps,s:: usage users>user,u: "
    "user,u: verbose,v version,V json !yaml"
)
_DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_LONG = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
_START = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R"
VARIABLES = {
    "SQUEUE_ACCOUNT": "accounts",
    "SQUEUE_ALL": "all",
    "SQUEUE_ARRAY": "array",
    "SQUEUE_FORMAT": "format",
    "SQUEUE_FORMAT2": "Format",
    "SQUEUE_QOS": "qos",
    "SQUEUE_SORT": "sort",
    "SQUEUE_NAMES": "name",
    "SQUEUE_PARTITION": "partitions",
    "SQUEUE_STATES": "states",
    "SQUEUE_USERS": "user",
}
REFUSED_VARIABLES = ("SLURM_TIME_FORMAT",)


def main(state_dir: Path, argv: list[str]) -> int:
    """Print the queue."""
    given = {name: os.environ[key] for key, name in VARIABLES.items() if key in os.environ}
    options.refuse_variables("squeue", *REFUSED_VARIABLES)
    pairs, _ = options.Getopt("squeue", TABLE).read(_steps_apart(argv))
    given |= dict(pairs)
    if options.print_information("squeue", "", TABLE, given):
        return 0
    states = (
        frozenset({"PENDING"})
        if "start" in given
        else squeue_rows.states_of(given.get("states", ""))
    )
    selectors = squeue_rows.selectors_of(given.get("jobs", ""))
    try:
        if "steps" in given:
            return _show_steps(state_dir, given, selectors)
        ids = (
            [selector.job for selector in selectors]
            if "jobs" in given and "json" not in given
            else None
        )
        answer = client.ask(state_dir, {"do": "queue", "ids": ids})
    except ClusterUnavailable:
        options.to_stderr(f"slurm_load_jobs error: {UNREACHABLE}")
        return 1
    if "json" in given:  # all jobs, regardless of filters (22.05.8)
        from hpcsweep.emulator.programs import squeue_json  # noqa: PLC0415  # few want it

        return squeue_json.show(answer["jobs"], config.load(state_dir).cluster_name)
    if not answer["jobs"] and len(selectors) == 1:
        options.to_stderr(f"slurm_load_jobs error: {INVALID_JOB}")
        return 1
    rows = squeue_rows.chosen(answer["jobs"], given, states, selectors)
    rows = squeue_rows.in_order(rows, given, answer["now"])
    _show(rows, _columns(given), given, answer["now"])
    return 0


def _steps_apart(argv: list[str]) -> list[str]:
    """Join `-s JOB.STEP` to one word: -s takes the next word if it names steps."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] in ("-s", "--steps", "--step") and re.fullmatch(r"[\d.,_]+", word):
            words[-1] = f"--steps={word}"
        else:
            words.append(word)
    return words


def _show(
    views: list[JobView], columns: list[FormatColumn], given: dict[str, str], now: float
) -> None:
    if "noheader" not in given:
        if "long" in given:
            print(time.strftime("%a %b %d %H:%M:%S %Y"))
        print("".join(column.text + fitted(column.heading, column.width) for column in columns))
    lines = (
        "".join(column.text + fitted(column.value(view, now), column.width) for column in columns)
        for view in views
    )
    if text := "\n".join(lines):
        print(text)


def _columns(given: dict[str, str]) -> list[FormatColumn]:
    if "Format" in given:
        from hpcsweep.emulator.programs import squeue_names  # noqa: PLC0415  # few want it

        return squeue_names.columns(given["Format"])
    default = _START if "start" in given else _LONG if "long" in given else _DEFAULT
    return columns(given.get("format", default))


def _show_steps(state_dir: Path, given: dict[str, str], selectors: list[arrays.Selector]) -> int:
    """Print running steps for --steps: of all jobs, of --jobs, or the named ones."""
    named = [word for word in given["steps"].split(",") if word]
    answer = client.ask(state_dir, {"do": "steps", "ids": None})
    if "noheader" not in given:
        if "long" in given:
            print(time.strftime("%a %b %d %H:%M:%S %Y"))
        print("         STEPID     NAME PARTITION     USER      TIME NODELIST")
    jobs = {str(selector.job) for selector in selectors}
    for step in sorted(answer["steps"], key=lambda step: (step["job"], step["step"])):
        step_id = f"{step['job']}.{step['step']}"
        if (jobs and step["job"].partition("_")[0] not in jobs) or (
            named and step_id not in named and step["job"] not in named
        ):
            continue
        used = times.elapsed_short(answer["now"] - step["started"])
        cells = (step_id[:15], step["name"][:8], step["partition"][:9], step["user"][:8], used)
        print("{:>15} {:>8} {:>9} {:>8} {:>9}".format(*cells), step["nodes"])
    return 0
