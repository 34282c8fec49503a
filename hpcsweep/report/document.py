"""The HTML file of a report: a policy that forbids everything else, styles, scripts, and data."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import hpcsweep
from hpcsweep.report.pages import PageData, shown_text

ASSETS = Path(__file__).parent / "assets"
VENDOR = Path(__file__).parent / "vendor"
# Scripts of all pages, in their order.
SHARED = ("frame", "columns", "parallel")
# In the order in which they are loaded.
LIBRARIES = ("vega", "vega-lite", "vega-embed")


def document(name: str, made: datetime, pages: Iterable[PageData]) -> str:
    """The whole file. Its data is packed page by page: a browser unpacks what it shows."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections, scripts = [], list(SHARED)
    for one in pages:
        section = {"page": one.page, "problem": one.problem, "body": "", "packed": ""}
        plain, script = f"{one.page.name}.html.j2", f"{one.page.name}.js"
        if one.data is not None and (ASSETS / plain).is_file():
            # Escaped by its own template.
            section["body"] = Markup(environment.get_template(plain).render(one.data))  # noqa: S704
        if one.data is not None and (ASSETS / script).is_file():
            section["packed"] = _packed(_json(one.data))
            scripts.append(one.page.name)
        sections.append(section)
    sources = [_asset(f"{name}.js") for name in scripts]
    style = _asset("report.css")
    libraries = {name: _library(name) for name in LIBRARIES}
    return environment.get_template("report.html.j2").render(
        name=shown_text(name),
        made=f"{made:%Y-%m-%d %H:%M} UTC",
        version=hpcsweep.__version__,
        policy=policy([*sources, *(text for text, _ in libraries.values())], style),
        style=Markup(style),  # noqa: S704  # a file of this package, as are the scripts
        scripts=[Markup(text) for text in sources],  # noqa: S704
        libraries={name: packed for name, (_, packed) in libraries.items()},
        sections=sections,
    )


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
