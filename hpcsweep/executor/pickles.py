"""Pickle what a call takes and gives, and load it from private files alone (invariant 22).

The standard library suffices for functions of modules. Functions of a script or notebook, lambdas
and closures need cloudpickle, here and in the tasks.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

from hpcsweep.errors import CallFailed, Damaged, InputError, SweepError
from hpcsweep.files import open_regular, unreadable

try:
    from cloudpickle import dumps as _dumps
except ImportError:  # in the interpreter of a task
    _dumps = pickle.dumps

_NEXT = "Give plain objects, arrays or paths; open files and connections inside the function."
# Bits of a mode that let others in.
_OF_OTHERS = 0o077


def dump(value: Any, what: str) -> bytes:
    """Pickle a value; `what` names it. *Raises* InputError, whatever the value raises."""
    try:
        return bytes(_dumps(value))
    except Exception as error:  # a user's class may raise anything
        raise InputError(
            f"{what} cannot be pickled: {type(error).__name__}: {error}", next_step=_NEXT
        ) from error


def digest_of(data: bytes) -> str:
    """32 hex digits that name a pickle file, and that are checked before it is loaded."""
    return hashlib.sha256(data).hexdigest()[:32]


def read_pickle(path: Path) -> bytes:
    """The content of a pickle file, whose name is its digest. *Raises* SweepError, Damaged."""
    try:
        with open_regular(path) as stream:
            data = stream.read()
    except OSError as error:
        raise unreadable(path, error) from error
    return checked(data, path.name.partition(".")[0], str(path))


def checked(data: bytes, digest: str, where: str) -> bytes:
    """The same data. *Raises* Damaged if it has another digest than the journal or params say."""
    if digest_of(data) != digest:
        raise Damaged(
            "is not what was pickled, and is not loaded",
            where=where,
            next_step="Call the function again.",
        )
    return data


def load(data: bytes, what: str) -> Any:
    """Load a pickle whose digest and place were checked; `what` names it. Runs code that is in it.

    *Raises* CallFailed, whatever that code raises: it imports the user's modules.
    """
    try:
        return pickle.loads(data)  # noqa: S301  # of a private directory, with a known digest
    except (Exception, SystemExit) as error:
        raise CallFailed(
            f"{what} cannot be loaded: {type(error).__name__}: {error}",
            next_step=f"Its modules must be there for {sys.executable}, too.",
        ) from error


def refuse_shared(sweep: Path) -> None:
    """*Raises* SweepError for a directory that others may enter: they could have put a pickle."""
    try:
        status = os.lstat(sweep)
    except OSError as error:
        raise unreadable(sweep, error) from error
    if status.st_uid != os.geteuid() or status.st_mode & _OF_OTHERS:
        raise SweepError(
            "is another user's, or open to others: no pickle is loaded from it",
            where=str(sweep),
            next_step="Calls are in directories of mode 0700 that are your own.",
        )
