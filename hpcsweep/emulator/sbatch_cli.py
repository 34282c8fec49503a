"""sbatch."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client, config, dependencies, options, times, who
from hpcsweep.emulator import sbatch_options as given
from hpcsweep.errors import ClusterUnavailable, InputError

_FAILED = "Batch job submission failed: "
_GRES = "Invalid generic resource (gres) specification"
_UNREACHABLE = "Unable to contact slurm controller (connect failure)"
# Slurm 22.05 asks 16 times where the cluster is full, a second more apart each time.
_RETRIES = 15


def main(state_dir: Path, argv: list[str]) -> int:
    """Submit a script."""
    command, operands = given.from_words(argv)
    if "version" in command:
        return options.version()
    script, name, path = _read_script(command, operands)
    environment = given.from_environment(os.environ)
    wanted = given.merge(command, environment, given.from_script(script))
    _check_cluster(state_dir, wanted.get("clusters", ""))
    question = _question(wanted, name, argv)
    question["request"]["command"] = path
    question["request"]["arguments"] = operands[1:]
    question["script"] = script
    answer = _submit(state_dir, question)
    if "test-only" in wanted:
        options.say(
            f"sbatch: Job {answer['job']} to start at {times.stamp(time.time(), '')} using "
            f"{answer['cpus']} processors on nodes n1 in partition {answer['partition']}"
        )
        return 0
    _announce(wanted, answer["job"])
    return 0


# -- the script ------------------------------------------------------------------------------


def _read_script(command: given.Layer, operands: list[str]) -> tuple[str, str, str]:
    """The text, the default job name and the path (empty where there is none)."""
    if "wrap" in command:
        if operands:
            given.refuse("Script arguments not permitted with --wrap option")
        text = f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{command['wrap']}\n"
        return text, "wrap", ""
    if not operands:
        return _checked(sys.stdin.buffer.read()), "sbatch", ""
    path = _find(operands[0])
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except IsADirectoryError:
        data = b""
    except OSError:
        given.refuse(f"Unable to open file {operands[0]}")
    return _checked(data), os.path.basename(path), os.path.abspath(path)


def _find(name: str) -> str:
    """A bare name is looked for here and then on PATH."""
    if "/" in name or os.path.exists(name):
        return name
    for directory in os.get_exec_path():
        if os.path.isfile(path := os.path.join(directory, name)):
            return path
    return name


def _checked(data: bytes) -> str:
    """A script that sbatch accepts, as text."""
    if not data:
        given.refuse("Batch script is empty!")
    if not data.strip():
        given.refuse("Batch script contains only whitespace!")
    if not data.startswith(b"#!"):
        options.say("sbatch: error: This does not look like a batch script.  The first")
        options.say(
            "sbatch: error: line must start with #! followed by the path to an interpreter."
        )
        given.refuse("For instance: #!/bin/sh")
    if b"\r\n" in data:
        options.say("sbatch: error: Batch script contains DOS line breaks (\\r\\n)")
        given.refuse("instead of expected UNIX line breaks (\\n).")
    return data.decode(errors="surrogateescape")


# -- the question ----------------------------------------------------------------------------


def _question(wanted: given.Layer, default_name: str, argv: list[str]) -> dict[str, Any]:
    """All that the scheduler needs to know, but for the script."""
    time_limit = given.minutes(wanted)
    mem_mb, mem_per_cpu = given.memory(wanted)
    warning, append, begin = given.warning(wanted), given.appends(wanted), given.begin(wanted)
    given.check_absent(wanted)
    _check_dependency(wanted.get("dependency", ""))
    here = _here()
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "token": os.urandom(8).hex(),
        "name": wanted.get("job-name", default_name),
        "user": who.user_name(os.getuid()),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "partition": wanted.get("partition", ""),
        "account": wanted.get("account", ""),
        "qos": wanted.get("qos", ""),
        "comment": wanted.get("comment", ""),
        "submit_dir": here,
        "submit_host": who.host_name(),
        "work_dir": os.path.normpath(os.path.join(here, wanted.get("chdir", "."))),
        "stdout": wanted.get("output", ""),
        "stderr": wanted.get("error", ""),
        "append": append,
        "umask": umask,
        "array": wanted.get("array", ""),
        "time_limit": time_limit,
        "mem_mb": mem_mb,
        "mem_per_cpu": mem_per_cpu,
        "cpus_per_task": given.count(wanted, "cpus-per-task"),
        "ntasks": given.count(wanted, "ntasks"),
        "requeue": "no-requeue" not in wanted,
        "dependency": wanted.get("dependency", ""),
        "nice": _nice(wanted),
        "nodes": given.nodes(wanted),
        "nodelist": wanted.get("nodelist", ""),
        "constraint": wanted.get("constraint", ""),
        "gres": given.gres(wanted),
        "wckey": wanted.get("wckey", ""),
        "kill_on_invalid_dep": wanted.get("kill-on-invalid-dep", "").lower() == "yes",
        "submit_line": shlex.join(["sbatch", *argv]),
    }
    return {
        "do": "submit",
        "request": request | warning,
        "hold": "hold" in wanted,
        "begin": begin,
        "test_only": "test-only" in wanted,
        "environment": _exported(wanted.get("export")),
    }


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        given.refuse("getcwd failed: No such file or directory")


def _nice(wanted: given.Layer) -> int:
    """--nice alone is 100; Slurm 22.05 takes any text for 0."""
    if "nice" not in wanted:
        return 0
    match = re.match(r"-?\d+", wanted["nice"])
    return int(match[0]) if match else 0 if wanted["nice"] else 100


def _check_dependency(text: str) -> None:
    for kind in dependencies.NOT_EMULATED:
        if re.search(rf"(^|[,?]){kind}:", text):
            options.not_emulated("sbatch", f"option --dependency={kind}")
    try:
        dependencies.parse(text)
    except InputError:
        given.refuse(f"{_FAILED}Job dependency problem")


# A comma inside double quotes is part of the value, and the quotes stay: as in 22.05.8.
_EXPORT = re.compile(r'(?:"[^"]*"|[^,"])+')


def _exported(option: str | None) -> dict[str, str]:
    """The environment that the job gets, before Slurm's own variables."""
    everything = dict(os.environ)
    if option is None or option.upper() == "ALL":
        return everything
    slurm = {key: value for key, value in everything.items() if key.startswith("SLURM_")}
    found = who.login_environment(os.getuid()) | {"PATH": everything.get("PATH", os.defpath)}
    parts = _EXPORT.findall(option)
    if any(part.upper() == "ALL" for part in parts):
        found |= everything
    found |= slurm
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            found[name] = value
        elif name in everything:
            found[name] = everything[name]
    return found | {"SLURM_EXPORT_ENV": option, "SLURM_GET_USER_ENV": "1"}


# -- the answer ------------------------------------------------------------------------------


def _check_cluster(state_dir: Path, wanted: str) -> None:
    """--clusters: this one or none."""
    if wanted and wanted != config.load(state_dir).cluster_name:
        options.say(f"sbatch: error: No cluster '{wanted}' known by database.")
        given.refuse(
            f"'{wanted}' can't be reached now, or it is an invalid entry for --cluster.  "
            "Use 'sacctmgr list clusters' to see available clusters."
        )


def _submit(state_dir: Path, question: dict[str, Any]) -> dict[str, Any]:
    for attempt in range(_RETRIES + 1):
        try:
            answer = client.ask(state_dir, question)
        except ClusterUnavailable:
            given.refuse(_FAILED + _UNREACHABLE)
        if not answer.get("again") or attempt == _RETRIES or question["test_only"]:
            break
        if attempt == 0:
            options.say(
                "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
            )
        time.sleep(attempt + 1)
    if "error" in answer:
        if answer["detail"]:
            options.say(f"sbatch: error: {answer['detail']}")
        if question["test_only"]:
            options.say(f"allocation failure: {answer['error']}")
            raise SystemExit(1)
        if answer["error"] == _GRES:  # the one that the client says itself
            given.refuse(_GRES)
        given.refuse(_FAILED + answer["error"])
    return answer


def _announce(wanted: given.Layer, job: int) -> None:
    if "quiet" in wanted:
        return
    cluster = wanted.get("clusters", "")
    if "parsable" in wanted:
        print(f"{job};{cluster}" if cluster else job)
    else:
        print(f"Submitted batch job {job}" + (f" on cluster {cluster}" if cluster else ""))
