"""Elements of a command that only a shell would interpret, and the programs that take them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from hpcsweep.manifest.mistakes import shown

# Operators alone, or with the name of a file, as in `2>/dev/null`. An element with > may be a
# condition or a tag, too: `>5`, `>=x`, `<p>`.
_OPERATORS = ("|", "|&", "||", "&&", "&", ";", "<", ">", ">>", "2>", "2>>", "&>")
_DUPLICATED = ("2>&1", ">&2", "1>&2")
_REDIRECTION = re.compile(r"([12&]?>>?|<)(?![\d.]+$)[\w./~{][^<>=]*")
# Programs that take operators as arguments: they give these to a shell, look for a text, or
# compare.
_SHELLS = ("sh", "bash", "dash", "ksh", "mksh", "zsh", "csh", "tcsh", "fish")
_TAKE_OPERATORS = (
    *(*_SHELLS, "parallel", "ssh", "watch", "expr", "test", "[", "find", "tr", "cut", "sort"),
    *("grep", "egrep", "fgrep", "zgrep", "rg", "awk", "gawk", "mawk", "nawk", "sed"),
)
# Programs whose arguments are, or end with, another program and its arguments.
_START_OTHERS = (
    *("apptainer", "conda", "docker", "env", "mamba", "micromamba", "mpiexec", "mpirun", "nice"),
    *("nohup", "numactl", "pixi", "podman", "singularity", "srun", "stdbuf", "taskset", "time"),
    *("timeout", "uv", "xargs"),
)
# What a shell would replace, and programs besides shells that know $NAME themselves.
_REPLACED = re.compile(r"(?:~|\$[A-Z_][A-Z0-9_]*|\$\{[A-Z_][A-Z0-9_]*\})(?:/.*)?")
_TAKE_VARIABLES = ("awk", "gawk", "mawk", "nawk", "envsubst", "perl", "tclsh", "parallel", "ssh")
_OUTPUT = (
    "Standard output and error go to stdout.txt and stderr.txt in {run_dir}. For more than one "
    "program write a script: [sh, script.sh, …]."
)


def shell_problem(argv: Sequence[Any], position: int) -> tuple[str, str] | None:
    """What is wrong with an element, a text, and what to do; None if its program takes it."""
    element, before = argv[position], [PurePosixPath(str(one)).name for one in argv[:position]]
    starters = before if before and before[0] in _START_OTHERS else before[:1]
    if _is_operator(element, str(argv[position - 1])) and not {*_TAKE_OPERATORS} & {*starters}:
        what = f"is {element}, which no shell interprets here: the program would get it as text"
        return what, _OUTPUT
    # A shell may be behind a launcher: [srun, bash, -c, …].
    takes_variables = not before or {*_SHELLS, *_TAKE_VARIABLES} & {*before}
    if takes_variables or not _REPLACED.fullmatch(element.replace("{{", "{").replace("}}", "}")):
        return None
    return (
        f"is {shown(element)}, which no shell replaces here: the program would get it as text",
        "Write what it stands for, or a script in which a shell replaces it: [sh, script.sh, …].",
    )


def _is_operator(element: str, before: str) -> bool:
    if element in ("|", "&", ";") and before.startswith("-"):  # column -s '|'
        return False
    return element in (*_OPERATORS, *_DUPLICATED) or bool(_REDIRECTION.fullmatch(element))
