"""The keys of the tasks' environment: `modules`, `conda`, `setup`, `python` and `container`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

from hpcsweep.manifest.frozen import SetupLine, Target, TaskInterpreter
from hpcsweep.manifest.key_values import LINE_SCHEMA, a_list, refuse
from hpcsweep.manifest.mistakes import Mistakes, Where, described, shown

if TYPE_CHECKING:
    from hpcsweep.manifest.model import UserManifest

# As they are typed behind `module load`: a word, and no option.
_MODULE = r"[A-Za-z0-9_][A-Za-z0-9_.+@:/=~-]*"
# An interpreter that is searched on PATH.
_PYTHON_NAME = re.compile(r"(python|pypy)[0-9.]*")
# apptainer splits its binds at these.
_NOT_BINDABLE = re.compile(r"[,:]")
# Options of apptainer that would hide SLURM_ARRAY_TASK_ID from the worker.
_CLEANING = ("-e", "--cleanenv")


def _module(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(_MODULE, value):
        refuse(
            f"is {described(value)}, not the name of a module",
            "Write it as behind `module load`; other commands of `module` belong in `setup:`.",
        )
    return value


def _container_arg(value: Any) -> str:
    if not isinstance(value, str) or not value or re.search(r"[\n\r\0]", value):
        refuse(f"is {described(value)}, not an option of apptainer", "Quote it.")
    if value in _CLEANING:
        refuse(
            f"is {value}, which hides the variables of Slurm from the worker",
            "Leave it out, and unset in `setup:` what must not reach the container.",
        )
    return value


Modules = Annotated[
    list[
        Annotated[
            str,
            BeforeValidator(_module),
            WithJsonSchema({"type": "string", "pattern": f"^{_MODULE}$"}),
        ]
    ],
    BeforeValidator(a_list),
]
ContainerArgs = Annotated[
    list[Annotated[str, BeforeValidator(_container_arg), WithJsonSchema(LINE_SCHEMA)]],
    BeforeValidator(a_list),
]


class Environment(NamedTuple):
    """What the keys freeze to."""

    setup: tuple[SetupLine, ...]
    # None for the interpreter of hpcsweep.
    interpreter: TaskInterpreter | None


def read(
    fields: UserManifest,
    root: Path,
    target: Target | None,
    where: Callable[[Where], str],
    mistakes: Mistakes,
) -> Environment:
    """The environment of the tasks; adds mistakes."""
    setup = _setup_lines(fields, root, where, mistakes)
    taken = {line.where for line in setup}

    def place(key: str) -> str:
        """The place of a key, which no setup step has."""
        name = Path(where((key,))).name
        return _exact(name, (key,)) if name in taken else name

    return Environment(setup=setup, interpreter=_interpreter(fields, root, target, place, mistakes))


def _setup_lines(
    fields: UserManifest, root: Path, where: Callable[[Where], str], mistakes: Mistakes
) -> tuple[SetupLine, ...]:
    """The steps that prepare the worker's environment: modules, conda, setup lines."""
    steps: list[tuple[Where, str, str]] = [
        (("modules", position), name, "module") for position, name in enumerate(fields.modules)
    ]
    if fields.conda is not None:
        steps.append((("conda",), _conda(fields.conda, root, mistakes), "conda"))
    steps += [(("setup", position), text, "line") for position, text in enumerate(fields.setup)]
    # Without directories: the manifest may be copied.
    places = [Path(where(path)).name for path, _, _ in steps]
    return tuple(
        SetupLine(
            text=text, where=place if places.count(place) == 1 else _exact(place, path), kind=kind
        )
        for (path, text, kind), place in zip(steps, places, strict=True)
    )


def _exact(place: str, path: Where) -> str:
    """The place of one of several steps on a line."""
    key, *position = path
    return f"{place} {key}" + "".join(f"[{step}]" for step in position)


def _conda(value: str, root: Path, mistakes: Mistakes) -> str:
    """The name of an environment, or the absolute path of its prefix."""
    if "/" not in value:
        return value
    prefix = _resolved(root, value)
    if not os.path.isdir(prefix / "conda-meta"):  # noqa: PTH112
        mistakes.add(
            ("conda",),
            f"{shown(value)} is no conda environment: it has no directory conda-meta",
            "Write the name of an environment, or the path of its prefix.",
        )
    return str(prefix)


def _interpreter(
    fields: UserManifest,
    root: Path,
    target: Target | None,
    place: Callable[[str], str],
    mistakes: Mistakes,
) -> TaskInterpreter | None:
    if fields.container is not None:
        return _in_container(fields, root, place, mistakes)
    if fields.container_args:
        mistakes.add(("container_args",), "there is no container", "Write container: image.sif.")
    if fields.python is not None:
        path = _python(fields.python, root, mistakes)
        return TaskInterpreter(python=path, where=place("python"))
    if fields.conda is not None and target is not None and not target.is_command:
        return TaskInterpreter(python="python", where=place("conda"))
    return None


def _in_container(
    fields: UserManifest, root: Path, place: Callable[[str], str], mistakes: Mistakes
) -> TaskInterpreter:
    if fields.conda is not None:
        mistakes.add(
            ("conda",),
            f"excludes container ({mistakes.where(('container',))}), which has its own programs",
            "Keep one of them.",
        )
    python = fields.python or "python3"
    if "/" in python:
        python = os.path.normpath(root / python)
    return TaskInterpreter(
        python=python,
        where=place("container"),
        container=_image(fields.container or "", root, mistakes),
        container_args=tuple(fields.container_args),
    )


def _image(value: str, root: Path, mistakes: Mistakes) -> str:
    """The absolute path of an image."""
    if "://" in value:
        mistakes.add(
            ("container",),
            "is a URL, from which every task would make an image of its own",
            "Make one, apptainer build image.sif URL, and write its path.",
        )
        return value
    path = _resolved(root, value)
    problem = _path_problem(path, os.R_OK)
    if problem is not None:
        mistakes.add(("container",), *problem)
    for place in (path, root):
        if _NOT_BINDABLE.search(str(place)):
            what = (
                f"the path {shown(str(place))} has a comma or a colon, at which apptainer splits it"
            )
            mistakes.add(("container",), what, "Rename the directory.")
    return str(path)


def _python(value: str, root: Path, mistakes: Mistakes) -> str:
    """The absolute path of an interpreter, or its name on PATH."""
    path = _resolved(root, value)
    if not os.path.lexists(path) and _PYTHON_NAME.fullmatch(value):
        return value
    if os.path.isdir(path):  # noqa: PTH112
        both = [path / "bin" / name for name in ("python", "python3")]
        existing = [program for program in both if os.path.lexists(program)]
        if not existing:
            mistakes.add(
                ("python",),
                f"the directory {shown(value)} has no bin/python",
                "Write the path of an interpreter, or the prefix of an environment.",
            )
            return value
        path = existing[0]
    problem = _path_problem(path, os.X_OK)
    if problem is not None:
        mistakes.add(("python",), *problem)
    return str(path)


# `os.path` answers where `Path` raises: directories that may not be searched, names that are too
# long, loops of links, users that do not exist.


def _path_problem(path: Path, access: int) -> tuple[str, str] | None:
    """Why a path cannot be used, and what next."""
    if not os.path.exists(path):  # noqa: PTH110
        if os.path.islink(path):  # noqa: PTH114
            goal = path.readlink()
            return (
                f"{path} is a link to {goal}, which does not exist",
                "Make the environment again.",
            )
        return f"there is no {path}", "Relative paths start at the manifest's directory."
    if not os.access(path, access):
        verb = "executed" if access == os.X_OK else "read"
        return f"{path} cannot be {verb}", "Check its permissions."
    return None


def _resolved(root: Path, value: str) -> Path:
    """An absolute path without `..`; a link at its end stays: an environment is known by it."""
    path = root / os.path.expanduser(value)  # noqa: PTH111
    return Path(os.path.realpath(path.parent), path.name)
