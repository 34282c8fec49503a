"""scontrol: show, write and ping; changes are in `scontrol_change`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hpcsweep.emulator import arrays, client, hostlist, identity
from hpcsweep.emulator.messages import INVALID_JOB, UNREACHABLE
from hpcsweep.emulator.programs import options, scontrol_change, scontrol_job, scontrol_show
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "all,a !cluster,M: !clusters,M: details,d federation future,F help,h hide local "
    "oneliner,o quiet,Q sibling !uid,u: usage verbose,v version,V"
)
# What it has from 24.11 on; 22.05 does not.
_NEWER = options.table("!json:: !yaml::")
# Commands of real scontrol that are refused by name.
_NOT_EMULATED = (
    *("abort", "all", "cancel_reboot", "cluster", "completing", "create"),
    *("delete", "details", "errnumstr", "fsdampeningfactor", "hide", "listpids"),
    *("notify", "oneliner", "pidinfo", "quiet", "reboot", "reconfigure"),
    *("schedloglevel", "setdebug", "setdebugflags", "shutdown", "takeover", "token"),
    *("verbose", "wait_job"),
)
_ENTITIES = (
    *("config", "job", "jobs", "node", "nodes", "partitions", "hostlist", "hostlistsorted"),
    *("hostnames", "reservations", "licenses", "topology", "daemons", "steps"),
)
_OTHER_ENTITIES = (
    *("aliases", "assoc_mgr", "bbstat", "burstbuffer", "dwstat", "federation", "frontend"),
    "slurmd",
)
# The output for entities that an emulated cluster never has.
_NOTHING = {
    "reservations": "No reservations in the system",
    "licenses": "No licenses configured in Slurm.",
    "daemons": "slurmctld slurmd",
}


def main(state_dir: Path, argv: list[str]) -> int:
    """Run one command."""
    options.refuse_variables("scontrol", "SLURM_TIME_FORMAT")
    table = TABLE | _NEWER if options.version().since("24.11") else TABLE
    pairs, words = options.Getopt("scontrol", table).read(argv)
    given = dict(pairs)
    if words[:1] in (["version"], ["help"]):
        given[words[0]] = ""
    if options.print_information("scontrol", "[COMMAND [ARGUMENT...]]", TABLE, given):
        return 0
    if not words:
        options.refuse("scontrol", "interactive mode")
    verb, *rest = words
    try:
        if verb in scontrol_change.CHANGES:
            return scontrol_change.change(state_dir, verb, rest)
        if verb in _VERBS:
            return _VERBS[verb](state_dir, rest, given)
    except ClusterUnavailable:
        options.to_stderr(f"slurm_load_jobs error: {UNREACHABLE}")
        return 1
    if verb in _NOT_EMULATED:
        options.refuse("scontrol", f"command {verb}")
    options.to_stderr(f"invalid keyword: {verb}")
    return 1


def _ping(state_dir: Path, _words: list[str], _given: dict[str, str]) -> int:
    host = identity.host_name()
    try:
        client.ask(state_dir, {"do": "ping"})
    except ClusterUnavailable:
        print(f"Slurmctld(primary) at {host} is DOWN")
        return 1
    print(f"Slurmctld(primary) at {host} is UP")
    return 0


def _show(state_dir: Path, words: list[str], given: dict[str, str]) -> int:
    if not words:
        options.to_stderr("too few arguments for keyword:show")
        return 1
    entity, *rest = words
    full_name = next(
        (name for name in _ENTITIES if len(entity) > 2 and name.startswith(entity)), ""
    )
    if full_name.startswith("host"):
        return _show_hosts(entity, rest)
    if full_name in _NOTHING:
        print(_NOTHING[full_name])
        return 0
    if full_name:
        return _show_known(state_dir, full_name, rest[0] if rest else "", given)
    if any(len(entity) > 2 and name.startswith(entity) for name in _OTHER_ENTITIES):
        options.refuse("scontrol", f"show {entity}")
    end = "" if options.version().since("26.05") else " "
    options.to_stderr(f"invalid entity:{entity} for keyword:show{end}")
    return 1


def _show_known(state_dir: Path, entity: str, name: str, given: dict[str, str]) -> int:
    one_line = "oneliner" in given
    if entity == "topology":
        if not options.version().since("24.11"):
            options.print_error("scontrol", "No topology information available")
        return 0
    if entity == "steps":
        return _show_steps(state_dir, name, one_line)
    if entity.startswith("job"):
        return _show_job(state_dir, name, one_line, "details" in given)
    answer = client.ask(state_dir, {"do": "cluster"})
    if entity == "config":
        return scontrol_show.show_config(answer)
    if entity.startswith("node"):
        return scontrol_show.show_nodes(answer, name, one_line)
    return scontrol_show.show_partitions(answer, name, one_line)


def _show_hosts(entity: str, words: list[str]) -> int:
    """Expand or fold node lists: of the argument, or of SLURM_NODELIST as in 22.05.8."""
    text = ",".join(words) or os.environ.get("SLURM_NODELIST", "")
    try:
        names = hostlist.expand(text)
    except ValueError:
        names = []
    if not names:
        what = "host list is empty" if not text else f"Invalid hostlist: {text}"
        options.print_error("scontrol", what)
        return 0 if not text else 1
    if entity.startswith("hostn"):
        print("\n".join(names))
    else:
        print(hostlist.fold(sorted(set(names)) if entity == "hostlistsorted" else names))
    return 0


def _show_steps(state_dir: Path, name: str, one_line: bool) -> int:
    job, _, step = name.partition(".")
    selector = arrays.parse_selector(job) if job else None
    answer = client.ask(state_dir, {"do": "steps", "ids": [selector.job] if selector else None})
    for facts in answer["steps"]:
        if step in ("", facts["step"]) and (
            selector is None or not selector.tasks or facts["task"] in selector.tasks
        ):
            scontrol_show.show_step(facts, one_line)
    return 0


def _show_job(state_dir: Path, name: str, one_line: bool, details: bool) -> int:
    selector = arrays.parse_selector(name) if name else None
    if name and (selector is None or "[" in name):
        options.to_stderr(f"scontrol_print_job error: {INVALID_JOB}")
        return 1
    ids = [selector.job] if selector else None
    views = client.ask(state_dir, {"do": "queue", "ids": ids})["jobs"]
    if selector and not views:
        options.to_stderr(f"slurm_load_jobs error: {INVALID_JOB}")
        return 1
    shown = []
    for view in views:
        if selector is None or selector.tasks is None or view["task"] in selector.tasks:
            shown.append(view)
        elif view["tasks"] and set(selector.tasks) & set(
            arrays.parse_array(view["tasks"], arrays.ANY_ID)
        ):
            shown.append(_element(view, selector.tasks[0]))
    for view in shown:
        scontrol_job.show_job(view, one_line, details)
    if not shown:
        print(f"Job {name} not found" if name else "No jobs in the system")
        return 1 if name else 0
    return 0


def _element(view: dict[str, Any], task: int) -> dict[str, Any]:
    """A pending element of an array's remainder, as a row of its own."""
    paths = {key: view[key].replace(str(arrays.NO_TASK), str(task)) for key in ("stdout", "stderr")}
    return view | paths | {"task": task, "tasks": ""}


def _write(state_dir: Path, words: list[str], _given: dict[str, str]) -> int:
    """`write batch_script JOB [FILE|-]`."""
    if len(words) < 2 or not "batch_script".startswith(words[0]):
        options.refuse("scontrol", f"write {' '.join(words)}".rstrip())
    selector = arrays.parse_selector(words[1])
    answer: dict[str, Any] = {"error": INVALID_JOB}
    if selector is not None:
        answer = client.ask(state_dir, {"do": "script", "job": selector.job})
    if "error" in answer:
        why = ": ".join(filter(None, (answer.get("detail"), answer["error"])))
        options.to_stderr(f"job script retrieval failed: {why}")
        return 0  # as 22.05.8 does
    path = words[2] if len(words) > 2 else f"slurm-{words[1]}.sh"
    if path == "-":
        print(answer["script"], end="")
        return 0
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(answer["script"])
    os.chmod(path, 0o700)
    print(f"batch script for job {words[1]} written to {path}")
    return 0


_VERBS = {"show": _show, "update": scontrol_change.update, "write": _write, "ping": _ping}
