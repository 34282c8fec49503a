"""The HTML file of a report: a policy that forbids everything else, styles, scripts, and data."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import hpcsweep
from hpcsweep.report.pages import Page
from hpcsweep.report.source import ReportSource

ASSETS = Path(__file__).parent / "assets"
VENDOR = Path(__file__).parent / "vendor"
# Scripts of all pages, in their order.
SHARED = ("frame", "columns", "parallel")
# In the order in which they are loaded.
LIBRARIES = ("vega", "vega-lite", "vega-embed")


def document(source: ReportSource, pages: Iterable[tuple[Page, dict[str, Any]]]) -> str:
    """The whole file. Its data is packed page by page: a browser unpacks what it shows."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made, scripts = [], list(SHARED)
    for page, data in pages:
        has_script = (ASSETS / f"{page.name}.js").is_file()
        scripts += [page.name] if has_script else []
        plain = f"{page.name}.html.j2"
        body = environment.get_template(plain).render(data) if (ASSETS / plain).is_file() else ""
        packed = _packed(_json(data)) if has_script else ""
        made.append({"page": page, "body": Markup(body), "packed": packed})  # noqa: S704  # escaped by its own template
    sources = [_asset(f"{name}.js") for name in scripts]
    style = _asset("report.css")
    libraries = {name: _library(name) for name in LIBRARIES}
    return environment.get_template("report.html.j2").render(
        name=source.summary.name,
        made=f"{source.made:%Y-%m-%d %H:%M} UTC",
        version=hpcsweep.__version__,
        policy=policy([*sources, *(text for text, _ in libraries.values())], style),
        style=Markup(style),  # noqa: S704  # a file of this package, as are the scripts
        scripts=[Markup(text) for text in sources],  # noqa: S704
        libraries={name: packed for name, (_, packed) in libraries.items()},
        pages=made,
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
