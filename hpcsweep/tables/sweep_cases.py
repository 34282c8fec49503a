"""`source: {sweep: OTHER}`: the cases of a second stage, from the finished table of the first.

What is below `sweep:` becomes a table before the manifest is read further, and explicit cases when
it is frozen: a later change of the other sweep changes none of them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from hpcsweep import ids
from hpcsweep.errors import HpcsweepError, IdentityError, InputError, SourceError
from hpcsweep.manifest.mistakes import Mistakes, Where, described
from hpcsweep.manifest.policies import COMPLETE, SETTLED, WHEN
from hpcsweep.manifest.source_forms import forms_written, nested_sources
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.sources.keys import check_names
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.locate import argument_for, locate

if TYPE_CHECKING:
    from hpcsweep.manifest.frozen import FrozenManifest
    from hpcsweep.manifest.user import Expand
    from hpcsweep.sources import ParameterSource
    from hpcsweep.tables.columns import TableColumns, TableRow

    # Reads a manifest.
    Read = Callable[[Expand], tuple[FrozenManifest, ParameterSource]]

# The key that names the other sweep, and those that may stand beside it.
FORM = "sweep"
KEYS = (FORM, "when", "where", "columns")


@dataclass(frozen=True, kw_only=True, slots=True)
class _SweepForm:
    """The keys of one `sweep:`."""

    sweep: SweepDirectory
    # One of `policies.WHEN`.
    when: str
    where: str | None
    # None for all parameters of the other sweep.
    columns: tuple[str, ...] | None


class ManifestAfter(NamedTuple):
    """The manifest of a sweep that is sent when another one is over."""

    manifest: FrozenManifest
    # With replicates; one case stands for those of the other sweep.
    source: ParameterSource
    # The manifest's `source:` if it has cases of the other sweep, otherwise None.
    awaited: Any
    # When the other sweep is over: one of `policies.WHEN`.
    when: str


class SweepCases:
    """Puts the cases of finished sweeps into the source of a manifest.

    Names of sweeps are looked up as those of `root`, the manifest's directory, where paths start,
    too. The tables exist until the end of the `with` block. *Writes* the index of the other
    sweeps.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def expand(self, source: Any, mistakes: Mistakes) -> Any:
        """The source with a table in place of each `sweep:`; None after adding mistakes."""
        for where, form in list(named_sweeps(source)):
            try:
                table = self._table(form)
            except HpcsweepError as error:
                mistakes.add((*where, FORM), error.what, error.next_step)
                return None
            source = _replaced(source, where[1:], {"table": str(table)})
        return source

    def stand_in(self, source: Any, other: SweepDirectory, mistakes: Mistakes) -> Any:
        """The source with one case in place of those of `other`, which is not over yet.

        None after adding mistakes. *Writes* the tables of all other sweeps, as `expand`.
        """
        for where, form in list(named_sweeps(source)):
            try:
                cases = self._checked(form)
                if cases.sweep.path != other.path:
                    continue
                case = dict.fromkeys(cases.columns or _own_parameters(other), 0)
            except HpcsweepError as error:
                mistakes.add((*where, FORM), error.what, error.next_step)
                return None
            # No filter around it: the case stands for others.
            source = _replaced(_unfiltered(source, where[1:]), where[1:], {"manual": [case]})
        return self.expand(source, mistakes)

    def read_after(self, read: Read, other: SweepDirectory) -> ManifestAfter:
        """Read the manifest of a sweep that is sent when `other` is over. *Raises* as `read`."""
        awaited: list[Any] = []

        def expand(source: Any, mistakes: Mistakes) -> Any:
            replaced = self.stand_in(source, other, mistakes)
            if replaced is not None and self._names(source, other):
                awaited.append(self.absolute(source))
            return replaced

        manifest, source = read(expand)
        awaited_source = next(iter(awaited), None)
        return ManifestAfter(
            manifest, source, awaited_source, _awaited_until(awaited_source, other)
        )

    def unfinished(self, source: Any) -> SweepDirectory | None:
        """The first sweep of the source that is not over; None without one, and for a mistake."""
        from hpcsweep.state.over import is_sweep_over  # noqa: PLC0415  # the store, as below

        for _, form in named_sweeps(source):
            try:
                cases = self._checked(form)
            except HpcsweepError:  # `expand` reports it
                return None
            if not is_sweep_over(cases.sweep, None, self._settings, cases.when):
                return cases.sweep
        return None

    def _names(self, source: Any, other: SweepDirectory) -> bool:
        """Whether the source has cases of `other`. *Raises* as `find`."""
        return any(self.find(form[FORM]).path == other.path for _, form in named_sweeps(source))

    def absolute(self, source: Any) -> Any:
        """The source with the absolute path of each sweep that it names. *Raises* as `find`."""
        for where, form in list(named_sweeps(source)):
            keys = {key: form[key] for key in KEYS if key in form}
            path = str(self.find(form[FORM]).path.resolve())
            source = _replaced(source, where[1:], {**keys, FORM: path})
        return source

    def find(self, text: Any) -> SweepDirectory:
        """The sweep that a manifest names. *Raises* InputError, SweepError."""
        if not isinstance(text, str) or not text:
            raise InputError(
                f"is {described(text)}, not a sweep",
                next_step="Write its name, or its directory relative to the manifest.",
            )
        path = self._root / text
        if (path / MARKER).is_file():
            return SweepDirectory.open(path)
        return locate(text, self._settings.outputs, self._root)

    def _checked(self, form: dict[str, Any]) -> _SweepForm:
        for other_form in forms_written():
            if other_form in form:
                raise InputError(f"stands beside {other_form}", next_step="Keep one of them.")
        when, where, columns = form.get("when", COMPLETE), form.get("where"), form.get("columns")
        if when not in WHEN:
            raise InputError(
                f"`when` is {described(when)}", next_step=f"Known are {' and '.join(WHEN)}."
            )
        if where is not None and not isinstance(where, str):
            raise InputError(f"`where` is {described(where)}", next_step='Write "energy < 1".')
        if columns is not None and (
            not isinstance(columns, list) or not columns or not all(map(_is_text, columns))
        ):
            raise InputError(
                f"`columns` is {described(columns)}", next_step="Write a list of columns."
            )
        names = None if columns is None else tuple(columns)
        return _SweepForm(sweep=self.find(form[FORM]), when=when, where=where, columns=names)

    def _table(self, form: dict[str, Any]) -> Path:
        """Write the distinct cases of one `sweep:` to a file of JSON lines."""
        # The store, for such sources alone.
        from hpcsweep.tables.collect import collect  # noqa: PLC0415
        from hpcsweep.tables.request import TableRequest  # noqa: PLC0415
        from hpcsweep.tables.selection import Selection  # noqa: PLC0415

        cases = self._checked(form)
        refuse_unfinished(cases.sweep, self._settings, cases.when)
        directory = self._open.enter_context(tempfile.TemporaryDirectory(prefix="hpcsweep-"))
        path = Path(directory) / "cases.jsonl"

        def take(columns: TableColumns, rows: Iterator[TableRow]) -> None:
            names = cases.columns or tuple(columns.params.values())
            check_names(names, "columns")
            with path.open("w", encoding="utf-8") as stream:
                for params in _distinct(names, rows, cases.sweep.name):
                    stream.write(json.dumps(params, ensure_ascii=False) + "\n")

        request = TableRequest(
            selection=Selection(where=cases.where, status=(Status.COMPLETE.value,)),
            columns=cases.columns or (),
            named_by="source.columns",
        )
        collect(cases.sweep, None, self._settings, take, request)
        if not path.stat().st_size:
            argument = argument_for(cases.sweep.name, cases.sweep.shown_path)
            raise SourceError(
                f"no case of {cases.sweep.name} "
                + (f"fulfils {cases.where!r}" if cases.where else "is complete"),
                next_step=f"`hpcsweep collect {argument}` shows its table.",
            )
        return path


def named_sweeps(source: Any, where: Where = ("source",)) -> Iterator[tuple[Where, dict[str, Any]]]:
    """Each source inside of `source` that names another sweep, with its path."""
    if not isinstance(source, dict):
        return
    if FORM in source:
        yield where, source
    for steps, part in nested_sources(source):
        yield from named_sweeps(part, (*where, *steps))


def _awaited_until(source: Any, other: SweepDirectory) -> str:
    """When `other` is over for a source from `absolute`: one of `policies.WHEN`."""
    of_other = [
        form for _, form in named_sweeps(source) if Path(form[FORM]) == other.path.resolve()
    ]
    return (
        SETTLED if of_other and all(form.get("when") == SETTLED for form in of_other) else COMPLETE
    )


def _own_parameters(sweep: SweepDirectory) -> frozenset[str]:
    """The names of a sweep's parameters. *Raises* InputError before its first submission."""
    if not sweep.submissions():
        raise InputError(
            f"nothing of {sweep.name} was submitted, so its parameters are not known",
            next_step="Name the `columns`.",
        )
    return sweep.newest().source.names


def refuse_unfinished(sweep: SweepDirectory, settings: Settings, when: str = COMPLETE) -> None:
    """*Raises* SourceError if a sweep is not over; the cluster is not asked."""
    # The store, as above.
    from hpcsweep.state.over import is_sweep_over  # noqa: PLC0415
    from hpcsweep.state.status import status  # noqa: PLC0415

    if not sweep.submissions():
        what = "nothing of it was submitted"
    elif is_sweep_over(sweep, None, settings, when):
        return
    else:
        what = status(sweep, None, settings).counts_text
    argument = argument_for(sweep.name, sweep.shown_path)
    raise SourceError(
        f"the sweep {sweep.name} is not {when}: {what}",
        next_step=f"Wait for it (`hpcsweep status {argument}`), or submit this one with "
        f"--after {argument}: then it is sent when that one is {when}.",
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _distinct(
    names: tuple[str, ...], rows: Iterator[TableRow], sweep: str
) -> Iterator[dict[str, Any]]:
    """The values of these columns, without those that came before. *Raises* SourceError."""
    seen: set[str] = set()
    for row in rows:
        params = {name: row[name] for name in names if name in row}
        try:
            case_id = ids.case_id(params)
        except IdentityError as error:
            raise SourceError(
                f"{error.where} of case {row['index']} of {sweep} cannot be a parameter: "
                f"{error.what}",
                next_step="Leave out its column, or the case by `where`.",
            ) from error
        if case_id not in seen:
            seen.add(case_id)
            yield params


def _unfiltered(source: Any, path: tuple[Any, ...]) -> Any:
    """A copy of the source without the filters of the sources along a path, but its end."""
    if not path:
        return source
    copy = list(source) if isinstance(source, list) else dict(source)
    if isinstance(copy, dict):
        copy.pop("where", None)
    copy[path[0]] = _unfiltered(copy[path[0]], path[1:])
    return copy


def _replaced(source: Any, path: tuple[Any, ...], by: dict[str, Any]) -> Any:
    """A copy of the source with other cases at a path; modifiers beside them stay."""
    if not path:
        return {**by, **{key: value for key, value in source.items() if key not in KEYS}}
    copy = list(source) if isinstance(source, list) else dict(source)
    copy[path[0]] = _replaced(copy[path[0]], path[1:], by)
    return copy
