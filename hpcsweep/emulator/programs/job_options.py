"""The options of a job, for sbatch, salloc and srun: sources, precedence, values."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from hpcsweep.emulator import times
from hpcsweep.emulator.programs import options

# All long options of 22.05.8 in getopt's order; those with `!` are refused by name.
TABLE = options.table(
    "account,A: acctg-freq: array,a: !batch: begin,b: !bb: !bbf: !cluster-constraint: chdir,D: "
    "!cluster: clusters,M: comment: !container: !context: contiguous constraint,C: core-spec,S: "
    "cores-per-socket: cpu-freq: !cpus-per-gpu: cpus-per-task,c: !deadline: delay-boot: "
    "dependency,d: distribution,m: error,e: exclude,x: exclusive:: export: !export-file: "
    "extra-node-info,B: get-user-env:: !gid: gpu-bind: gpu-freq: gpus,G: gpus-per-node: "
    "gpus-per-socket: gpus-per-task: gres: gres-flags: help,h hint: hold,H ignore-pbs input,i: "
    "job-name,J: kill-on-invalid-dep: licenses,L: mail-type: mail-user: mcs-label: mem: "
    "mem-bind: mem-per-cpu: mem-per-gpu: !mincpus: network: nice:: no-kill,k:: no-requeue "
    "!nodefile,F: nodelist,w: nodes,N: ntasks,n: ntasks-per-core: !ntasks-per-gpu: "
    "ntasks-per-node: ntasks-per-socket: !ntasks-per-tres: open-mode: output,o: !overcommit,O "
    "oversubscribe,s parsable partition,p: power: !prefer: priority: profile: propagate:: "
    "qos,q: quiet,Q reboot requeue:: reservation: signal: sockets-per-node: spread-job switches: "
    "tasks-per-node>ntasks-per-node: test-only thread-spec: threads-per-core: time,t: time-min: "
    "!tmp: !uid: use-min-nodes verbose,v version,V usage wait,W wait-all-nodes: wckey: wrap:"
)
# The input environment variables of 22.05.8, as options; SBATCH_COMMENT, for one, does nothing.
VARIABLES = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_ARRAY_INX": "array",
    "SBATCH_CLUSTERS": "clusters",
    "SLURM_CLUSTERS": "clusters",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_ERROR": "error",
    "SBATCH_EXPORT": "export",
    "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_GRES": "gres",
    "SBATCH_IGNORE_PBS": "ignore-pbs",
    "SBATCH_JOB_NAME": "job-name",
    "SBATCH_MEM_PER_CPU": "mem-per-cpu",
    "SBATCH_MEM_PER_GPU": "mem-per-gpu",
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_NO_REQUEUE": "no-requeue",
    "SBATCH_OPEN_MODE": "open-mode",
    "SBATCH_OUTPUT": "output",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_REQUEUE": "requeue",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_SIGNAL": "signal",
    "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_INPUT": "input",
    "SBATCH_WAIT": "wait",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_WCKEY": "wckey",
}
REFUSED_VARIABLES = (*("BATCH", "BURST_BUFFER", "CLUSTER_CONSTRAINT", "CONTAINER", "OVERCOMMIT"),)
_MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
_MAIL = frozenset(
    {
        *("NONE", "BEGIN", "END", "FAIL", "REQUEUE", "ALL", "INVALID_DEPEND", "STAGE_OUT"),
        *("TIME_LIMIT", "TIME_LIMIT_90", "TIME_LIMIT_80", "TIME_LIMIT_50", "ARRAY_TASKS"),
    }
)
# The messages of a cluster that has none of these; no emulated cluster has any.
_NOT_THERE = {
    "reservation": "Requested reservation is invalid",
    "licenses": "Invalid license specification",
}
_MAX_LEAD = 65535

Layer = dict[str, str]


def fail(text: str, code: int = 1) -> NoReturn:
    """Print `PROGRAM: error: TEXT` and exit."""
    options.fail(options.program_name(), text, code)


def from_words(words: list[str]) -> tuple[Layer, list[str]]:
    """The options of a command line (the last of each kind), and the operands."""
    reader = options.Getopt("sbatch", TABLE, exit_code=255)
    pairs, operands = reader.read(words, operands_last=True)
    if any(name == "requeue" and value for name, value in pairs) and not _expedites():
        reader.fail("option '--requeue' doesn't allow an argument")
    return layer_of(pairs), operands


def _expedites() -> bool:
    """Whether this Slurm has `--requeue=expedite` (25.11 and newer)."""
    return options.version().since("26.05")


def layer_of(pairs: list[tuple[str, str]]) -> Layer:
    """The last option of each kind."""
    layer: Layer = {}
    for name, value in pairs:
        if name in ("requeue", "no-requeue"):
            layer.pop("requeue", None)
            layer.pop("no-requeue", None)
        layer[name] = value
    return layer


def from_environment(environ: Mapping[str, str]) -> Layer:
    """The options in SBATCH_* variables."""
    options.refuse_variables("sbatch", *(f"SBATCH_{suffix}" for suffix in REFUSED_VARIABLES))
    return {name: environ[key] for key, name in VARIABLES.items() if key in environ}


_WORD = re.compile(r"""\s+|(#.*)|((?:"(?:\\.|[^"])*"|'[^']*'|\\.|[^\s"'\\])+)""")
_QUOTED = re.compile(r""""((?:\\.|[^"])*)"|'([^']*)'|\\(.)""")


def _unquote(match: re.Match[str]) -> str:
    double, single, escaped = match.groups()
    if double is not None:
        return re.sub(r"\\(.)", r"\1", double)
    return single if single is not None else escaped


def from_script(script: str) -> Layer:
    """The options in #SBATCH lines, up to the first command."""
    words: list[str] = []
    for line in script.split("\n"):  # only this character ends a line for sbatch
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if line.startswith("#SBATCH"):
            for match in _WORD.finditer(line.removeprefix("#SBATCH")):
                if match[1]:
                    break
                if match[2]:
                    words.append(_QUOTED.sub(_unquote, match[2]))
    return from_words(words)[0]


def merge(command: Layer, environment: Layer, script: Layer) -> Layer:
    """Merge: command line over SBATCH_* over #SBATCH.

    A memory (requeue) option replaces all memory (requeue) options of lower layers.
    """
    merged: Layer = {}
    for layer in (script, environment, command):
        if sum(name in layer for name in _MEMORY) > 1:
            options.to_stderr(
                f"{options.program_name()}: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are "
                "mutually exclusive."
            )
            raise SystemExit(1)
        for group in (_MEMORY, ("requeue", "no-requeue")):
            if any(name in layer for name in group):
                for name in group:
                    merged.pop(name, None)
        merged |= layer
    return merged


def check_absent(layer: Layer) -> None:
    """Refuse what no emulated cluster has, with the message of a real cluster without it."""
    for name, message in _NOT_THERE.items():
        if layer.get(name):
            fail(f"Batch job submission failed: {message}")
    if layer.get("requeue", "").lower() not in ("", "expedite"):
        _invalid("requeue")
    mail = set(layer.get("mail-type", "NONE").upper().split(","))
    if not mail <= _MAIL:
        _invalid("mail-type")
    if layer.get("kill-on-invalid-dep", "no").lower() not in ("yes", "no"):
        _invalid("kill-on-invalid-dep")


def nodes(layer: Layer) -> tuple[int, int]:
    """--nodes: minimum and maximum (0: as many as needed)."""
    tasks, per_node = count(layer, "ntasks"), count(layer, "ntasks-per-node")
    text = layer.get("nodes")
    if text is None:
        return (-(-tasks // per_node) if tasks and per_node else 1), 0
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is None or int(match[1]) < 1:
        fail(f"invalid node count `{text}'", 255)
    least = int(match[1])
    if 0 < tasks < least:
        options.warn(f"can't run {tasks} processes on {least} nodes, setting nnodes to {tasks}")
        least = tasks
    return least, max(least, int(match[2] or match[1]))


def _invalid(name: str) -> NoReturn:
    fail(f"Invalid --{name} specification", 255)


def count(layer: Layer, name: str) -> int:
    """A positive number; 0 if the option was not given."""
    text = layer.get(name)
    if text is None:
        return 0
    if not re.fullmatch(r"[+]?\d+", text) or int(text) < 1:
        fail(f'Invalid numeric value "{text}" for --{name}.')
    return int(text)


def minutes(layer: Layer) -> int | None:
    """--time in minutes; 0: no limit, None: not set."""
    if "time" not in layer:
        return None
    minutes = times.parse_minutes(layer["time"])
    if minutes is None:
        _invalid("time")
    return minutes


def memory(layer: Layer) -> tuple[int, bool]:
    """Megabytes (-1: all of a node, 0: not set), and whether they are per CPU."""
    for name in ("mem", "mem-per-cpu"):
        if name in layer:
            megabytes = times.parse_megabytes(layer[name])
            if megabytes is None:
                _invalid(name)
            return megabytes or (-1 if name == "mem" else 0), name == "mem-per-cpu"
    return 0, False


def warning(layer: Layer) -> dict[str, Any]:
    """--signal=[{R|B}:]SIGNAL[@SECONDS]."""
    text = layer.get("signal")
    if text is None:
        return {}
    match = re.fullmatch(r"(?:([RB]{1,2}):)?(\w+)(?:@(\d+))?", text, re.IGNORECASE)
    number = options.signal_number(match[2]) if match else 0
    if match is None or not number or int(match[3] or 0) > _MAX_LEAD:
        _invalid("signal")
    to_shell = "B" in (match[1] or "").upper()
    return {
        "signal": number,
        "signal_lead": int(match[3]) if match[3] else 60,
        "signal_batch": to_shell,
    }


def appends(layer: Layer) -> bool:
    """Whether --open-mode is append; Slurm reads only the first letter."""
    mode = layer.get("open-mode", "t")
    if mode[:1].lower() not in ("a", "t"):
        _invalid("open-mode")
    return mode[:1].lower() == "a"


def begin(layer: Layer) -> float:
    """--begin in seconds since the epoch; 0 for at once."""
    text = layer.get("begin", "now")
    if text == "now":
        return 0
    moment = times.moment(text, time.time())
    if moment is None:
        options.to_stderr(f"Invalid time specification (pos=0): {text}")
        _invalid("begin")
    return moment
