"""The HTML file of a report: a policy that forbids everything else, styles, scripts, and data."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import hpcsweep
from hpcsweep.report.pages import Page, PageData, shown_text

ASSETS = Path(__file__).parent / "assets"
VENDOR = Path(__file__).parent / "vendor"
# Scripts of all pages, in their order.
SHARED = ("elements", "figures", "frame")
# In the order in which they are loaded.
LIBRARIES = ("vega", "vega-lite", "vega-embed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A page as it is in the file."""

    page: Page
    problem: str
    # What is shown without JavaScript.
    body: str
    # Its data, compressed; "" for a page without figures.
    packed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """What a page has to know if a server sends it."""

    # The number of its state; it loads an update when there is another.
    version: int
    # Whether the page of all sweeps is above it.
    has_list: bool
    # An update has sections and no program.
    is_update: bool = False


def sections_of(pages: Iterable[PageData]) -> tuple[Section, ...]:
    """The pages, packed one by one: a browser unpacks what it shows."""
    environment = _environment()
    sections = []
    for one in pages:
        body, packed, plain = "", "", f"{one.page.name}.html.j2"
        if one.data is not None and (ASSETS / plain).is_file():
            # Escaped by its own template.
            body = Markup(environment.get_template(plain).render(one.data))  # noqa: S704
        if one.data is not None and _is_drawn(one.page):
            packed = _packed(_json(one.data))
        sections.append(Section(page=one.page, problem=one.problem, body=body, packed=packed))
    return tuple(sections)


def document(
    name: str, made: datetime, sections: Sequence[Section], live: Live | None = None
) -> str:
    """The whole file; with `live` the page that loads its updates, or one of these."""
    # A live page may get data that it does not have yet.
    drawn = [one.page for one in sections if one.packed or (live and _is_drawn(one.page))]
    scripts = [*SHARED, *(name for page in drawn for name in (*page.scripts, page.name))]
    libraries = {name: _library(name) for name in LIBRARIES if drawn}
    if live is not None:
        scripts.append("live")
        if live.is_update:
            scripts, libraries = [], {}
    sources = [_asset(f"{name}.js") for name in scripts]
    style = _asset("report.css")
    allowed = policy([*sources, *(text for text, _ in libraries.values())], style)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            name=shown_text(name),
            made=time_text(made),
            version=hpcsweep.__version__,
            policy=f"{allowed}; connect-src 'self'" if live else allowed,
            style=Markup(style),  # noqa: S704  # a file of this package, as are the scripts
            scripts=[Markup(text) for text in sources],  # noqa: S704
            libraries={name: packed for name, (_, packed) in libraries.items()},
            sections=sections,
            live=live,
        )
    )


def time_text(made: datetime) -> str:
    """When a page was made, as it says it."""
    return f"{made:%Y-%m-%d %H:%M} UTC"


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _is_drawn(page: Page) -> bool:
    return (ASSETS / f"{page.name}.js").is_file()


def policy(scripts: Sequence[str], style: str) -> str:
    """The Content-Security-Policy: these scripts, this style, nothing else and no request."""
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(data: Any) -> str:
    """JSON that holds no markup, wherever it stands."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _packed(text: str) -> str:
    # Level 6 is 4 times as fast as 9, and 1 % larger. Without a time: one input, one file.
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@cache
def _library(name: str) -> tuple[str, str]:
    """A library, and the same packed; without the address of its source map, which is not there."""
    text, _, _ = (VENDOR / f"{name}.min.js").read_text(encoding="utf-8").partition("\n//# source")
    return text, _packed(text)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
