"""The job request of sbatch, salloc and srun, and its submission."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from hpcsweep.emulator import client, dependency_syntax, identity, times
from hpcsweep.emulator.messages import INVALID_GRES, UNREACHABLE
from hpcsweep.emulator.programs import gres_options, job_options, options
from hpcsweep.errors import ClusterUnavailable, InputError

# Slurm 22.05 tries 16 times if the cluster is full; each pause is one second longer.
_RETRIES = 15


# sbatch's prefix of the reason of a refusal.
BATCH = "Batch job submission failed: "
# While the cluster is full (MaxJobCount); 26.05 has its own message.
_UNABLE = "Slurm temporarily unable to accept job, sleeping and retrying"
_FULL = "Slurm job queue full, sleeping and retrying"


def question(layer: job_options.Layer, default_name: str, line: str) -> dict[str, Any]:
    """The request without the script and the environment."""
    time_limit = job_options.minutes(layer)
    mem_mb, mem_per_cpu = job_options.memory(layer)
    warning, append, begin = (
        job_options.warning(layer),
        job_options.appends(layer),
        job_options.begin(layer),
    )
    job_options.check_absent(layer)
    _check_dependency(layer.get("dependency", ""))
    directory = _working_directory()
    umask = os.umask(0)
    os.umask(umask)
    least, most = job_options.nodes(layer)
    request = {
        "token": os.urandom(8).hex(),
        "name": layer.get("job-name", default_name),
        "user": identity.user_name(os.getuid()),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "partition": layer.get("partition", ""),
        "account": layer.get("account", ""),
        "qos": layer.get("qos", ""),
        "comment": layer.get("comment", ""),
        "arguments": [],
        "submit_dir": directory,
        "submit_host": identity.host_name(),
        "work_dir": os.path.normpath(os.path.join(directory, layer.get("chdir", "."))),
        "stdin": layer.get("input", "").removeprefix("none"),
        "stdout": layer.get("output", ""),
        "stderr": layer.get("error", ""),
        "append": append,
        "umask": umask,
        "array": layer.get("array", ""),
        "time_limit": time_limit,
        "mem_mb": mem_mb,
        "mem_per_cpu": mem_per_cpu,
        "cpus_per_task": job_options.count(layer, "cpus-per-task"),
        "ntasks": job_options.count(layer, "ntasks"),
        "ntasks_per_node": job_options.count(layer, "ntasks-per-node"),
        "requeue": "no-requeue" not in layer,
        "expedite": bool(layer.get("requeue")),
        "dependency": layer.get("dependency", ""),
        "nice": _nice(layer),
        "priority": job_options.count(layer, "priority"),
        "nodes": least,
        "max_nodes": most,
        "nodelist": layer.get("nodelist", ""),
        "exclude": layer.get("exclude", ""),
        "exclusive": "exclusive" in layer,
        "oversubscribe": "oversubscribe" in layer,
        "constraint": layer.get("constraint", ""),
        "gres": gres_options.per_node(layer, least),
        "wckey": layer.get("wckey", ""),
        "kill_on_invalid_dep": layer.get("kill-on-invalid-dep", "").lower() == "yes",
        "submit_line": line,
    }
    return {
        "do": "submit",
        "request": request | warning,
        "hold": "hold" in layer,
        "begin": begin,
        "test_only": "test-only" in layer,
        "script": "",
        "environment": {},
    }


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        job_options.fail("getcwd failed: No such file or directory")


def _nice(layer: job_options.Layer) -> int:
    """--nice without a value is 100; Slurm 22.05 reads any text as 0."""
    if "nice" not in layer:
        return 0
    match = re.match(r"-?\d+", layer["nice"])
    return int(match[0]) if match else 0 if layer["nice"] else 100


def _check_dependency(text: str) -> None:
    for kind in dependency_syntax.NOT_EMULATED:
        if re.search(rf"(^|[,?]){kind}:", text):
            options.refuse(options.program_name(), f"option --dependency={kind}")
    try:
        dependency_syntax.parse(text)
    except InputError:
        job_options.fail(f"{BATCH}Job dependency problem")


# A comma inside double quotes is part of the value, and the quotes stay (22.05.8).
_EXPORT = re.compile(r'(?:"[^"]*"|[^,"])+')


def exported(option: str | None) -> dict[str, str]:
    """The environment of the job for --export=`option`, without Slurm's own variables."""
    everything = dict(os.environ)
    everything.pop("SLURM_JWT", None)  # never store a real cluster's token
    if option is None or option.upper() == "ALL":
        return everything
    slurm = {key: value for key, value in everything.items() if key.startswith("SLURM_")}
    environment = identity.login_environment(os.getuid()) | {
        "PATH": everything.get("PATH", os.defpath)
    }
    parts = _EXPORT.findall(option)
    if any(part.upper() == "ALL" for part in parts):
        environment |= everything
    environment |= slurm
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            environment[name] = value
        elif name in everything:
            environment[name] = everything[name]
    return environment | {"SLURM_EXPORT_ENV": option, "SLURM_GET_USER_ENV": "1"}


def submit(state_dir: Path, question: dict[str, Any], failed: str) -> dict[str, Any]:
    """Submit a job. The answer has its id. Exits if the job is refused.

    `failed`: the program's prefix of the reason.
    """
    for attempt in range(_RETRIES + 1):
        try:
            answer = client.ask(state_dir, question)
        except ClusterUnavailable:
            job_options.fail(failed + UNREACHABLE)
        if not answer.get("again") or attempt == _RETRIES or question["test_only"]:
            break
        if attempt == 0:
            again = _FULL if options.version().since("26.05") else _UNABLE
            options.to_stderr(f"{options.program_name()}: error: {again}")
        time.sleep(attempt + 1)
    if "error" in answer:
        if answer["detail"]:
            options.to_stderr(f"{options.program_name()}: error: {answer['detail']}")
        if question["test_only"]:
            options.to_stderr(f"allocation failure: {answer['error']}")
            raise SystemExit(1)
        if answer["error"] == INVALID_GRES:  # sbatch itself detects this one
            job_options.fail(INVALID_GRES)
        job_options.fail(failed + answer["error"])
    return answer


def print_start_estimate(answer: dict[str, Any]) -> None:
    """Print the output of --test-only."""
    options.to_stderr(
        f"{options.program_name()}: Job {answer['job']} to start at {times.stamp(time.time(), '')} "
        f"using {answer['cpus']} processors on nodes {answer['nodes']} in partition "
        f"{answer['partition']}"
    )
