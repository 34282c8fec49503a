"""The pages of a report, in order, and the one way by which data reaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hpcsweep.errors import HpcsweepError
from hpcsweep.redact import redact
from hpcsweep.report import overview, provenance, resources, results, run, sensitivity
from hpcsweep.report.source import ReportSource
from hpcsweep.terminal_text import visible

# Characters of one text on a page.
TEXT_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page: its assets have its name."""

    # A word in lower case: the page's place in the file, and the names of its assets.
    name: str
    title: str
    # Scripts before the one with its name, in order.
    scripts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPage(Page):
    """A page about one sweep."""

    # Plain JSON-able data: dicts, lists, texts, numbers without NaN and infinities.
    data: Callable[[ReportSource], dict[str, Any]]


# What the page Results is made of.
_RESULTS = (
    *("columns", "choices", "points", "specification"),
    *("ranges", "parallel", "case_list"),
)
PAGES = (
    SweepPage(name="overview", title="Overview", data=overview.data),
    SweepPage(name="results", title="Results", data=results.data, scripts=_RESULTS),
    SweepPage(name="sensitivity", title="Sensitivity", data=sensitivity.data),
    SweepPage(name="run", title="Run", data=run.data),
    SweepPage(name="resources", title="Resources", data=resources.data),
    SweepPage(name="provenance", title="Provenance", data=provenance.data),
)
# The first page of `view`.
SWEEPS = Page(name="sweeps", title="Sweeps")
DIFFERENCES = Page(name="differences", title="Differences")


@dataclass(frozen=True, kw_only=True, slots=True)
class PageData:
    """A page with its data, safe to show."""

    page: Page
    # None for a page that could not be made, and why.
    data: dict[str, Any] | None
    problem: str = ""


def page_data(source: ReportSource) -> Iterator[PageData]:
    """Each page with its data; an error of one costs that page alone."""
    for page in PAGES:
        try:
            yield PageData(page=page, data=shown(page.data(source)))
        except HpcsweepError as error:
            yield without_data(page, error)


def without_data(page: Page, error: HpcsweepError) -> PageData:
    """A page that says why it has no data."""
    return PageData(page=page, data=None, problem=shown_text(str(error)))


def shown(value: Any) -> Any:
    """The same data with every text redacted, without control characters, and cut."""
    if isinstance(value, str):
        return shown_text(value)
    if isinstance(value, dict):
        return {shown_text(name): shown(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        if value and set(map(type, value)) <= _PLAIN:
            return value
        return [shown(item) for item in value]
    return value


_PLAIN = {int, float, bool, type(None)}


def shown_text(text: str) -> str:
    """A text as a page shows it: control and bidirectional characters are escaped."""
    if len(text) > TEXT_CHARACTERS:
        more = len(text) - TEXT_CHARACTERS
        text = f"{text[:TEXT_CHARACTERS]}… ({more} characters more)"
    return visible(redact(text))
