"""The names that Logbook had in 0.1: `from hpcsweep.compat import Logbook, Experiment, …`.

Programs written for them run with only the import changed. New ones say `from hpcsweep import`.
"""

from __future__ import annotations

import builtins
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcsweep.logbook import Logbook as _Logbook
from hpcsweep.logbook.experiment.reader import ExperimentReader
from hpcsweep.logbook.experiment.writer import Experiment as _Experiment
from hpcsweep.logbook.json_values import ESCAPED, json_document, json_value
from hpcsweep.logbook.libraries import save_arrays, save_figure
from hpcsweep.logbook.parameters import write_params
from hpcsweep.logbook.reader import LogReader
from hpcsweep.logbook.storage import checked_name

__all__ = ["Experiment", "ExperimentReader", "LogReader", "Logbook"]


class Seconds(float):
    """A number of seconds that may also be called, as `log.elapsed()` once was."""

    def __call__(self) -> float:
        """The number itself."""
        return float(self)


class Logbook(_Logbook):
    """A Logbook with `data/`, `plots/` and `artifacts/` made at once, and the names of 0.1.

    `category` is the directory in the run to write to.
    """

    def __init__(
        self,
        run_id: object,
        base_dir: str | os.PathLike[str] = "outputs",
        params: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        preallocate: bool = True,  # noqa: ARG002  # they were always made
        **later: Any,
    ) -> None:
        super().__init__(run_id, base_dir, params, overwrite, preallocate=True, **later)

    @property
    def elapsed(self) -> Seconds:
        """Seconds since this Logbook was made."""
        return Seconds(super().elapsed)

    def log(self, message: object, level: int | str = 20) -> None:
        """Add a line to `log.txt`."""
        self.note(message, level)

    def current_status(self) -> str:
        """The value of `status`."""
        return self.status

    def save_params(self, params: Mapping[str, Any], preferred: str = "yaml") -> None:
        """Write the params; replace existing ones."""
        lost: dict[str, str] = {}
        write_params(self._storage, json_value(params, "params", lost), preferred)
        self._saved(f"params ({preferred})", "", f"params.{preferred}", lost)

    def save_numpy(
        self, name: str, array: Any, *, compressed: bool = True, category: str | None = None
    ) -> None:
        """Write `data/<name>.npz` with the array as its member `data`."""
        self._save_npz("array", name, {"data": array}, category, compressed=compressed)

    def save_arrays(
        self, name: str, /, compressed: bool = True, category: str | None = None, **arrays: Any
    ) -> None:
        """Write `data/<name>.npz`, one member per keyword."""
        self._save_npz("arrays", name, arrays, category, compressed=compressed)

    def _save_npz(
        self,
        what: str,
        name: str,
        arrays: dict[str, Any],
        category: str | None,
        *,
        compressed: bool,
    ) -> None:
        where = f"{category or 'data'}/{name}.npz"
        with self._storage.writing(where) as stream:
            save_arrays(stream, arrays, compressed=compressed)
        self._saved(what, name, where)

    def save_plot(
        self,
        name: str,
        fig: Any = None,
        dpi: float = 200,
        formats: Sequence[str] = ("png",),
        category: str | None = None,
    ) -> None:
        """Write `plots/<name>.<format>`: `fig`, or matplotlib's current figure."""
        where = category or "plots"
        save_figure(self._storage.writing, f"{where}/{name}", fig, dpi, formats)
        self.note(f"Saved plot {name} ({'/'.join(formats)}) in {where}")

    def save_json(self, name: str, data: Any, category: str | None = None) -> None:
        """Write `artifacts/<name>.json`."""
        if category is None:
            self.json(name, data)
            return
        lost: dict[str, str] = {}
        where = f"{category}/{name}.json"
        self._storage.write(where, json_document(json_value(data, name, lost)))
        self._saved("JSON", name, where, lost)

    def save_text(self, name: str, text: str, category: str | None = None) -> None:
        """Write `artifacts/<name>.txt`."""
        self._save("text", name, ".txt", str(text).encode(errors=ESCAPED), category)

    def save_pickle(
        self, name: str, obj: Any, protocol: int = -1, category: str | None = None
    ) -> None:
        """Write `artifacts/<name>.pkl`."""
        self._save("pickle", name, ".pkl", pickle.dumps(obj, protocol), category)

    def save_bytes(self, name: str, data: builtins.bytes, category: str | None = None) -> None:
        """Write `artifacts/<name>` as given."""
        self._save("bytes", name, "", data, category)

    def _save(
        self, what: str, name: str, suffix: str, data: builtins.bytes, category: str | None
    ) -> None:
        where = f"{category or 'artifacts'}/{name}{suffix}"
        self._storage.write(where, data)
        self._saved(what, name, where)

    def artifact_path(self, *parts: str, create: bool = True) -> Path:
        """A path inside the run directory; with `create` its parents are created."""
        name = "/".join(map(str, parts))
        return self._storage.path(name) if create else self.path / checked_name(name)

    def exists(self, relative: str) -> bool:
        """Whether a file or directory exists in the run directory."""
        return (self.path / checked_name(str(relative))).exists()


class Experiment(_Experiment):
    """An Experiment whose runs are these Logbooks."""

    logbook_class = Logbook
