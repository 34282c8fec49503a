"""What a run writes into its directory: lines of its log, text, arrays, figures and other files."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import InputError
from hpcsweep.logbook.json_values import ESCAPED, log_line, null_warnings
from hpcsweep.logbook.storage import NoStorage, RunStorage

if TYPE_CHECKING:
    import logging

    from hpcsweep.logbook.programs import Completed

INFO = 20


class RunWriter:
    """The methods of `Logbook` that write a log and files."""

    run_id: str

    _storage: RunStorage
    # None until it is asked for: a packed run has a directory only then.
    _path: Path | None
    _logger: logging.Logger | None

    # --- paths -----------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The run directory. *Raises* InputError if the run has none.

        Examples:
            >>> log.path.name
            'log_shown'
        """
        if self._path is None:
            self._path = self._storage.path(".keep").parent
        return self._path

    @property
    def log_path(self) -> Path:
        """The log, `log.txt`.

        Examples:
            >>> log.log_path.name
            'log.txt'
        """
        return self.path / "log.txt"

    @property
    def datadir(self) -> Path:
        """The directory of arrays.

        Examples:
            >>> log.datadir.relative_to(log.path)
            PosixPath('data')
        """
        return self.path / "data"

    @property
    def plotdir(self) -> Path:
        """The directory of figures.

        Examples:
            >>> log.plotdir.relative_to(log.path)
            PosixPath('plots')
        """
        return self.path / "plots"

    @property
    def artifactsdir(self) -> Path:
        """The directory of all other files.

        Examples:
            >>> log.artifactsdir.relative_to(log.path)
            PosixPath('artifacts')
        """
        return self.path / "artifacts"

    def __getitem__(self, relative: str) -> Path:
        """A path inside the run directory; creates its parents. *Raises* SweepError outside it."""
        return self._storage.path(relative)

    # --- the log ---------------------------------------------------------------------------------

    def info(self, msg: object) -> None:
        """Add a line to `log.txt`.

        Examples:
            >>> log.info("step 1")
            >>> "INFO step 1" in log.log_path.read_text()
            True
        """
        self.note(msg, "INFO")

    def debug(self, msg: object) -> None:
        """Add a line to `log.txt`.

        Examples:
            >>> log.debug("residual 0.1")
            >>> "DEBUG residual 0.1" in log.log_path.read_text()
            True
        """
        self.note(msg, "DEBUG")

    def warning(self, msg: object) -> None:
        """Add a line to `log.txt`.

        Examples:
            >>> log.warning("slow convergence")
            >>> "WARNING slow convergence" in log.log_path.read_text()
            True
        """
        self.note(msg, "WARNING")

    def error(self, msg: object) -> None:
        """Add a line to `log.txt`.

        Examples:
            >>> log.error("no convergence")
            >>> "ERROR no convergence" in log.log_path.read_text()
            True
        """
        self.note(msg, "ERROR")

    def note(self, message: object, level: int | str = INFO) -> None:
        """Add a line `[time] LEVEL message` to `log.txt`, UTC; continuation lines are indented.

        Examples:
            >>> log.note("begins", "WARNING")
            >>> "WARNING begins" in log.log_path.read_text()
            True
        """
        self.notes([message], level)

    @property
    def logger(self) -> logging.Logger:
        """A standard-library logger whose messages go to `log.txt`.

        Examples:
            >>> log.logger.info("step %d", 2)
            >>> "INFO step 2" in log.log_path.read_text()
            True
        """
        if self._logger is None:
            from hpcsweep.logbook.libraries import logger  # noqa: PLC0415  # rarely used

            self._logger = logger(self)
        return self._logger

    def text(self, name: str, content: str) -> None:
        """Write `artifacts/<name>.txt`.

        Examples:
            >>> log.text("notes", "cold start")
            >>> log["artifacts/notes.txt"].read_text()
            'cold start'
        """
        self._storage.write(f"artifacts/{name}.txt", str(content).encode(errors=ESCAPED))
        self._saved("text", name, f"artifacts/{name}.txt")

    def bytes(self, name: str, data: builtins.bytes) -> None:
        """Write `artifacts/<name>` as given.

        Examples:
            >>> log.bytes("raw.bin", b"01")
            >>> log["artifacts/raw.bin"].read_bytes()
            b'01'
        """
        if not isinstance(data, (builtins.bytes, bytearray, memoryview)):
            raise InputError(f"a {type(data).__name__} is not bytes", where=name)
        self._storage.write(f"artifacts/{name}", data)
        self._saved("bytes", name, f"artifacts/{name}")

    def pickle(self, name: str, obj: Any, protocol: int = -1) -> None:
        """Write `artifacts/<name>.pkl`. hpcsweep's readers never load a pickle.

        Examples:
            >>> log.pickle("state", {"step": 3})
            >>> log["artifacts/state.pkl"].is_file()
            True
        """
        import pickle  # noqa: PLC0415  # rarely used; only writes

        self._storage.write(f"artifacts/{name}.pkl", pickle.dumps(obj, protocol))
        self._saved("pickle", name, f"artifacts/{name}.pkl")

    def array(self, name: str, array: Any) -> None:
        """Write `data/<name>.npy`. *Raises* InputError for an array of Python objects.

        Examples:
            >>> log.array("x", [0, 1])
            >>> hs.LogReader(log.path).load_array("x").tolist()
            [0, 1]
        """
        from hpcsweep.logbook.libraries import save_array  # noqa: PLC0415  # needs numpy

        with self._storage.writing(f"data/{name}.npy") as stream:
            save_array(stream, array)
        self._saved("array", name, f"data/{name}.npy")

    def arrays(self, name: str, /, compressed: Any = True, **arrays: Any) -> None:
        """Write `data/<name>.npz`, one member per keyword.

        `compressed` is an array like all others when it is not True or False.

        Examples:
            >>> log.arrays("wave", y=[2, 3])
            >>> hs.LogReader(log.path).load_array("wave:y").tolist()
            [2, 3]
        """
        from hpcsweep.logbook.libraries import save_arrays  # noqa: PLC0415  # needs numpy

        if not isinstance(compressed, bool):
            arrays, compressed = {"compressed": compressed, **arrays}, True
        with self._storage.writing(f"data/{name}.npz") as stream:
            save_arrays(stream, arrays, compressed=compressed)
        self._saved("arrays", name, f"data/{name}.npz")

    def plot(
        self, name: str, fig: Any = None, dpi: float = 200, formats: Sequence[str] = ("png",)
    ) -> None:
        """Write `plots/<name>.<format>`: `fig`, or matplotlib's current figure.

        Examples:
            >>> from matplotlib.figure import Figure
            >>> log.plot("empty", Figure(), formats=["svg"])
            >>> sorted(path.name for path in log.plotdir.glob("empty.*"))
            ['empty.svg']
        """
        from hpcsweep.logbook.libraries import save_figure  # noqa: PLC0415  # needs matplotlib

        save_figure(self._storage.writing, f"plots/{name}", fig, dpi, formats)
        self.note(f"Saved plot {name} ({'/'.join(formats)}) in plots")

    def figure(
        self, name: str, fig: Any = None, dpi: float = 200, formats: Sequence[str] = ("png",)
    ) -> None:
        """Like `plot`, then close the figure: a sweep that keeps its figures runs out of memory.

        Examples:
            >>> from matplotlib.figure import Figure
            >>> log.figure("once", Figure())
            >>> (log.plotdir / "once.png").is_file()
            True
        """
        from hpcsweep.logbook.libraries import close_figure  # noqa: PLC0415  # needs matplotlib

        self.plot(name, fig, dpi, formats)
        close_figure(fig)

    def dataframe(self, name: str, frame: Any) -> None:
        """Write a pandas frame: `data/<name>.parquet` if pyarrow is installed, else a `.csv`.

        Examples:
            >>> import pandas
            >>> log.dataframe("steps", pandas.DataFrame({"step": [1, 2]}))
            >>> pandas.read_parquet(log["data/steps.parquet"])["step"].tolist()
            [1, 2]
        """
        from hpcsweep.logbook.libraries import save_frame  # noqa: PLC0415  # needs pandas

        self._saved("dataframe", name, save_frame(self._storage.writing, f"data/{name}", frame))

    def subprocess(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        name: str | None = None,
        check: bool = True,
        **options: Any,
    ) -> Completed:
        """Run a program; its output goes to `artifacts/<name>.stdout.txt` and `….stderr.txt`.

        `name` defaults to the program's own name; `options` are those of `subprocess.run`.
        *Raises* InputError if it cannot be started, or if it fails and `check` is true.

        Examples:
            >>> log.subprocess(["echo", "ready"]).returncode
            0
        """
        from hpcsweep.logbook.programs import run_program  # noqa: PLC0415  # rarely used

        return run_program(self, argv, name, check=check, options=options)

    # --- for the rest of the package -------------------------------------------------------------

    @property
    def storage(self) -> RunStorage:
        """The storage of the run's files.

        Examples:
            >>> log.storage.write("artifacts/raw.txt", b"01")
            >>> log["artifacts/raw.txt"].read_text()
            '01'
        """
        return self._storage

    def notes(
        self, messages: Sequence[object], level: int | str = INFO, *, is_handled: bool = False
    ) -> None:
        """Add several lines to `log.txt`, and send them to the handlers that the program added.

        Examples:
            >>> log.notes(["first", "second"], "DEBUG")
            >>> "DEBUG second" in log.log_path.read_text()
            True
        """
        lines = "".join(log_line(message, level) for message in messages)
        if isinstance(self._storage, NoStorage):
            sys.stdout.write(lines)
        else:
            self._storage.append("log.txt", lines.encode(errors=ESCAPED))
        if self._logger is not None and not is_handled:
            from hpcsweep.logbook.libraries import emit_to_handlers  # noqa: PLC0415  # rarely used

            emit_to_handlers(self._logger, messages, level)

    def _saved(self, what: str, name: str, where: str, lost: Any = None) -> None:
        """Log what was saved, and which numbers became null."""
        self.note(" ".join(filter(None, ["Saved", what, name, "in", where])))
        self._lost(lost or {})

    def _lost(self, lost: Mapping[str, str]) -> None:
        """Log which numbers became null."""
        for note in null_warnings(lost):
            self.note(note, "WARNING")
