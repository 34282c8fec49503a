"""Calls as cases: their pickles, and the sweep that each batch of calls extends."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from hpcsweep import target
from hpcsweep.errors import InputError, SweepError
from hpcsweep.executor import pickles
from hpcsweep.executor.task import CALLS, Function
from hpcsweep.files import make_directory, write_new
from hpcsweep.manifest.model import UserManifest
from hpcsweep.sources import manual
from hpcsweep.sweep import Sweep
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.growing import GrownCases, with_cases, with_cases_of
from hpcsweep.sweepdir.version import Version

TARGET = "hpcsweep.executor.task:run_call"
# Keys of a manifest that an executor sets itself, or that have no meaning for calls.
OWN_KEYS = (
    *("name", "target", "command", "source", "replicates", "share", "snapshot", "fixed", "inputs"),
    *("reduce", "reduce_when", "reduce_slurm", "result_cls", "results_dir", "file_suffix"),
    *("db_url", "use_cache", "custom_data"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallPickles:
    """A call that was pickled where it was submitted."""

    # The name of the function, for tables and messages.
    function: str
    code: bytes
    arguments: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Initializer:
    """What a process calls before its first call, as a pool of processes has it."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]


def pickled(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    by_name: Mapping[str, Any],
    initializer: Initializer | None = None,
) -> CallPickles:
    """Pickle a call. *Raises* InputError, naming the argument that cannot be pickled."""
    return CallPickles(
        function=name_of(function),
        code=pickled_function(function, initializer),
        arguments=pickled_arguments(name_of(function), arguments, by_name),
    )


def pickled_function(function: Callable[..., Any], initializer: Initializer | None = None) -> bytes:
    """Pickle a function with the search path that it needs. *Raises* InputError."""
    what = f"the function {name_of(function)}"
    wrapped: Function = {"search": _own_search_path(), "function": b""}
    if initializer is None:
        wrapped["function"] = pickles.dump(function, what)
    else:  # as one pickle, since both may use the same global variables of a script
        begins = initializer.function, initializer.arguments
        try:
            both = pickles.dump((function, *begins), what)
        except InputError:
            pickles.dump(begins, "the initializer with its arguments")  # raises if it is to blame
            raise
        digest = pickles.digest_of(pickles.dump(begins, "the initializer with its arguments"))
        wrapped |= {"function": both, "initializer": digest}
    return pickles.dump(wrapped, "a function")


def pickled_arguments(name: str, arguments: tuple[Any, ...], by_name: Mapping[str, Any]) -> bytes:
    """Pickle the arguments of a call of `name`. *Raises* InputError, naming the culprit."""
    try:
        return pickles.dump((arguments, dict(by_name)), "its arguments")
    except InputError:
        for place, value in (*enumerate(arguments, start=1), *by_name.items()):
            pickles.dump(value, f"the argument {place} of {name}")
        raise


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function for people."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _own_search_path() -> list[str]:
    """What of `sys.path` is the caller's: neither Python's own nor of installed packages.

    The empty text, which an interactive Python and `python -c` have, is the current directory.
    """
    installed = {os.path.realpath(path) for path in sysconfig.get_paths().values()}
    stdlib = sysconfig.get_paths()["stdlib"]
    return [
        path
        for path in map(os.path.realpath, filter(os.path.isdir, (path or "." for path in sys.path)))
        if path not in installed and not path.startswith((stdlib, *installed))
    ]


class CallSweep:
    """The sweep of an executor: a manifest whose cases are all of its calls, in order."""

    def __init__(self, name: str, root: Path, keys: Mapping[str, Any], options: dict[str, Any]):
        """`keys` are those of a manifest, `options` the further arguments of `Sweep`."""
        self._name, self._root, self._keys, self._options = name, root, keys, options
        # All calls, and of each its index; those that no submission has yet are the last.
        self._params: list[dict[str, Any]] = []
        self._indices: dict[tuple[Any, ...], int] = {}
        # The newest version of the manifest, which has the first of the calls.
        self._newest: Version | None = None
        self.sweep = self._described()

    @property
    def path(self) -> Path:
        """The sweep directory, which may not exist yet."""
        return self.sweep.path

    def created(self) -> SweepDirectory:
        """The sweep directory, made if it is missing. *Raises* SweepError if others may enter."""
        directory = SweepDirectory.create(self.path, self._name)
        pickles.refuse_shared(directory.path)
        return directory

    def load(self) -> int:
        """Read which calls there are, also of earlier processes. Returns their count.

        Those that were added and never sent are forgotten.
        """
        try:
            self.sweep = Sweep(str(self.path), **self._options)
        except SweepError:
            if (self.path / "submissions").is_dir():
                raise
            self._read(None)  # nothing was submitted yet
        else:
            self._read(self.sweep._directory.newest())  # noqa: SLF001  # of our own
        for params in self._params[self._n_sent :]:
            del self._indices[_key(params)]
        del self._params[self._n_sent :]
        return len(self._params)

    @property
    def _n_sent(self) -> int:
        return 0 if self._newest is None else self._newest.source.n_cases

    def _read(self, version: Version | None) -> None:
        """Read the calls of the newest version, unless they are known."""
        known = None if self._newest is None else self._newest.fingerprint
        if known == (None if version is None else version.fingerprint):
            return
        self._params = [] if version is None else [case.params for case in version.source]
        self._indices = {_key(params): index for index, params in enumerate(self._params)}
        self._newest = version

    def add(self, call: CallPickles, modules: str | None) -> int:
        """The index of a call; with the digest of `modules`, that of an equal one.

        *Writes* its pickles.
        """
        params: dict[str, Any] = {
            "function": call.function,
            "code": pickles.digest_of(call.code),
            "arguments": pickles.digest_of(call.arguments),
        }
        params |= {"modules": modules} if modules is not None else {"call": len(self._params)}
        known = self._indices.get(_key(params))
        if known is not None:
            return known
        directory = make_directory(self.path / CALLS)
        for data in (call.code, call.arguments):
            path = directory / f"{pickles.digest_of(data)}.pickle"
            if not path.exists():
                write_new(path, data)
        self._indices[_key(params)] = len(self._params)
        self._params.append(params)
        return len(self._params) - 1

    def submit(self, indices: Iterable[int], chunk: int | None, **how: Any) -> None:
        """Submit calls as one array. *Raises* and *writes* as `Sweep.submit`."""
        described = self._described(chunk)
        new, version = self._params[self._n_sent :], described._version  # noqa: SLF001  # of our own
        if new or self._newest is None:
            version = with_cases(version, GrownCases(new, self._newest))
        else:
            version = with_cases_of(version, self._newest)
        described._described = version  # noqa: SLF001  # as above
        self.sweep = described
        self.sweep.submit(cases=sorted(indices), notify=None, **how)
        # As it is on disk: what was made in memory refers to the version before it.
        self._newest = described._directory.newest()  # noqa: SLF001  # as above

    def function_of(self, index: int) -> str:
        """The name of the function of a call."""
        return str(self._params[index]["function"])

    def _described(self, chunk: int | None = None) -> Sweep:
        """The sweep with a case in place of its calls."""
        keys = dict(self._keys) | ({} if chunk is None else {"chunk": chunk})
        modules = sorted(self._module_files())
        return Sweep(
            self._name,
            manual([{"call": 0}]),
            target=TARGET,
            root=self._root,
            snapshot=[escape(name) for name in modules] or "none",
            **keys,
            **self._options,
        )

    def _module_files(self) -> dict[str, Path]:
        """The caller's loaded modules, but for the running script: relative names and paths."""
        root = self._root.resolve()
        script = getattr(sys.modules["__main__"], "__file__", None)
        own = "" if script is None else os.path.realpath(script)
        paths = [Path(path) for path in target.user_modules(root) if path != own]
        return {path.relative_to(root).as_posix(): path for path in paths}

    def modules_digest(self) -> str:
        """16 hex digits over the code that calls may use: the modules that the caller loaded."""
        return target.digest_of(self._module_files())


def _key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(params.get(name) for name in ("call", "function", "code", "arguments", "modules"))


def manifest_keys(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a manifest of keywords: its own keys, and options of sbatch with underscores.

    *Raises* InputError for a key that has no meaning for calls. `Sweep` checks the values.
    """
    keys: dict[str, Any] = {"runs": "all"}
    slurm = dict(options.get("slurm") or {})
    for name, value in options.items():
        if name in OWN_KEYS:
            raise InputError(
                f"{name!r} has no meaning for calls",
                where="Executor",
                next_step="Describe a Sweep where cases have parameters of their own.",
            )
        if name in UserManifest.model_fields:
            keys[name] = value
        else:
            slurm[name.replace("_", "-")] = value
    if keys["runs"] not in ("all", "packed"):
        raise InputError(
            f"{keys['runs']!r} keeps no answers", where="runs", next_step="Say 'all' or 'packed'."
        )
    return keys | ({"slurm": slurm} if slurm else {})
