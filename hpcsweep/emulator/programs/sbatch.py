"""sbatch."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from hpcsweep.emulator import client, config, names
from hpcsweep.emulator.programs import gres_options, job_options, job_request, options
from hpcsweep.errors import ClusterUnavailable

# Seconds between two polls of --wait: the first and the longest.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 1.0


def main(state_dir: Path, argv: list[str]) -> int:
    """Submit a script."""
    command, operands = job_options.from_words(argv)
    if options.print_information("sbatch", "script [args...]", job_options.TABLE, command):
        return 0
    script, name, path = _read_script(command, operands)
    environment = job_options.from_environment(os.environ)
    layer = job_options.merge(command, environment, job_options.from_script(script))
    _check_cluster(state_dir, layer.get("clusters", ""))
    question = job_request.question(layer, name, " ".join(["sbatch", *argv]))
    question["request"] |= {"command": path, "arguments": operands[1:]}
    exported = job_request.exported(layer.get("export")) | gres_options.variables(layer)
    question |= {"script": script, "environment": exported}
    answer = job_request.submit(state_dir, question, job_request.BATCH)
    if "test-only" in layer:
        job_request.print_start_estimate(answer)
        return 0
    _announce(layer, answer["job"])
    return _wait(state_dir, answer["job"]) if "wait" in layer else 0


# -- the script ------------------------------------------------------------------------------


def _read_script(command: job_options.Layer, operands: list[str]) -> tuple[str, str, str]:
    """The text, the default job name and the path (empty if there is none)."""
    if "wrap" in command:
        if operands:
            job_options.fail("Script arguments not permitted with --wrap option")
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
        job_options.fail(f"Unable to open file {operands[0]}")
    return _checked(data), os.path.basename(path), os.path.abspath(path)


def _find(name: str) -> str:
    """The path of a script: a bare name is searched here and then on PATH."""
    if "/" in name or os.path.exists(name):
        return name
    for directory in os.get_exec_path():
        if os.path.isfile(path := os.path.join(directory, name)):
            return path
    return name


def _checked(data: bytes) -> str:
    """The text of a script, after sbatch's checks."""
    if not data:
        job_options.fail("Batch script is empty!")
    if not data.strip():
        job_options.fail("Batch script contains only whitespace!")
    if not data.startswith(b"#!"):
        options.to_stderr("sbatch: error: This does not look like a batch script.  The first")
        options.to_stderr(
            "sbatch: error: line must start with #! followed by the path to an interpreter."
        )
        job_options.fail("For instance: #!/bin/sh")
    if b"\r\n" in data:
        options.to_stderr("sbatch: error: Batch script contains DOS line breaks (\\r\\n)")
        job_options.fail("instead of expected UNIX line breaks (\\n).")
    return data.decode(errors="surrogateescape")


# -- the answer ------------------------------------------------------------------------------


def _check_cluster(state_dir: Path, name: str) -> None:
    """--clusters: this one or none."""
    if name and name != config.load(state_dir).cluster_name:
        options.to_stderr(f"sbatch: error: No cluster '{name}' known by database.")
        job_options.fail(
            f"'{name}' can't be reached now, or it is an invalid entry for --cluster.  "
            "Use 'sacctmgr list clusters' to see available clusters."
        )


def _announce(layer: job_options.Layer, job: int) -> None:
    if "quiet" in layer:
        return
    cluster = layer.get("clusters", "")
    if "parsable" in layer:
        print(f"{job};{cluster}" if cluster else job)
    else:
        print(f"Submitted batch job {job}" + (f" on cluster {cluster}" if cluster else ""))


def _wait(state_dir: Path, job: int) -> int:
    """--wait: wait for all elements. Returns the highest exit code; a signal counts as 1."""
    sys.stdout.flush()
    pause, codes = _FIRST_PAUSE_S, {0: 0}
    while True:
        try:
            views = client.ask(state_dir, {"do": "queue", "ids": [job]})["jobs"]
        except ClusterUnavailable:
            views = [{"state": "PENDING"}]
        over = [view for view in views if view["state"] in names.FINAL_STATES]
        codes |= {view["id"]: 1 if view["exit_signal"] else view["exit_code"] for view in over}
        if len(over) == len(views):  # ended jobs leave the queue some time later
            return max(codes.values())
        time.sleep(pause)
        pause = min(pause * 1.5, _LAST_PAUSE_S)
