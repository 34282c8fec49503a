"""Which of sbatch's options a manifest may set, and what their values may look like.

Slurm itself knows best; refused here is only what hpcsweep sets itself, what would not survive as
a directive, and what sbatch refuses with a message that names no line (facts of 22.05).
"""

from __future__ import annotations

import re
from typing import Any

from hpcsweep.manifest.mistakes import described, shown
from hpcsweep.yamltext import nearest

# By name, why: hpcsweep sets them, or they change what sbatch prints or when it returns.
REFUSED = {
    **dict.fromkeys(
        ("array", "job-name", "output", "error", "input", "open-mode", "signal", "wrap", "chdir"),
        "hpcsweep sets it itself",
    ),
    **dict.fromkeys(("requeue", "no-requeue"), "hpcsweep sets it itself: scripts carry --requeue"),
    **dict.fromkeys(
        ("export", "export-file", "get-user-env"),
        "the environment of a task is hpcsweep's; use `setup:` lines",
    ),
    "dependency": "hpcsweep makes dependencies itself",
    "clusters": "a sweep belongs to the one cluster that it was submitted to",
    **dict.fromkeys(
        ("parsable", "test-only", "wait", "quiet", "verbose", "help", "usage", "version"),
        "it changes what sbatch prints or when it returns",
    ),
    **dict.fromkeys(("uid", "gid"), "jobs run as the user who submits"),
    "ignore-pbs": "the script has no PBS directives",
}

# sbatch's other long options (22.05 to 24.11), to recognise a slip of the pen. A site's plugins
# add more, so a name that looks like none of these is let through.
_KNOWN = frozenset(
    re.findall(
        r"\S+",
        """account acctg-freq batch bb bbf begin cluster-constraint comment constraint container
        container-id contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task
        deadline delay-boot distribution exclude exclusive extra extra-node-info gpu-bind gpu-freq
        gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint hold
        kill-on-invalid-dep licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu
        mem-per-gpu mincpus network nice no-kill nodefile nodelist nodes ntasks ntasks-per-core
        ntasks-per-gpu ntasks-per-node ntasks-per-socket overcommit oversubscribe partition power
        prefer priority profile propagate qos reboot reservation resv-ports segment
        sockets-per-node spread-job stepmgr switches thread-spec threads-per-core time time-min tmp
        tres-bind tres-per-task use-min-nodes wait-all-nodes wckey""",
    )
)
_NAME = re.compile(r"[a-z][a-z-]*[a-z]")
_VALUE = re.compile(r"[A-Za-z0-9_.,:=@%+/-]{1,1024}")
# Without flags, which a JSON Schema does not have.
_WORDS = "|".join("".join(f"[{c}{c.lower()}]" for c in word) for word in ("UNLIMITED", "INFINITE"))
_TIME = re.compile(rf"[0-9]+(:[0-9]+){{0,2}}|[0-9]+-[0-9]+(:[0-9]+){{0,2}}|{_WORDS}")
_MEMORY = re.compile(r"[0-9]+([KMGTkmgt][Bb]?)?")
_COUNT = re.compile(r"0*[1-9][0-9]{0,8}")
_FORMS = {
    "time": (_TIME, "a time", "Write minutes, HH:MM:SS or D-HH:MM:SS."),
    "time-min": (_TIME, "a time", "Write minutes, HH:MM:SS or D-HH:MM:SS."),
    **dict.fromkeys(
        ("mem", "mem-per-cpu", "mem-per-gpu"),
        (_MEMORY, "an amount of memory", "Write whole megabytes, or a unit: 500M, 2G, 1T."),
    ),
    "cpus-per-task": (_COUNT, "a count of CPUs", "Write 1 or more."),
}

_ANY_OPTION = {"type": ["boolean", "integer", "string"], "pattern": f"^{_VALUE.pattern}$"}
# For editors: every option that is known, none that is refused, and a site's own.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{
            name: {
                "type": ["integer", "string"],
                "description": f"{noun}. {next_step}",
                "pattern": f"^({form.pattern})$",
            }
            for name, (form, noun, next_step) in _FORMS.items()
        },
        **dict.fromkeys(sorted(_KNOWN.difference(_FORMS)), _ANY_OPTION),
        **dict.fromkeys(REFUSED, False),
    },
    "patternProperties": {f"^{_NAME.pattern}$": True},
    "additionalProperties": False,
}


def name_problem(name: str) -> tuple[str, str] | None:
    """Why an option cannot be given, and what next; None for one that can."""
    if name in REFUSED:
        return f"cannot be set: {REFUSED[name]}", "Remove it."
    if name in _KNOWN:
        return None
    if not _NAME.fullmatch(name):
        return (
            "is not the name of an sbatch option",
            _did_you_mean(name.lstrip("-").lower().replace("_", "-"), cutoff=0.6)
            or "Write a long option without the dashes: partition, time, mem.",
        )
    # sbatch takes every unambiguous beginning of an option for the option.
    if any(option.startswith(name) for option in (*_KNOWN, *REFUSED)):
        return "is an abbreviated sbatch option", "Write its full name."
    meant = _did_you_mean(name, cutoff=0.85)
    return ("unknown sbatch option", meant) if meant else None


def _did_you_mean(name: str, *, cutoff: float) -> str:
    known = sorted((*_KNOWN, *REFUSED))
    swapped = [option for option in known if sorted(option) == sorted(name)]
    meant = swapped[0] if swapped else nearest(name, known, cutoff=cutoff)
    return f"Did you mean {meant!r}?" if meant else ""


def value_problem(name: str, value: Any) -> tuple[str, str] | None:
    """Why a value cannot be an option's, and what next; None for one that can."""
    form, noun, next_step = _FORMS.get(name, (_VALUE, "a value for sbatch", ""))
    if isinstance(value, bool) and name not in _FORMS:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return f"is {described(value)}, not {noun}", next_step or "Write a text or a whole number."
    text = str(value)
    if not _VALUE.fullmatch(text):
        return (
            f"is the text {shown(text)}, not {noun}",
            next_step or "Allowed are letters, digits and _ . , : = @ % + / -",
        )
    return None if form.fullmatch(text) else (f"is the text {shown(text)}, not {noun}", next_step)


def option_text(value: bool | int | str) -> str | None:
    """The value as a directive has it: "" for an option that is only switched on, None for off."""
    if isinstance(value, bool):
        return "" if value else None
    return str(value)
