"""`Logbook`: what a program writes while it runs, alone or as a case of a sweep."""

from __future__ import annotations

import builtins
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from hpcsweep.errors import InputError
from hpcsweep.logbook.former import FormerNames
from hpcsweep.logbook.place import Folder, Nowhere, Place
from hpcsweep.logbook.values import ESCAPED, Metrics, json_document, json_value, log_line

if TYPE_CHECKING:
    import logging

    from hpcsweep.logbook.alone import Alone
    from hpcsweep.logbook.checkpoint import Checkpoint
    from hpcsweep.logbook.parameters import Parameters
    from hpcsweep.logbook.programs import Completed

INFO = 20
# Who reported a metric, in messages.
BY_JSON = 'log.json("metrics")'
STEPS = "artifacts/metrics_steps.csv"
STEPS_HEAD = b"name,step,value\n"


class Logbook(FormerNames):
    """One run: its directory `log_<run id>`, its log, metadata, params, metrics and files.

    Standalone it makes its directory below `base_dir` and says in `metadata.json` what becomes of
    the run. A task gives its target one over the attempt's directory: see `attached`.
    *Raises* RunExists when the run is there and `overwrite` is false; of several processes that
    make one run, one wins. `overwrite` removes the earlier run. With `capture` what is printed
    in the `with` block goes to `stdout.txt` and `stderr.txt`, in a task it always does.
    """

    # Called with the Logbook at the end of a run that stands alone.
    callback: Callable[[Self], object] | None
    # Why the target itself called its case failed; None if it did not.
    told_failed: str | None
    # Where the attempts of a run leave each other something; beside the run if it is None.
    checkpoints: Path | None
    # What a run that no worker looks after says of itself.
    _alone: Alone | None
    # Those that a manifest fixed.
    _case_params: dict[str, Any] | None
    _logger: logging.Logger | None

    def __init__(
        self,
        run_id: object,
        base_dir: str | os.PathLike[str] = "outputs",
        params: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        preallocate: bool = False,
        callback: Callable[[Self], object] | None = None,
        capture: bool = False,
    ) -> None:
        # A task does without all that belongs to a run alone.
        from hpcsweep.logbook.alone import begin, claim  # noqa: PLC0415

        base = Path(base_dir)
        path = claim(base, str(run_id), overwrite=overwrite)
        self._settle(str(run_id), Folder(path), path)
        self.callback = callback
        self._alone = begin(self, base, params, preallocate=preallocate, capture=capture)

    @classmethod
    def attached(
        cls,
        run_id: str,
        place: Path | Place | None,
        *,
        params: Mapping[str, Any] | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        """The Logbook of a case; a worker says what becomes of the run.

        Without a place (`runs: none`) metrics are kept, messages go to standard output, and
        writing a file is refused.
        """
        self = cls.__new__(cls)
        if isinstance(place, Path):
            self._settle(run_id, Folder(place), place)
        else:
            self._settle(run_id, place or Nowhere(), None)
        self._case_params = None if params is None else dict(params)
        self.checkpoints = checkpoints
        return self

    def _settle(self, run_id: str, place: Place, path: Path | None) -> None:
        self.run_id = run_id
        self.callback = None
        self.told_failed = None
        self._place = place
        self._path = path
        self._metrics = Metrics()
        self._has_steps = False
        self._start_time = time.monotonic()
        self._alone = None
        self._case_params = None
        self.checkpoints = None
        self._logger = None

    # --- where things are ------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The run directory. *Raises* InputError where none is kept."""
        if self._path is None:
            self._path = self._place.path(".keep").parent
        return self._path

    @property
    def log_path(self) -> Path:
        """The log, `log.txt`."""
        return self.path / "log.txt"

    @property
    def datadir(self) -> Path:
        """Where arrays go."""
        return self.path / "data"

    @property
    def plotdir(self) -> Path:
        """Where figures go."""
        return self.path / "plots"

    @property
    def artifactsdir(self) -> Path:
        """Where all else goes."""
        return self.path / "artifacts"

    def __getitem__(self, relative: str) -> Path:
        """A path inside the run directory, its parents made. *Raises* SweepError outside it."""
        return self._place.path(relative)

    # --- the log ---------------------------------------------------------------------------------

    def info(self, message: object) -> None:
        """Add a line to `log.txt`."""
        self.note(message, "INFO")

    def debug(self, message: object) -> None:
        """Add a line to `log.txt`."""
        self.note(message, "DEBUG")

    def warning(self, message: object) -> None:
        """Add a line to `log.txt`."""
        self.note(message, "WARNING")

    def error(self, message: object) -> None:
        """Add a line to `log.txt`."""
        self.note(message, "ERROR")

    def note(self, message: object, level: int | str = INFO) -> None:
        """Add a line `[time] LEVEL message` to `log.txt`, UTC; further lines are indented."""
        line = log_line(message, level)
        if isinstance(self._place, Nowhere):
            sys.stdout.write(line)
        else:
            self._place.append("log.txt", line.encode(errors=ESCAPED))

    @property
    def logger(self) -> logging.Logger:
        """A logger of the standard library whose messages end up in `log.txt`."""
        if self._logger is None:
            from hpcsweep.logbook.libraries import logger  # noqa: PLC0415  # few tasks want it

            self._logger = logger(self)
        return self._logger

    # --- what the run is -------------------------------------------------------------------------

    def meta(self, **fields: Any) -> None:
        """Set fields of `metadata.json`."""
        merged = self._place.merge("metadata.json", json_value(fields, "metadata"))
        if self._alone is not None:
            self._alone.said(merged.get("status"))

    @property
    def params(self) -> Parameters:
        """The params: `log.params["omega"]`; `log.params(omega=1.0)` saves more of them."""
        from hpcsweep.logbook.parameters import Parameters  # noqa: PLC0415  # few tasks want it

        return Parameters(self._place, self._case_params, self._saved)

    @property
    def status(self) -> str:
        """What `metadata.json` says: initialized, complete, failed, interrupted; or unknown."""
        if self._alone is not None:
            return self._alone.status()
        return "failed" if self.told_failed is not None else "initialized"

    @property
    def elapsed(self) -> float:
        """Seconds since this Logbook was made."""
        return time.monotonic() - self._start_time

    @property
    def checkpoint(self) -> Checkpoint:
        """What survives the attempts of a run: see `Checkpoint`."""
        from hpcsweep.logbook.checkpoint import Checkpoint  # noqa: PLC0415  # few tasks want it

        return Checkpoint(self.checkpoints or self.path.parent / "checkpoints" / self.run_id)

    # --- files -----------------------------------------------------------------------------------

    def json(self, name: str, data: Any) -> None:
        """Write `artifacts/<name>.json`; the name `metrics` also makes them the run's metrics.

        What JSON cannot hold of numbers (NaN, infinities) becomes null, and the log says so.
        """
        lost: dict[str, str] = {}
        if name == "metrics":
            if not isinstance(data, Mapping):
                raise InputError("log.json('metrics', …) takes a dict of metrics by name")
            self._metrics.forget(BY_JSON)
            self.merge_metrics(data, BY_JSON)
            if isinstance(self._place, Nowhere):
                return
        value = json_value(data, name, lost)
        self._place.write(f"artifacts/{name}.json", json_document(value))
        notes = [f"{where} is {given}, written as null" for where, given in lost.items()]
        self._saved("JSON", name, f"artifacts/{name}.json", notes)

    def text(self, name: str, content: str) -> None:
        """Write `artifacts/<name>.txt`."""
        self._place.write(f"artifacts/{name}.txt", str(content).encode(errors=ESCAPED))
        self._saved("text", name, f"artifacts/{name}.txt")

    def bytes(self, name: str, data: builtins.bytes) -> None:
        """Write `artifacts/<name>` as it is."""
        self._place.write(f"artifacts/{name}", data)
        self._saved("bytes", name, f"artifacts/{name}")

    def pickle(self, name: str, obj: Any, protocol: int = -1) -> None:
        """Write `artifacts/<name>.pkl`. For your own eyes: readers of ours never load a pickle."""
        import pickle  # noqa: PLC0415  # few tasks want it; nothing is loaded

        self._place.write(f"artifacts/{name}.pkl", pickle.dumps(obj, protocol))
        self._saved("pickle", name, f"artifacts/{name}.pkl")

    def array(self, name: str, array: Any) -> None:
        """Write `data/<name>.npy`. *Raises* InputError for an array of Python objects."""
        from hpcsweep.logbook.libraries import save_array  # noqa: PLC0415  # needs numpy

        with self._writing(f"data/{name}.npy") as stream:
            save_array(stream, array)
        self._saved("array", name, f"data/{name}.npy")

    def arrays(self, name: str, /, compressed: Any = True, **arrays: Any) -> None:
        """Write `data/<name>.npz`, one member per keyword.

        `compressed` counts as a keyword like all others when it is not True or False.
        """
        from hpcsweep.logbook.libraries import save_arrays  # noqa: PLC0415  # needs numpy

        if not isinstance(compressed, bool):
            arrays, compressed = {"compressed": compressed, **arrays}, True
        with self._writing(f"data/{name}.npz") as stream:
            save_arrays(stream, arrays, compressed=compressed)
        self._saved("arrays", name, f"data/{name}.npz")

    def plot(
        self, name: str, fig: Any = None, dpi: float = 200, formats: Sequence[str] = ("png",)
    ) -> None:
        """Write `plots/<name>.<format>`: `fig`, or matplotlib's current figure."""
        from hpcsweep.logbook.libraries import save_figure  # noqa: PLC0415  # needs matplotlib

        save_figure(self._writing, f"plots/{name}", fig, dpi, formats)
        self.note(f"Saved plot {name} ({'/'.join(formats)}) in plots")

    def figure(
        self, name: str, fig: Any = None, dpi: float = 200, formats: Sequence[str] = ("png",)
    ) -> None:
        """As `plot`, then close the figure: a sweep that keeps all figures runs out of memory."""
        from hpcsweep.logbook.libraries import close_figure  # noqa: PLC0415  # needs matplotlib

        self.plot(name, fig, dpi, formats)
        close_figure(fig)

    def dataframe(self, name: str, frame: Any) -> None:
        """Write a pandas frame: `data/<name>.parquet` where pyarrow is, else `data/<name>.csv`."""
        from hpcsweep.logbook.libraries import save_frame  # noqa: PLC0415  # needs pandas

        self._saved("dataframe", name, save_frame(self._writing, f"data/{name}", frame))

    def subprocess(
        self, argv: Sequence[str | os.PathLike[str]], *, name: str | None = None,
        check: bool = True, **options: Any,
    ) -> Completed:  # fmt: skip
        """Run a program, its output in `artifacts/<name>.stdout.txt` and `….stderr.txt`.

        `name` is the program's own if it is missing; `options` are those of `subprocess.run`.
        *Raises* InputError when it cannot be started, or fails and `check` is true.
        """
        from hpcsweep.logbook.programs import run_program  # noqa: PLC0415  # few tasks want it

        return run_program(self, argv, name, check=check, options=options)

    # --- metrics ---------------------------------------------------------------------------------

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics so far: JSON values by name."""
        return self._metrics.values

    def metric(self, name: str, value: Any, step: float | None = None) -> None:
        """Keep one metric. *Raises* InputError when `name` has another value already.

        With a step it is a row of the table `artifacts/metrics_steps.csv` instead, and no metric
        of the run: a run has one value of a metric.
        """
        if step is None:
            self.merge_metrics({name: value}, "log.metric")
            if self._alone is not None:
                self._place.write("artifacts/metrics.json", json_document(self.metrics))
            return
        from hpcsweep.logbook.libraries import step_row  # noqa: PLC0415  # few tasks want it

        row = step_row(name, step, value)
        if not self._has_steps:
            self._has_steps = True
            row = row if self._place.read(STEPS) else STEPS_HEAD + row
        self._place.append(STEPS, row)

    def merge_metrics(self, metrics: Mapping[str, Any], origin: str) -> None:
        """Take over metrics that came another way. *Raises* InputError when a value differs."""
        lost = self._metrics.merge(metrics, origin)
        if origin != BY_JSON:  # `json` says it of all that it writes
            for where, given in lost.items():
                self.warning(f"{where} is {given}, kept as null")

    # --- the end ---------------------------------------------------------------------------------

    def mark_complete(self) -> None:
        """Say that the run is complete; in a task, its end says so."""
        self.told_failed = None
        if self._alone is not None:
            self._alone.end("complete", "Marked complete")

    def mark_failed(self, reason: object) -> None:
        """Say that the run failed, and why; a task then calls its case failed."""
        self.told_failed = str(reason)
        if self._alone is not None:
            self._alone.end("failed", f"Marked failed: {reason}", str(reason), sys.exc_info()[1])

    def __enter__(self) -> Self:
        if self._alone is not None:
            self._alone.entered()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._alone is not None:
            self._alone.left(error)

    # --- for the rest of the room ----------------------------------------------------------------

    @property
    def place(self) -> Place:
        """Where the files go."""
        return self._place

    def notes(self, messages: Sequence[object]) -> None:
        """Add several lines to `log.txt` at once."""
        lines = "".join(log_line(message, INFO) for message in messages)
        self._place.append("log.txt", lines.encode(errors=ESCAPED))

    def _writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self._place.writing(name)

    def _saved(self, what: str, name: str, where: str, notes: Sequence[str] = ()) -> None:
        """Log what was saved; `notes` are warnings about it."""
        lines = log_line(" ".join(filter(None, ["Saved", what, name, "in", where])), INFO)
        lines += "".join(log_line(note, "WARNING") for note in notes)
        self._place.append("log.txt", lines.encode(errors=ESCAPED))
