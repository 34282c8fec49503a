"""The parts of a Logbook that need libraries. A task imports this module on first use only."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO

from hpcsweep.errors import ExtraMissing, InputError

if TYPE_CHECKING:
    from hpcsweep.logbook.run_writer import RunWriter

Writing = Callable[[str], AbstractContextManager[BinaryIO]]


def missing_library(library: str, extra: str) -> ExtraMissing:
    """The error for a library that is not installed."""
    return ExtraMissing(
        f"{library} is not installed",
        next_step=f"Install it: pip install 'hpcsweep[{extra}]'",
    )


# --- arrays --------------------------------------------------------------------------------------


def save_array(stream: BinaryIO, array: Any) -> None:
    """Write one array as .npy. *Raises* InputError for object arrays, which would need pickle."""
    import numpy as np  # noqa: PLC0415  # the worker starts without numpy (invariant 17)

    try:
        np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)
    except ValueError as error:
        raise InputError(
            f"an array cannot be saved: {error}",
            next_step="Give numbers or text of one type, or split it: log.arrays(name, a=…, b=…).",
        ) from error


def save_arrays(
    stream: BinaryIO,
    arrays: Mapping[str, Any],
    *,
    compressed: bool,
    more: Mapping[str, bytes] | None = None,
) -> None:
    """Write arrays as .npz, under any names; `more` adds members as raw bytes."""
    how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", how, allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                save_array(member, array)  # type: ignore[arg-type]  # a stream for writing
        for name, data in (more or {}).items():
            archive.writestr(name, data)


@contextlib.contextmanager
def damage_as_value_error() -> Iterator[None]:
    """Convert the errors of numpy and zipfile for damaged bytes to ValueError.

    numpy parses array headers with Python's own parser, and zipfile seeks to sizes and offsets from
    the file, so almost any exception may occur. KeyError, for a missing member, is not converted.
    """
    from tokenize import TokenError  # noqa: PLC0415  # numpy parses headers of version 1 with it

    try:
        yield
    except (
        *(ArithmeticError, EOFError, IndexError, MemoryError, OSError, RuntimeError, SyntaxError),
        *(TokenError, TypeError, struct.error, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def load_arrays(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The arrays of an .npz and its other members. *Raises* ValueError for a damaged file."""
    import numpy as np  # noqa: PLC0415  # rarely used

    arrays: dict[str, Any] = {}
    more: dict[str, bytes] = {}
    with damage_as_value_error(), zipfile.ZipFile(stream) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                    arrays[name.removesuffix(".npy")] = array
            else:
                more[name] = archive.read(name)
    return arrays, more


# --- figures and tables --------------------------------------------------------------------------


def save_figure(writing: Writing, name: str, fig: Any, dpi: float, formats: Sequence[str]) -> None:
    """Write a matplotlib figure in each format. *Raises* ExtraMissing."""
    figure = fig if fig is not None else _pyplot().gcf()
    if not hasattr(figure, "savefig"):
        raise InputError(f"a {type(figure).__name__} is not a matplotlib figure", where=name)
    if isinstance(formats, str):
        raise InputError(f"formats={formats!r}: give a list, such as [{formats!r}]")
    for suffix in formats:
        with writing(f"{name}.{suffix}") as stream:
            try:
                figure.savefig(stream, dpi=dpi, bbox_inches="tight", format=suffix)
            except ValueError as error:
                raise InputError(f"the figure cannot be saved: {error}", where=name) from error


def close_figure(fig: Any) -> None:
    """Close a figure, or the current one."""
    pyplot = _pyplot()
    pyplot.close(fig if fig is not None else pyplot.gcf())


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415  # rarely used
    except ImportError as error:
        raise missing_library("matplotlib", "plot") from error
    return plt


def save_frame(writing: Writing, name: str, frame: Any) -> str:
    """Write a pandas frame, as Parquet if pyarrow is installed, else as CSV. Returns the name."""
    if not hasattr(frame, "to_csv"):
        raise InputError(f"a {type(frame).__name__} is not a pandas frame", where=name)
    import pandas  # noqa: PLC0415  # already loaded: the frame is its own

    try:
        import pyarrow  # noqa: F401, PLC0415  # rarely used
    except ImportError:
        with writing(f"{name}.csv") as stream:
            # As Parquet does: a default index (0, 1, 2, …) is not written.
            frame.to_csv(stream, index=not isinstance(frame.index, pandas.RangeIndex))
        return f"{name}.csv"
    with writing(f"{name}.parquet") as stream:
        try:
            frame.to_parquet(stream, engine="pyarrow")
        except (ValueError, TypeError) as error:  # pyarrow's errors derive from these
            raise InputError(
                f"Parquet cannot hold this frame: {error}",
                where=name,
                next_step="Give each column values of one type and a name that is text.",
            ) from error
    return f"{name}.parquet"


def csv_line(values: Sequence[Any]) -> str:
    """A CSV line ending in LF. A lone CR is quoted, too: readers take it for a line end."""
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()[:-2] + "\n"


# --- logging -------------------------------------------------------------------------------------


class _Handler(logging.Handler):
    def __init__(self, log: RunWriter) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(RecursionError):
            self._log.notes([self.format(record)], record.levelno, is_handled=True)


def logger(log: RunWriter) -> logging.Logger:
    """A logger of one run. It is not registered with `logging`, which never drops a logger."""
    made = logging.Logger(f"hpcsweep.logbook.{log.run_id}", logging.INFO)  # noqa: LOG001
    made.addHandler(_Handler(log))
    return made


def emit_to_handlers(made: logging.Logger, messages: Sequence[object], level: int | str) -> None:
    """Send messages that are already in the log to the handlers that the program added."""
    # The number of a name, and a text for an unknown one.
    named = level if isinstance(level, int) else logging.getLevelName(level)
    number = named if isinstance(named, int) else 0
    others = [handler for handler in made.handlers if not isinstance(handler, _Handler)]
    if not others or not made.isEnabledFor(number):
        return
    for message in messages:
        record = made.makeRecord(made.name, number, "", 0, str(message), (), None)
        for handler in others:
            if number >= handler.level:
                handler.handle(record)
