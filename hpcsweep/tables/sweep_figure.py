"""The figure of a sweep: from its table to a file, and what to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpcsweep.ids import slug
from hpcsweep.state.changed_inputs import InputCounts
from hpcsweep.state.code_counts import CodeCounts
from hpcsweep.state.outdated_remarks import changed_inputs, other_code
from hpcsweep.tables import plot
from hpcsweep.tables.collect import OpenSweep
from hpcsweep.tables.points import Axes
from hpcsweep.tables.request import TableRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure that was drawn into a file.

    Examples:
        >>> figure = sweep.plot("omega", "energy", output="drawn.png", notify=None)
        >>> isinstance(figure, hs.Figure), str(figure.path)
        (True, 'drawn.png')
    """

    # Of the sweep.
    name: str
    path: Path
    # Which cases are drawn, and what was averaged.
    notes: tuple[str, ...]
    # Of the sweep's directory or archive.
    sweep_path: str = field(default="", repr=False)
    # The code of the sweep's complete cases, and how many of these have inputs that changed since.
    code: CodeCounts = field(default_factory=CodeCounts, repr=False)
    inputs: InputCounts = field(default_factory=InputCounts, repr=False)

    @property
    def lines(self) -> list[str]:
        """The notes, and which results are outdated, for people.

        Examples:
            >>> sweep.plot("omega", "energy", output="noted.png", notify=None).lines
            ['2 of 3 cases are drawn; not drawn: 1 failed']
        """
        lines = [*self.notes]
        if self.code.stale:
            lines.append(other_code(self.code, self.name))
        if self.inputs.text():
            lines.append(changed_inputs(self.inputs, self.name, self.sweep_path))
        return lines

    def to_json(self) -> dict[str, Any]:
        """The path and the notes.

        Examples:
            >>> figure = sweep.plot("omega", "energy", output="named.png", notify=None)
            >>> figure.to_json()["path"]
            'named.png'
        """
        return {
            "path": str(self.path),
            "notes": list(self.notes),
            "changed": self.inputs.text(self.name),
        }

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """The picture, for a notebook."""
        data, text = self.path.read_bytes(), {"text/plain": repr(self)}
        if self.path.suffix == ".png":
            return text | {"image/png": data}
        return text | ({"image/svg+xml": data.decode()} if self.path.suffix == ".svg" else {})


def draw_sweep(
    open_sweep: OpenSweep,
    axes: Axes,
    request: TableRequest,
    *,
    path: Path | None = None,
    about: str = "",
) -> Figure:
    """Draw the complete cases that a request selects.

    By default `path` is named after the axes, and in the sweep directory. `about` says in the
    file's metadata what was called. *Writes* the file. *Raises* as `plot.draw`.
    """
    sweep, done = open_sweep.sweep, open_sweep.facts()
    axes = replace(axes, title=axes.title or sweep.name)
    place = Path() if sweep.archive else sweep.path
    name = "-over-".join(slug(column, 60) for column in (axes.y, axes.x) if column)
    path = path or place / f"{name}{'' if axes.kind == 'line' else f'-{axes.kind}'}.png"
    request = replace(request, columns=axes.columns, named_by="--x, --y, --by")
    columns, rows = open_sweep.table(request)
    origin = plot.Origin(
        about=f"manifest {sweep.newest_manifest()}; {about}",
        remarks=tuple(filter(None, (done.code.text(sweep.name), done.inputs.text(sweep.name)))),
    )
    notes = plot.draw(rows, axes, path, columns.params.values(), origin)
    return Figure(
        name=sweep.name,
        path=path,
        notes=tuple(notes),
        sweep_path=sweep.shown_path,
        code=done.code,
        inputs=done.inputs,
    )
