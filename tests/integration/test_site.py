"""The documentation site: its links hold, and reading it needs no network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hpcsweep
from tests.support.docstrings import FOREIGN

REPOSITORY = Path(__file__).parents[2]
# Building takes 6 s, the start of a browser 2 s.
BUILD_S = 120
# What a browser loads by itself; `<a href>` is for the reader.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?https?:[^>]*>"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\bhref=["']?https?:[^>]*>"""
)
LOADED_BY_STYLE = re.compile(r"""url\(["']?https?:|@import""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a page that is in no menu and a link that leads nowhere fail."""
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", out],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if "No module named mkdocs" in done.stderr and "CI" not in os.environ:
        pytest.skip("mkdocs-material is not installed: pip install --group docs")
    assert done.returncode == 0, f"a page lacks its place in mkdocs.yml, or a link:\n{done.stderr}"
    return out


def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(REPOSITORY / "docs") for path in (REPOSITORY / "docs").rglob("*.md")}
    assert [page for page in pages if not (site / page.with_suffix(".html")).exists()] == []


def test_every_public_name_is_described(site: Path) -> None:
    shown = (site / "reference" / "names.html").read_text()
    names = {*hpcsweep.__all__, "Sweep.submit", "Sweep.query"} - FOREIGN - {"sources"}
    assert {name for name in names if f'id="hpcsweep.{name}"' not in shown} == set()
    assert ">>>" not in re.sub(r"<(pre|code)\b.*?</\1>", "", shown, flags=re.DOTALL)


def test_diagrams_are_tables(site: Path) -> None:
    states = (site / "reference" / "states.html").read_text()
    assert re.search(r"<code>failed</code></td>\s*<td><code>pending</code>", states)
    assert [path for path in site.rglob("*.html") if "stateDiagram" in path.read_text()] == []
    assert [path for path in site.rglob("*.html") if "flowchart TB" in path.read_text()] == []


def test_reading_needs_no_network(site: Path) -> None:
    found = [
        (path.name, match[0])
        for pattern, suffix in ((LOADED, "*.html"), (LOADED_BY_STYLE, "*.css"))
        for path in site.rglob(suffix)
        for match in pattern.finditer(path.read_text())
    ]
    assert found == []


def test_the_search_works_in_a_directory_without_a_server(site: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no chromium")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={tmp_path}", "--virtual-time-budget=30000"),
            f"{(site / 'index.html').as_uri()}?q=checkpoint",
        ],
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert re.search(r"\d+ matching documents", done.stdout), done.stdout[-2000:] + done.stderr
