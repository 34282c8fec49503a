"""Elements of a command that only a shell would interpret, and the programs that take them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from hpcsweep.manifest.mistakes import shown

# Operators alone, or with the name of a file, as in `2>/dev/null`. An element with > may be a
# condition or a tag, too: `>5`, `>1e-3`, `>5GeV`, `>10%`, `>{x}K`, `>=x`, `<p>`.
_OPERATORS = ("|", "|&", "||", "&&", "&", ";", "<", ">", ">>", "2>", "2>>", "&>")
_DUPLICATED = ("2>&1", ">&2", "1>&2")
_UNIT = r"(?:%|[^\W\d_]+(?:/[^\W\d_]+)?\d?)?"
_AMOUNT = rf"(?:\d+\.|(?:\d+|\d*\.\d+)(?:[eE][+-]?\d+)?{_UNIT}|\{{(?!run_dir\}})[^{{}}]+\}}{_UNIT})"
_REDIRECTION = re.compile(rf"([12&]?>>?|<)(?!{_AMOUNT}$)[\w./~{{][^<>=]*")
# What is behind an option without a value of its own may be its value: column -s '|', --cut '>x'.
_OPTION = re.compile(r"--?[^\W\d][^=]*|--?\{[^=]*")
# Programs that take operators as arguments: they give these to a shell, look for a text, or
# compare.
_SHELLS = ("sh", "bash", "dash", "ksh", "mksh", "zsh", "csh", "tcsh", "fish")
_TAKE_OPERATORS = (
    *(*_SHELLS, "parallel", "ssh", "watch", "expr", "test", "[", "find", "tr", "cut", "sort"),
    *("grep", "egrep", "fgrep", "zgrep", "rg", "awk", "gawk", "mawk", "nawk", "sed"),
)
# Programs that start another one, and how many words, besides options, lead to it: `srun prog`,
# `uv run prog`, `apptainer exec IMAGE prog`.
_LAUNCHERS = {
    **dict.fromkeys(("env", "mpiexec", "mpirun", "nice", "nohup", "numactl", "srun", "stdbuf"), 1),
    **dict.fromkeys(("taskset", "time", "timeout", "xargs", "busybox", "chrt", "ionice"), 1),
    **dict.fromkeys(("setsid", "strace", "ltrace", "valgrind", "unbuffer", "sudo", "gdb"), 1),
    **dict.fromkeys(("aprun", "jsrun", "ibrun", "orterun", "prun", "shifter", "mpiexec.hydra"), 1),
    **dict.fromkeys(("xvfb-run", "likwid-pin", "likwid-mpirun", "likwid-perfctr", "ncu"), 1),
    **dict.fromkeys(("hpcrun", "prlimit", "systemd-run"), 1),
    **dict.fromkeys(("conda", "mamba", "micromamba", "pixi", "uv", "poetry", "pipenv"), 2),
    **dict.fromkeys(("flock", "perf", "nsys", "ch-run"), 2),
    **dict.fromkeys(("apptainer", "docker", "podman", "sarus", "singularity"), 3),
    # `spack build-env SPEC prog`, `guix shell PACKAGE -- prog`.
    **dict.fromkeys(("spack", "guix"), 3),
}
# Options, and words that are no program: `timeout 10`, `taskset 0x3`, `env A=1`, `timeout {limit}`.
_NO_PROGRAM = re.compile(r"-|\d|\{|\w+=")
# Options whose value may be the next word: not `-n4`, `-0` and `--ntasks=4`.
_WITHOUT_VALUE = re.compile(r"-[a-zA-Z]|--?[a-zA-Z][a-zA-Z_-]+")
# What a shell would replace, and programs besides shells that know $NAME themselves. A lone ~ is
# part of a formula: `y ~ x`.
_REPLACED = re.compile(r"(?:~(?=/)|\$[A-Z_][A-Z0-9_]*|\$\{[A-Z_][A-Z0-9_]*\})(?:/.*)?")
_TAKE_VARIABLES = ("awk", "gawk", "mawk", "nawk", "envsubst", "perl", "tclsh", "parallel", "ssh")
_OUTPUT = (
    "Standard output and error go to stdout.txt and stderr.txt in {run_dir}. For more than one "
    "program write a script: [sh, script.sh, …]."
)
_REPLACE_IT = (
    "Write what it stands for, or a script in which a shell replaces it: [sh, script.sh, …]."
)
_AS_TEXT = "To give it to the program as it is: [sh, -c, 'exec \"$@\"', _, program, argument, …]."


def shell_problem(argv: Sequence[Any], position: int) -> tuple[str, str] | None:
    """What is wrong with an element, a text, and what to do; None if its program takes it."""
    element, before = argv[position], [str(one) for one in argv[:position]]
    if before and _is_operator(element, before[-1]) and not _programs(before) & {*_TAKE_OPERATORS}:
        what = f"is {element}, which no shell interprets here: the program would get it as text"
        return what, f"{_OUTPUT} {_AS_TEXT}"
    takes_variables = not before or _programs(before) & {*_SHELLS, *_TAKE_VARIABLES}
    if takes_variables or not _REPLACED.fullmatch(element.replace("{{", "{").replace("}}", "}")):
        return None
    return (
        f"is {shown(element)}, which no shell replaces here: the program would get it as text",
        f"{_REPLACE_IT} {_AS_TEXT}",
    )


def _is_operator(element: str, before: str) -> bool:
    if _OPTION.fullmatch(before):
        return False
    return element in (*_OPERATORS, *_DUPLICATED) or bool(_REDIRECTION.fullmatch(element))


def _programs(words: Sequence[str]) -> set[str]:
    """The names of what may be the program: the first word and, behind launchers, a few more.

    A word behind an option of a launcher may be its value, or the program; the next may be it, too.
    """
    names = set[str]()
    # The fewest and the most words until the program is reached, itself included.
    nearest = farthest = 1
    for previous, word in zip(("", *words), words, strict=False):
        if names and _NO_PROGRAM.match(word):
            continue
        name = PurePosixPath(word).name
        if nearest <= 1:
            names.add(name)
        if nearest <= 1 and name in _LAUNCHERS:
            nearest = farthest = _LAUNCHERS[name]
            continue
        nearest -= 1
        if not _WITHOUT_VALUE.fullmatch(previous):
            farthest -= 1
        if not farthest:
            break
    return names
