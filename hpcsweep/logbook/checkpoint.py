"""Checkpoints: the state of a run, saved atomically and loaded by its next attempt."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpcsweep.errors import Damaged, InputError, Preempted
from hpcsweep.files import (
    fsync_path,
    make_directory,
    open_regular,
    parse_json,
    remove_stale_temporaries,
    remove_tree,
    replace_durably,
    token,
    unreadable,
    unwritable,
)
from hpcsweep.ids import loaded_numpy
from hpcsweep.logbook.json_values import json_document, json_value
from hpcsweep.logbook.stop_request import stop_request
from hpcsweep.logbook.storage import checked_name

# The archive member that holds everything but the arrays.
_REST = "rest.json"


def standalone_checkpoints(run: Path, run_id: str) -> Path:
    """The checkpoint directory that the attempts of a standalone run share."""
    return run.parent / "checkpoints" / run_id


class Checkpoint:
    """`log.checkpoint`, or the argument `checkpoint` of a target.

        state = checkpoint.load() or {"step": 0, "x": x0}
        ...
        checkpoint.save({"step": step, "x": x})

    A state is a dict of JSON values and numpy arrays. Programs that write files of their own take
    `checkpoint.path("state.h5")` to read and `with checkpoint.writing("state.h5") as path:` to
    write.

    In an array task that has to end, because it is preempted or its time limit is near, `requested`
    becomes true, and the next `save` raises `Preempted`, a moment at which nothing is lost.
    """

    def __init__(self, directory: Path) -> None:
        """In an array task TERM does not kill the process any more; see `requested`."""
        self.directory = directory
        stop_request.listen()

    @property
    def requested(self) -> bool:
        """Whether the task has to end soon: save the state, or lose the work since the last one."""
        return stop_request.is_received

    def save(self, state: Mapping[str, Any], name: str = "state") -> None:
        """Save a state in place of the earlier one; it is durable when this returns.

        *Raises* InputError for a value that is neither an array nor JSON, SweepError if it cannot
        be written; the earlier state is then unchanged. *Raises* Preempted if it was `requested`;
        the state is saved then. *Writes* `<name>.checkpoint`.
        """
        if not isinstance(state, Mapping):
            raise InputError(f"a state is a dict, not a {type(state).__name__}")
        numpy = loaded_numpy()
        arrays = {
            key: value
            for key, value in state.items()
            if numpy is not None and isinstance(value, numpy.ndarray)
        }
        rest = {key: value for key, value in state.items() if key not in arrays}
        data = json_document(json_value(rest, "state"))
        if arrays:
            from hpcsweep.logbook.libraries import save_arrays  # noqa: PLC0415  # needs numpy

            stream = io.BytesIO()
            save_arrays(stream, arrays, compressed=False, more={_REST: data})
            data = stream.getvalue()
        path = self.path(f"{name}.checkpoint")
        make_directory(path.parent)
        replace_durably(path, data)
        if self.requested:
            raise Preempted(
                f"the task has to end; the state {name!r} is saved",
                where=str(path),
                next_step="The next attempt continues from it.",
            )

    def load(self, name: str = "state") -> dict[str, Any] | None:
        """The state that was saved last; None if there is none.

        *Raises* SweepError for a damaged one.
        """
        path = self.path(f"{name}.checkpoint")
        try:
            with open_regular(path) as stream:
                data = stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            if not data.startswith(b"PK"):
                return _state(data)
            from hpcsweep.logbook.libraries import load_arrays  # noqa: PLC0415  # needs numpy

            arrays, more = load_arrays(io.BytesIO(data))
            return _state(more[_REST]) | arrays
        except (ValueError, KeyError) as error:
            raise Damaged(
                f"is damaged: {error}",
                where=str(path),
                next_step="Remove it to begin the run anew.",
            ) from error

    def path(self, name: str) -> Path:
        """The path of a file, existing or not. *Raises* InputError outside the directory."""
        return self.directory / checked_name(name)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path to write to; it becomes `name` if the block ends without an exception."""
        path = self.path(name)
        make_directory(path.parent)
        temporary = path.with_name(f".{path.name}.{token()}{path.suffix}")
        try:
            yield temporary
            _install(temporary, path)
            remove_stale_temporaries(path)
        finally:
            temporary.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all saved files at once: the next attempt starts from the beginning."""
        gone = self.directory.with_name(f".{self.directory.name}.cleared")
        try:
            remove_tree(gone)  # a kill may have left it
            if self.directory.exists():
                self.directory.rename(gone)
                make_directory(self.directory)  # programs may write there themselves
                remove_tree(gone)
        except OSError as error:
            raise unwritable(self.directory, error) from error


def _state(data: bytes) -> dict[str, Any]:
    """*Raises* ValueError for text that is not a JSON object."""
    state = parse_json(data)
    if not isinstance(state, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004  # the file's content
    return state


def _install(temporary: Path, path: Path) -> None:
    """Fsync a file that user code wrote, and rename it to its final name."""
    try:
        fsync_path(temporary)
        temporary.replace(path)
        fsync_path(path.parent)
    except FileNotFoundError as error:
        raise InputError(f"nothing was written to the path that becomes {path}") from error
    except OSError as error:
        raise unwritable(path, error) from error
