"""The former names of a Logbook's methods: `save_json`, `category=`, `current_status()`."""

from __future__ import annotations

import builtins
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.files import make_directory
from hpcsweep.logbook.json_values import ESCAPED, json_document, json_value
from hpcsweep.logbook.storage import checked_name

if TYPE_CHECKING:
    from hpcsweep.logbook.storage import RunStorage


class FormerNames:
    """Mixin of every Logbook. `category` is the directory in the run to write to."""

    _storage: RunStorage

    @property
    @abstractmethod
    def path(self) -> Path:
        """See Logbook."""

    @property
    @abstractmethod
    def status(self) -> str:
        """See Logbook."""

    @abstractmethod
    def note(self, message: object, level: int | str = 20) -> None:
        """See Logbook."""

    @abstractmethod
    def json(self, name: str, data: Any) -> None:
        """See Logbook."""

    @abstractmethod
    def _saved(
        self, what: str, name: str, where: str, lost: Mapping[str, str] | None = None
    ) -> None:
        """See Logbook."""

    def log(self, message: object, level: int | str = 20) -> None:
        """Add a line to `log.txt`."""
        self.note(message, level)

    def current_status(self) -> str:
        """The value of `status`."""
        return self.status

    def save_params(self, params: Mapping[str, Any], preferred: str = "yaml") -> None:
        """Write the params; replace existing ones."""
        from hpcsweep.logbook.parameters import write_params  # noqa: PLC0415  # rarely used

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
        from hpcsweep.logbook.libraries import save_arrays  # noqa: PLC0415  # needs numpy

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
        from hpcsweep.logbook.libraries import save_figure  # noqa: PLC0415  # needs matplotlib

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
        import pickle  # noqa: PLC0415  # rarely used; only writes

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

    def _target_dir(self, category: str | None, fallback: Path) -> Path:
        """The directory of a category, created; `fallback` without one."""
        return fallback if category is None else make_directory(self._storage.path(category))
