"""Create, start and stop an emulated cluster; inject faults; run a command with it as Slurm."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsweep import files
from hpcsweep.emulator import client, config, events, names
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.faults.chance import OF_JOBS, OF_SERVICES, Fault
from hpcsweep.errors import ClusterError, ClusterUnavailable, InputError

_STOP_S = 10.0
_MODULE = b"""\
#!/bin/sh
echo "hpcsweep emulator: module $*: nothing is loaded here" >&2
"""
# Source text of a program: it executes program.py in its own process.
_PROGRAM = """\
import sys
sys.argv[1:1] = {words!r}
__file__ = {program!r}
with open(__file__, "rb") as stream:
    exec(compile(stream.read(), __file__, "exec"))
"""
# Bytes of a `#!` line that Linux reads before 5.1; newer kernels read 255.
_LONGEST_LINE = 127
_CONF = """\
# An emulated cluster: the programs are in {bin}.
# Real Slurm programs that are pointed here stop at the next line, on purpose.
ClusterName={cluster}
EmulatedByHpcsweep=yes
"""


def default_state_dir() -> Path:
    """The user's own emulated cluster: `$XDG_STATE_HOME/hpcsweep/emulator`."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "hpcsweep" / "emulator"


def ensure(state_dir: Path, settings: EmulatorConfig | None = None) -> dict[str, str]:
    """Create the emulated cluster of a directory if it does not exist, and start it.

    Without `settings` an existing cluster keeps its own, and a new one gets the defaults.
    Returns the variables to set, see `environment`. *Safe to repeat*, also concurrently.
    *Raises* ClusterError for other settings while the cluster has jobs, ClusterUnavailable if the
    scheduler does not start. *Writes* the state directory.
    """
    state_dir = Path(os.path.abspath(state_dir))
    files.make_directory(state_dir)
    os.chmod(state_dir, files.PRIVATE_DIRECTORY)
    _configure(state_dir, settings)
    _write_programs(state_dir)
    client.ask(state_dir, {"do": "alive"})
    return environment(state_dir)


def _configure(state_dir: Path, settings: EmulatorConfig | None) -> None:
    path = state_dir / names.CONFIG
    if path.exists():
        now = config.load(state_dir)
        if settings is None or settings == now:
            return
        if is_running(state_dir):
            if client.ask(state_dir, {"do": "cluster"}, start=False)["busy"]:
                raise ClusterError(
                    "the emulated cluster has jobs and cannot change its configuration",
                    where=str(path),
                    next_step="Wait for its jobs, cancel them, or use another state directory.",
                )
            stop(state_dir)
    settings = settings or EmulatorConfig()
    files.replace(path, files.json_bytes(settings.to_json()))
    text = _CONF.format(bin=state_dir / names.BIN, cluster=settings.cluster_name)
    files.replace(state_dir / names.SLURM_CONF, text.encode())


def _write_programs(state_dir: Path) -> None:
    """Write the programs in `bin/`, a few lines of Python each."""
    directory = files.make_directory(state_dir / names.BIN)
    program = Path(__file__).with_name("program.py")
    for name in (*names.PROGRAMS, *names.REFUSED):
        text = _PROGRAM.format(words=[str(state_dir), name], program=str(program))
        _write_program(directory / name, (_first_line(sys.executable) + text).encode())
    _write_program(directory / names.MODULE, _MODULE)


def _first_line(python: str) -> str:
    """The first line that makes a text a Python program with an unchanged environment.

    /bin/sh is the last resort: dash drops variables with names that are invalid for it, such as
    BASH_FUNC_module%% of an exported function. bash keeps them, and with `-p` ignores $BASH_ENV.
    """
    line = f"#!{python} -IS"
    if len(os.fsencode(line)) <= _LONGEST_LINE and len(line.split()) == 2:
        return f"{line}\n"
    shell = f"{bash} -p" if (bash := shutil.which("bash")) else "/bin/sh"
    return f"#!{shell}\n'''exec' {shlex.quote(python)} -IS \"$0\" \"$@\"\n' '''\n"


def _write_program(path: Path, text: bytes) -> None:
    if not path.exists() or path.read_bytes() != text:
        files.replace(path, text, mode=0o700)


def environment(state_dir: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables with which `sbatch` and the other programs reach this cluster.

    PATH has the cluster's programs first; SLURM_CONF names the cluster instead of a real one.
    `base` is the environment to change, by default our own.
    """
    state_dir = Path(os.path.abspath(state_dir))
    base = os.environ if base is None else base
    own = str(state_dir / names.BIN)
    rest = [part for part in base.get("PATH", os.defpath).split(os.pathsep) if part != own]
    return {
        "PATH": os.pathsep.join([own, *rest]),
        "SLURM_CONF": str(state_dir / names.SLURM_CONF),
    }


def exists(state_dir: Path) -> bool:
    """Whether the directory holds an emulated cluster."""
    return (state_dir / names.CONFIG).exists()


def describe(state_dir: Path) -> dict[str, Any]:
    """Whether it runs, its nodes, and its jobs by state. Starts nothing."""
    facts: dict[str, Any] = {
        "schema": "hpcsweep.emulator-status/1",
        "directory": str(state_dir),
        "running": is_running(state_dir),
    }
    if facts["running"]:
        answer = client.ask(state_dir, {"do": "cluster"}, start=False)
        size = f"{answer['config']['cpus']} CPUs, {answer['config']['mem_mb']} MB"
        facts["nodes"] = {node["name"]: f"{node['state']}, {size}" for node in answer["nodes"]}
        facts["jobs"] = answer["states"]
    return facts


def order_faults(
    state_dir: Path, faults: tuple[Fault, ...], *, seed: int, ignore: str = ""
) -> None:
    """Replace the configured faults; an empty tuple also ends current outages.

    `ignore`: a regular expression; the part of a job name that it matches is ignored. *Writes* the
    configuration.
    """
    now = config.load(state_dir)
    new = dataclasses.replace(now, faults=faults, seed=seed, faults_ignore=ignore)
    files.replace(state_dir / names.CONFIG, files.json_bytes(new.to_json()))
    client.ask(state_dir, {"do": "reconfigure"})
    if not faults:
        client.ask(state_dir, {"do": "fault", "kind": "clear"})


def order_fault(state_dir: Path, kind: str, **fields: Any) -> int:
    """Inject a fault now: into the running `job` (and its `task`), or for `seconds`.

    Returns the count of jobs or services that it struck. *Raises* InputError for a kind that can
    only be configured.
    """
    if kind not in (*OF_JOBS, *OF_SERVICES, "clear"):
        raise InputError(
            f"cannot be ordered at once: {kind}",
            next_step=f"At once: {', '.join((*OF_JOBS, *OF_SERVICES))}; others in `faults`.",
        )
    question = {"do": "fault", "kind": kind, "job": 0, "task": None}
    return int(client.ask(state_dir, question | fields)["struck"])


def faults_since(state_dir: Path, moment: float) -> list[dict[str, Any]]:
    """The faults that struck since `moment` (seconds since the epoch), oldest first."""
    log = events.read(state_dir / names.EVENTS)
    return [event for event in log if event["e"] == "fault" and event["at"] >= moment]


def run(state_dir: Path, command: list[str]) -> int:
    """Run a command, or the user's shell, with this cluster as Slurm. Returns its exit code."""
    variables = os.environ | environment(state_dir)
    argv = command or [os.environ.get("SHELL") or "/bin/sh"]
    program = shutil.which(argv[0], path=variables["PATH"])
    if program is None:
        raise ClusterError(f"there is no program {argv[0]}", where=variables["PATH"])
    return subprocess.run([program, *argv[1:]], env=variables, check=False).returncode


def is_running(state_dir: Path) -> bool:
    """Whether a scheduler listens in this directory."""
    try:
        client.connect(state_dir).close()
    except OSError:
        return False
    return True


def stop(state_dir: Path) -> None:
    """Stop the scheduler like a power failure: kills running jobs, NODE_FAIL after a restart.

    *Safe to repeat.* *Raises* ClusterUnavailable if it does not exit.
    """
    if not is_running(state_dir):
        return
    client.ask(state_dir, {"do": "stop"}, start=False)
    deadline = time.monotonic() + _STOP_S
    while client.is_locked(state_dir):
        if time.monotonic() > deadline:
            raise ClusterUnavailable(
                "the emulated scheduler does not end",
                where=str(state_dir),
                next_step=f"Its process id is in {state_dir / names.PID}.",
            )
        time.sleep(0.01)
