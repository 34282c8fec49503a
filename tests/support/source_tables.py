"""The tables of sources in docs/, made from the descriptions of sources, rules and distributions.

python -m tests.support.source_tables        writes them into the pages
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from hpcsweep.sources.distributions import given_fields
from hpcsweep.sources.keys import Key, Kind
from hpcsweep.sources.ranges import RULES
from hpcsweep.sources.registry import (
    DISTRIBUTIONS,
    SOURCE,
    SOURCES,
    distribution_class,
    source_class,
)

DOCS = Path(__file__).parents[2] / "docs/reference"
END = "<!-- end -->\n"


def kinds() -> Iterator[tuple[str, ...]]:
    """How each kind of source is made in Python and in a manifest, and what its cases are."""
    yield "Python", "in a manifest", ""
    for name in SOURCES:
        kind = source_class(name).KIND
        form = f"`{kind.form}: {kind.example}`" if kind.form else f"`type: {name}`"
        beside = " beside it" if kind.form and kind.is_modifier else ""
        yield f"`{kind.python}`", form + beside, kind.meaning


def keys_of_kinds() -> Iterator[tuple[str, ...]]:
    """Every key of every kind of source."""
    yield "form", "type", "key", "value", "without it"
    for name in SOURCES:
        kind = source_class(name).KIND
        form, first = f"`{kind.form}`" if kind.form else "", f"`{name}`"
        for key in kind.keys:
            if key is not SOURCE:
                yield form, first, *_key_cells(kind, key)
                form = first = ""


def _key_cells(kind: Kind, key: Key) -> tuple[str, str, str]:
    mark = "" if key.in_form else " †"
    mark = " *" if key.name == kind.alone else mark
    value = f"{key.meaning}: {key.type.noun}"
    return f"`{key.name}`{mark}", value, key.default or "required"


def rules() -> Iterator[tuple[str, ...]]:
    """The rules that an axis can have."""
    yield "manifest", "Python", "values"
    for name, rule in RULES.items():
        numbers = ", ".join(map(str, rule.example))
        yield f"`{{{name}: [{numbers}]}}`", f"`{name}({numbers})`", rule.gives


def distributions() -> Iterator[tuple[str, ...]]:
    """The distributions with the function that makes each, and their fields."""
    yield "Python", "type and fields", "values"
    for name, home in DISTRIBUTIONS.items():
        kind = distribution_class(name)
        maker = _maker(home, name)
        fields = ", ".join(field.name for field in given_fields(kind) if field.name != "path")
        arguments = ", ".join(
            "…" if one.kind is one.VAR_KEYWORD else one.name
            for one in inspect.signature(maker).parameters.values()
        )
        meaning = (kind.__doc__ or "").partition("\n")[0]
        yield f"`{maker.__name__}({arguments})`", f"`{name}`: {fields}", meaning


def _maker(module: str, name: str) -> Callable[..., object]:
    """The function of a module that makes a distribution."""
    (maker,) = (
        value
        for value in vars(import_module(module)).values()
        if inspect.isfunction(value)
        and value.__module__ == module
        and not value.__name__.startswith("_")
        and value.__annotations__.get("return") == name
    )
    return maker


# By page and name of the part.
TABLES: dict[tuple[str, str], Callable[[], Iterator[tuple[str, ...]]]] = {
    ("sources.md", "kinds"): kinds,
    ("sources.md", "rules"): rules,
    ("sources.md", "distributions"): distributions,
    ("manifest.md", "keys of sources"): keys_of_kinds,
}


def table(rows: Iterator[tuple[str, ...]]) -> str:
    """Rows in Markdown, the first of them the heads."""
    heads, *rest = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [heads, ["---"] * len(heads), *rest]
    return "".join(
        f"| {' | '.join(cells)} |\n".replace("  ", " ").replace("  ", " ") for cells in lines
    )


def parts(page: str, name: str) -> tuple[str, str, str]:
    """The text before the generated part of this name, that part, and the text after it."""
    begin = f"<!-- begin {name}: made by `python -m tests.support.source_tables` -->\n"
    before, marker, rest = page.partition(begin)
    made, end, after = rest.partition(END)
    assert all((marker, end)), f"the page has lost its marks for {name}"
    return before + begin, made, end + after


if __name__ == "__main__":
    for (file, part), rows_of in TABLES.items():
        path = DOCS / file
        head, _, tail = parts(path.read_text(), part)
        path.write_text(head + table(rows_of()) + tail)
