"""scontrol: show, hold, release, requeue, a few updates, ping."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hpcsweep.emulator import arrays, client, options, scontrol_show, times, who
from hpcsweep.errors import ClusterUnavailable

TABLE = options.table(
    "!all,a !cluster,M: !clusters,M: !details,d !federation !future,F !help,h !hide !local "
    "oneliner,o !quiet,Q !sibling !uid,u: !usage !verbose,v version,V"
)
_UNREACHABLE = "Unable to contact slurm controller (connect failure)"
_INVALID_JOB = "Invalid job id specified"
CHANGES = {"hold": "hold", "uhold": "uhold", "holdu": "uhold", "release": "release"}
# Real ones, refused by name.
_NOT_EMULATED = (
    *("abort", "all", "cancel_reboot", "cluster", "completing", "create"),
    *("delete", "details", "errnumstr", "fsdampeningfactor", "help", "hide"),
    *("listpids", "notify", "oneliner", "pidinfo", "quiet", "reboot"),
    *("reconfigure", "resume", "schedloglevel", "setdebug", "setdebugflags"),
    *("shutdown", "suspend", "takeover", "top", "token", "verbose"),
    *("wait_job", "write"),
)
_ENTITIES = ("config", "job", "jobs", "node", "nodes", "partitions")
_OTHER_ENTITIES = (
    *("aliases", "assoc_mgr", "bbstat", "burstbuffer", "daemons", "dwstat", "federation"),
    *("frontend", "hostlist", "hostlistsorted", "hostnames", "licenses", "reservations", "steps"),
    *("slurmd", "topology"),
)


def main(state_dir: Path, argv: list[str]) -> int:
    """Run one command."""
    options.refuse_variables("scontrol", "SLURM_TIME_FORMAT")
    found, words = options.Getopt("scontrol", TABLE).read(argv)
    wanted = dict(found)
    if "version" in wanted or words[:1] == ["version"]:
        return options.version()
    if not words:
        options.not_emulated("scontrol", "interactive mode")
    verb, *rest = words
    try:
        if verb == "show":
            return _show(state_dir, rest, one_line="oneliner" in wanted)
        if verb in CHANGES or verb in ("requeue", "requeuehold"):
            return _change(state_dir, verb, rest)
        if verb == "update":
            return _update(state_dir, rest)
        if verb == "ping":
            return _ping(state_dir)
    except ClusterUnavailable:
        options.say(f"slurm_load_jobs error: {_UNREACHABLE}")
        return 1
    if verb in _NOT_EMULATED:
        options.not_emulated("scontrol", f"command {verb}")
    options.say(f"invalid keyword: {verb}")
    return 1


def _ping(state_dir: Path) -> int:
    host = who.host_name()
    try:
        client.ask(state_dir, {"do": "ping"})
    except ClusterUnavailable:
        print(f"Slurmctld(primary) at {host} is DOWN")
        return 1
    print(f"Slurmctld(primary) at {host} is UP")
    return 0


def _show(state_dir: Path, words: list[str], *, one_line: bool) -> int:
    if not words:
        options.say("too few arguments for keyword:show")
        return 1
    entity, *rest = words
    known = next((one for one in _ENTITIES if len(entity) > 2 and one.startswith(entity)), "")
    name = rest[0] if rest else ""
    if known == "config":
        scontrol_show.show_config(client.ask(state_dir, {"do": "cluster"}))
        return 0
    if known.startswith("node"):
        return scontrol_show.show_nodes(client.ask(state_dir, {"do": "cluster"}), name, one_line)
    if known == "partitions":
        answer = client.ask(state_dir, {"do": "cluster"})
        return scontrol_show.show_partitions(answer, name, one_line)
    if known.startswith("job"):
        return _show_job(state_dir, name, one_line)
    if any(len(entity) > 2 and one.startswith(entity) for one in _OTHER_ENTITIES):
        options.not_emulated("scontrol", f"show {entity}")
    options.say(f"invalid entity:{entity} for keyword:show ")
    return 1


def _show_job(state_dir: Path, name: str, one_line: bool) -> int:
    one = arrays.parse_selector(name) if name else None
    if name and (one is None or "[" in name):
        options.say(f"scontrol_print_job error: {_INVALID_JOB}")
        return 1
    views = client.ask(state_dir, {"do": "queue", "ids": [one.job] if one else None})["jobs"]
    if one and not views:
        options.say(f"slurm_load_jobs error: {_INVALID_JOB}")
        return 1
    shown = []
    for view in views:
        if one is None or one.tasks is None or view["task"] in one.tasks:
            shown.append(view)
        elif view["tasks"] and set(one.tasks) & set(
            arrays.parse_array(view["tasks"], arrays.ANY_ID)
        ):
            shown.append(_element(view, one.tasks[0]))
    for view in shown:
        scontrol_show.show_job(view, one_line)
    if not shown:
        print(f"Job {name} not found" if name else "No jobs in the system")
        return 1 if name else 0
    return 0


def _element(view: dict[str, Any], task: int) -> dict[str, Any]:
    """An element that waits in an array's rest, as a row of its own."""
    paths = {key: view[key].replace(str(arrays.NO_TASK), str(task)) for key in ("stdout", "stderr")}
    return view | paths | {"task": task, "tasks": ""}


def _change(state_dir: Path, verb: str, words: list[str]) -> int:
    """hold, release, requeue of jobs."""
    if not words:
        options.say(f"too few arguments for keyword:{verb}")
        return 1
    code = 0
    for text in [part for word in words for part in arrays.split_selectors(word)]:
        change = CHANGES.get(verb, verb)
        code = _change_one(state_dir, text, {"change": change}) or code
    return code


def _change_one(state_dir: Path, text: str, how: dict[str, Any]) -> int:
    one = arrays.parse_selector(text)
    answer: dict[str, Any] = {"error": _INVALID_JOB}
    if one is not None:
        question = {"do": "change", "job": one.job, "tasks": one.tasks, "uid": os.getuid()}
        answer = client.ask(state_dir, question | how)
    if "error" in answer:
        return _complain(text, answer["error"], how["change"])
    return _report(text, answer["results"], how["change"])


def _complain(text: str, error: str, change: str) -> int:
    options.say(f"{error} for job {text}")
    if change in CHANGES:
        options.say(f"slurm_suspend error: {error}")
    return 1


def _report(text: str, results: list[dict[str, Any]], change: str) -> int:
    """Slurm's words where something went wrong: per array and error, good ones included."""
    if not any(one["error"] for one in results):
        return 0
    grouped: dict[str, list[int]] = {}
    for one in results:
        if not one["array"]:
            return _complain(text, one["error"], change)
        grouped.setdefault(one["error"], []).extend(one["tasks"])
    base = text.partition("_")[0]
    for error in sorted(grouped, key=lambda one: min(grouped[one])):
        tasks = arrays.format_tasks(sorted(grouped[error]))
        options.say(f"{base}_{tasks}: {error or 'No error'}")
    return 1


def _update(state_dir: Path, words: list[str]) -> int:
    if not words:
        options.say("too few arguments for update keyword")
        return 1
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            options.say(f"Invalid input: {word}\nRequest aborted")
            return 1
        pairs[key.lower()] = (word, value)
    if "jobid" in pairs:
        return _update_job(state_dir, pairs)
    if "nodename" in pairs:
        return _update_node(state_dir, pairs)
    return options.not_emulated("scontrol", f"update {words[0]}")


def _update_job(state_dir: Path, pairs: dict[str, tuple[str, str]]) -> int:
    for key, (word, _) in pairs.items():
        if key not in ("jobid", "arraytaskthrottle", "timelimit"):
            options.not_emulated("scontrol", f"update of a job with {word.partition('=')[0]}")
    code = 0
    if "arraytaskthrottle" in pairs:
        value = pairs["arraytaskthrottle"][1]
        how = {"change": "throttle", "value": int(value) if value.isdigit() else 0}
        code = _change_one(state_dir, pairs["jobid"][1], how)
    if "timelimit" in pairs:
        minutes = times.parse_minutes(pairs["timelimit"][1])
        if minutes is None:
            options.error("scontrol", "Invalid TimeLimit value")
        how = {"change": "timelimit", "value": minutes}
        code = _change_one(state_dir, pairs["jobid"][1], how) or code
    return code


def _update_node(state_dir: Path, pairs: dict[str, tuple[str, str]]) -> int:
    for key, (word, _) in pairs.items():
        if key not in ("nodename", "state", "reason"):
            options.not_emulated("scontrol", f"update of a node with {word.partition('=')[0]}")
    state = pairs.get("state", ("", ""))[1].lower()
    if state not in ("down", "resume", "idle"):
        options.not_emulated("scontrol", f"update of a node with State={state}")
    reason = pairs.get("reason", ("", ""))[1]
    if state == "down" and not reason:
        options.say("You must specify a reason when DOWNING or DRAINING a node. Request denied")
        return 1
    question = {
        "do": "update_node",
        "nodes": pairs["nodename"][1].split(","),
        "down": reason if state == "down" else "",
    }
    answer = client.ask(state_dir, question)
    if "error" in answer:
        options.say(f"slurm_update error: {answer['error']}")
        return 1
    return 0
