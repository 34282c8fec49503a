"""The options of sbatch that a manifest may set, and the form of their values.

Slurm checks its options itself. Refused here are only options that hpcsweep sets, values that do
not fit on a line, names that no sbatch has, and what sbatch refuses without naming a line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from hpcsweep.manifest.frozen import OPTION_NAME, OPTION_VALUE
from hpcsweep.manifest.mistakes import described, shown
from hpcsweep.manifest.sbatch_names import KNOWN, NUMBERS, PYXIS
from hpcsweep.yamltext import nearest, scalar

# Reasons by name.
REFUSED = {
    **dict.fromkeys(
        ("array", "job-name", "output", "error", "input", "open-mode", "signal", "wrap", "chdir"),
        "hpcsweep sets it itself",
    ),
    "no-requeue": "hpcsweep sets it itself, by the key `requeue`",
    **dict.fromkeys(
        ("export", "export-file", "get-user-env"),
        "the environment of a task is hpcsweep's; use `setup:` lines",
    ),
    "dependency": "hpcsweep makes dependencies itself",
    **dict.fromkeys(
        ("cluster", "clusters"), "a sweep belongs to the one cluster that it was submitted to"
    ),
    **dict.fromkeys(
        (
            *("autocomplete", "parsable", "test-only", "wait", "quiet", "verbose"),
            *("help", "usage", "version"),
        ),
        "it changes what sbatch prints or when it returns",
    ),
    **dict.fromkeys(("uid", "gid"), "jobs run as the user who submits"),
    "ignore-pbs": "the script has no PBS directives",
    "external": "a job without a script computes nothing",
}

_SHORT = {
    "A": "account",
    "a": "array",
    "B": "extra-node-info",
    "b": "begin",
    "C": "constraint",
    "c": "cpus-per-task",
    "D": "chdir",
    "d": "dependency",
    "e": "error",
    "F": "nodefile",
    "G": "gpus",
    "H": "hold",
    "i": "input",
    "J": "job-name",
    "k": "no-kill",
    "L": "licenses",
    "M": "clusters",
    "m": "distribution",
    "N": "nodes",
    "n": "ntasks",
    "O": "overcommit",
    "o": "output",
    "p": "partition",
    "q": "qos",
    "S": "core-spec",
    "s": "oversubscribe",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
    "W": "wait",
}
# Options that take none of these values, and the words for a truth value of YAML 1.1.
_SWITCHES = frozenset(
    {
        *("contiguous", "exclusive", "hold", "overcommit", "oversubscribe"),
        *("reboot", "spread-job", "use-min-nodes"),
    }
)
_TRUTH = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
# Values with which sbatch prints a list and submits nothing.
_QUESTIONS = frozenset({("gres", "help"), ("gres", "list"), ("hint", "help"), ("mem-bind", "help")})
# Both cases of each letter: a JSON Schema has no flag for that.
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

# The key `requeue` of the manifest says whether a task is requeued; `expedite` requeues it ahead of
# all other jobs (25.11 and newer, if the site enables it).
REQUEUE, EXPEDITE = "requeue", "expedite"


def _any_value(name: str) -> dict[str, Any]:
    number = "integer" if name in NUMBERS else "number"
    return {"type": ["boolean", number, "string"], "pattern": f"^{OPTION_VALUE.pattern}$"}


# For editors: known options, no refused ones, and those of a site's plugins.
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
        **{name: _any_value(name) for name in sorted(KNOWN.difference(_FORMS))},
        REQUEUE: {
            "const": EXPEDITE,
            "description": "Start a task that failed again at once (Slurm 25.11 and newer).",
        },
        **dict.fromkeys(REFUSED, False),
    },
    "patternProperties": {f"^{OPTION_NAME.pattern}$": True},
    "additionalProperties": False,
}


def name_problem(name: str, plugin_options: Collection[str] = ()) -> tuple[str, str] | None:
    """Why an option cannot be set, and what next; None if it can.

    `plugin_options` are the options that plugins of the site add to sbatch.
    """
    if name in REFUSED:
        return f"cannot be set: {REFUSED[name]}", "Remove it."
    if name in KNOWN or name in PYXIS or name in plugin_options:
        return None
    bare = name.lstrip("-")
    if bare in _SHORT:
        guess = _SHORT[bare]
        return (
            f"is sbatch's short form of {guess!r}",
            f"That cannot be set: {REFUSED[guess]}." if guess in REFUSED else f"Write {guess}.",
        )
    # sbatch accepts every unambiguous prefix of an option.
    if name and any(option.startswith(name) for option in (*KNOWN, *REFUSED)):
        return "is an abbreviated sbatch option", "Write its full name."
    guess = _did_you_mean(bare.lower().replace("_", "-"))
    if not OPTION_NAME.fullmatch(name):
        otherwise = "Write a long option without the dashes: partition, time, mem."
        return "is not the name of an sbatch option", guess or otherwise
    return (
        "unknown sbatch option",
        guess or "If a plugin of the cluster adds it, name it in the setting plugin_options.",
    )


def _did_you_mean(name: str) -> str:
    options = sorted((*KNOWN, *PYXIS, *REFUSED))
    swapped = [option for option in options if sorted(option) == sorted(name)]
    guess = swapped[0] if swapped else nearest(name, options)
    return f"Did you mean {guess!r}?" if guess else ""


def value_problem(name: str, value: Any) -> tuple[str, str] | None:
    """Why an option cannot have a value, and what next; None if it can."""
    if name == REQUEUE and value != EXPEDITE:
        return (
            "cannot be set: hpcsweep sets it itself: scripts carry --requeue",
            f"Remove it, or write {REQUEUE}: {EXPEDITE} where the site has Slurm 25.11 or newer.",
        )
    value = _meant(name, value)
    form, noun, next_step = _FORMS.get(name, (OPTION_VALUE, "a value for sbatch", ""))
    if isinstance(value, bool) and name not in _FORMS:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        wanted = "a whole number" if name in NUMBERS else "a text or a whole number"
        return f"is {described(value)}, not {noun}", next_step or f"Write {wanted}."
    text = str(value)
    if (name, text.lower()) in _QUESTIONS:
        return f"is {text}: sbatch prints a list and submits nothing", "Call sbatch by hand for it."
    if name in _SWITCHES and text.lower() in _TRUTH:
        return f"is the text {shown(text)}, which sbatch refuses", f"Write {_TRUTH[text.lower()]}."
    if form.fullmatch(text):
        return None
    return (
        f"is the text {shown(text)}, not {noun}",
        next_step or "Write one line of text, not empty.",
    )


def options_text(options: Mapping[str, Any]) -> dict[str, str]:
    """The values of all options that are not switched off."""
    texts = {name: option_text(name, value) for name, value in options.items()}
    return {name: text for name, text in texts.items() if text is not None}


def option_text(name: str, value: bool | int | str) -> str | None:
    """The value in a directive: "" for an option without a value, None if it is switched off."""
    if isinstance(value, bool):
        return "" if value else None
    return str(_meant(name, value))


def _meant(name: str, value: Any) -> Any:
    """The value of an option; of a count, or an amount, the number in a text: 16 of `0x10`."""
    if name not in NUMBERS or not isinstance(value, str):
        return value
    try:
        number = scalar(value)
    except ValueError:  # too large a number
        return value
    return number if type(number) in (int, float) else value
