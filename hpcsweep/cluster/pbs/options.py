"""The options of a manifest in the words of qsub. Pure.

The keys below `slurm:` say what a task asks for, whatever the scheduler: a manifest runs on both.
Names that sbatch does not know are resources of the site; the setting `plugin_options` allows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hpcsweep.allocation import gpu_requests, is_whole_node, task_resources
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.errors import InputError
from hpcsweep.manifest.frozen import OPTION_VALUE
from hpcsweep.manifest.sbatch_names import KNOWN, PYXIS
from hpcsweep.quantities import time_limit_seconds

# What `resources` makes one chunk of; `ntasks` are its processes.
_CHUNK = frozenset(
    {
        *("cpus-per-task", "ntasks", "nodes", "mem", "mem-per-cpu", "exclusive"),
        *("gpus", "gpus-per-node", "gres"),
    }
)
# Without a meaning: arrays of PBS are rerun after a failure of their node unless `-r n` (23.06).
_IGNORED = frozenset({"requeue"})
# What of `mail-type` qsub's -m has.
_MAIL = {"NONE": "n", "BEGIN": "b", "END": "e", "FAIL": "a", "ALL": "abe"}
# Names of queues, accounts and users: they are arguments, but PBS splits some at these characters.
_NAME = re.compile(r"[A-Za-z0-9_.@+-]+")
# Names of resources, and of sbatch's options.
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# Names of ours for what is no resource of a job: more for the chunk, and the project.
_SELECT, _PROJECT = "select", "project"
_INSTEAD = {
    "constraint": "Name a resource of such nodes by `select` (the setting plugin_options).",
    "qos": "PBS has none: name a queue by `partition`.",
    "reservation": "A reservation of PBS is a queue: name it by `partition`.",
}


class _Plain(NamedTuple):
    """An option that qsub has, too."""

    flag: str
    value: Callable[[str], str | None]


def _name(value: str) -> str | None:
    return value if _NAME.fullmatch(value) else None


def _events(value: str) -> str | None:
    letters = [_MAIL.get(word.strip().upper()) for word in value.split(",")]
    return None if None in letters else "".join(letter for letter in letters if letter)


_PLAIN = {
    "account": _Plain("-A", _name),
    "mail-type": _Plain("-m", _events),
    "mail-user": _Plain("-M", _name),
    "partition": _Plain("-q", _name),
}


def qsub_options(options: Mapping[str, str]) -> list[str]:
    """The arguments of qsub for these options of the manifest.

    *Raises* InputError naming an option that PBS does not have, or a value with a line break: the
    script has them in comments.
    """
    for name, value in options.items():
        if not _RESOURCE.fullmatch(name) or (value and not OPTION_VALUE.fullmatch(value)):
            raise InputError(
                f"slurm: {name}: {value!r} cannot be written for qsub",
                next_step="Write a name of letters, digits and dashes, and a value in one line.",
            )
    arguments = ["-l", _select(options)]
    if is_whole_node(options):
        arguments += ["-l", "place=pack:excl"]
    if (seconds := time_limit_seconds(options.get("time", ""))) is not None:
        arguments += ["-l", f"walltime={seconds}"]
    for name, value in sorted(options.items()):
        if name in _CHUNK | _IGNORED | {"time", _SELECT}:
            continue
        if name not in KNOWN | PYXIS:  # no option of sbatch, so a resource of the site
            arguments += ["-P", value] if name == _PROJECT else ["-l", f"{name}={value}"]
            continue
        plain = _PLAIN.get(name)
        text = None if plain is None else plain.value(value)
        if plain is None or text is None:
            raise _unwritable(name, value) if plain else _refused(name, value)
        arguments += [plain.flag, text]
    return arguments


def _select(options: Mapping[str, str]) -> str:
    """One chunk of one node: what the worker of a task shares out among its cases."""
    if options.get("nodes", "1") != "1":
        raise InputError(
            f"slurm.nodes: {options['nodes']} cannot be asked of PBS by hpcsweep, whose tasks have "
            "one node",
            next_step="Leave it out, or start a case's own nodes by `cluster: submitit:EXECUTOR`.",
        )
    has = task_resources({**options, "cpus-per-task": options.get("cpus-per-task", "1")})
    chunk = ["1", f"ncpus={has.cpus or 1}"]
    if has.mem_bytes:
        chunk.append(f"mem={-(-has.mem_bytes // 2**20)}mb")
    gpus = list(gpu_requests(options))
    if any(request.kind for request in gpus):
        raise InputError(
            f"slurm.{gpus[0].option}: {options[gpus[0].option]} names a type of GPU, and PBS has "
            "no such names",
            next_step="Write their count, and name the queue of such nodes by `partition`.",
        )
    if gpus:
        chunk.append(f"ngpus={has.gpus}")
    if options.get("exclusive", "") != "":
        raise _refused("exclusive", options["exclusive"])
    if _SELECT in options:
        chunk.append(options[_SELECT])
    return "select=" + ":".join(chunk)


def _unwritable(name: str, value: str) -> InputError:
    forms = {"mail-type": f"one or more of {', '.join(_MAIL)}"}
    form = forms.get(name, "one name of letters, digits, dots and dashes")
    return InputError(
        f"slurm.{name}: {value!r} cannot be written for qsub", next_step=f"Write {form}."
    )


def _refused(name: str, value: str) -> InputError:
    known = ", ".join(sorted({"time", *_CHUNK, *_PLAIN}))
    return InputError(
        f"slurm.{name}{f': {value}' if value else ''} has no meaning for PBS",
        next_step=_INSTEAD.get(name, f"Leave it out; with --cluster pbs these have one: {known}."),
    )


def _comments(options: Mapping[str, str]) -> list[str]:
    """What was asked of qsub, pair by pair; for people who read the script."""
    words = qsub_options(options)
    return [f"{flag} {value}" for flag, value in zip(words[::2], words[1::2], strict=True)]


SCRIPTS = ScriptForm(array="array.pbs.j2", closing="closing.pbs.j2", directives=_comments)
