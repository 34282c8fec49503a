"""Show the report of one sweep, or of all sweeps of a directory, live."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.errors import HpcsweepError, SweepError
from hpcsweep.report import sweep_list
from hpcsweep.report.document import sections_of
from hpcsweep.report.live import Content, LivePages
from hpcsweep.report.pages import PAGES, SWEEPS, Page, PageData, page_data, shown, without_data
from hpcsweep.report.server import ADDRESS, ViewServer, served
from hpcsweep.report.source import report_source
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import OUTPUTS, sweep_names


def view(
    what: SweepDirectory | Path,
    settings: Settings,
    show: Callable[[ViewServer], None],
    *,
    address: int | Path = 0,
    idle_s: float,
) -> None:
    """Serve a sweep, or the sweeps of a directory, until nobody looks for so long.

    `address` is a port, 0 for a free one, or the path of a socket. `show` gets the server once it
    answers. Pages are read in this thread alone.
    *Raises* InputError. *Writes* as `status`, and the socket.
    """
    if isinstance(what, Path):
        pages = LivePages(partial(_directory_content, what, settings), idle_s=idle_s)
        is_place = partial(_is_place, what)
    else:
        pages = LivePages(lambda _: _sweep_content(what, settings), idle_s=idle_s)
        is_place = partial(str.__eq__, "")
    with served(pages, is_place, address) as server:
        show(server)
        pages.read_until_idle()


def address_lines(server: ViewServer) -> Iterator[str]:
    """The address of a server, and how a browser on another machine gets there."""
    # Any free port of the machine with the browser will do for a socket.
    port = 8080 if server.path else server.port
    target = shlex.quote(str(server.path.absolute())) if server.path else f"{ADDRESS}:{port}"
    yield f"http://{ADDRESS}:{port}/{server.token}/"
    if server.path is None:
        yield "Open it here; from another machine run this there first:"
    else:
        yield "Run this first, on the machine with the browser:"
    yield f"  ssh -N -L {port}:{target} {socket.gethostname()}"
    yield "Ctrl-C ends it."


def _is_place(root: Path, place: str) -> bool:
    """Whether there is a page: the list, or a sweep in the directory."""
    try:
        return not place or place in sweep_names(root)
    except SweepError:  # the directory is gone, which its list says
        return False


def _directory_content(root: Path, settings: Settings, place: str) -> Content:
    """The page of a sweep in a directory, or their list."""
    if place:
        return _content(place, PAGES, lambda: _pages(SweepDirectory.open(root / place), settings))

    def listed() -> list[PageData]:
        return [PageData(page=SWEEPS, data=shown(sweep_list.data(root, settings)))]

    # That of the project, if it is its directory of sweeps.
    path = root.resolve()
    return _content((path.parent if path.name == OUTPUTS else path).name, [SWEEPS], listed)


def _sweep_content(sweep: SweepDirectory, settings: Settings) -> Content:
    def pages() -> list[PageData]:
        # Opened again: what an open one keeps may have changed.
        newest = sweep if sweep.archive else SweepDirectory.open(sweep.path)
        return _pages(newest, settings)

    return _content(sweep.name, PAGES, pages)


def _pages(sweep: SweepDirectory, settings: Settings) -> list[PageData]:
    """The pages of a sweep, read anew. *Raises* HpcsweepError."""
    with report_source(sweep, registry.open_recorded(sweep, settings), settings) as source:
        return list(page_data(source))


def _content(name: str, pages: Iterable[Page], read: Callable[[], list[PageData]]) -> Content:
    """What is read; an error is what every page says."""
    made = datetime.now(UTC)
    try:
        found = read()
    except HpcsweepError as error:
        found = [without_data(page, error) for page in pages]
    return Content(name=name, made=made, sections=sections_of(found))
