"""`view`: live pages on the loopback: who gets them, how they follow, and what they ask for."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest

from hpcsweep.report import live
from hpcsweep.report.pages import PageData, page_data
from hpcsweep.report.server import ADDRESS, ViewServer
from hpcsweep.report.source import ReportSource
from hpcsweep.report.view import view
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.browser import browser
from tests.support.fixtures import require_browser
from tests.support.scripted import Scripted
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

ANSWER_S = 120.0


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are read as often as a reading allows."""
    monkeypatch.setattr(live, "INTERVAL_S", 0.05)


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    """Four cases in two chunks; the first chunk is complete."""
    python = "def run(n): return {'energy': 2.0 * n}"
    root = tmp_path / "outputs"
    root.mkdir()
    made = MadeSweep(root, grid(n=[1, 2, 3, 4]), python=python)
    made.plan(chunk_size=2)
    made.handed_in()
    made.run(0)
    return made


@contextmanager
def viewing(what: SweepDirectory | Path, address: int | Path = 0) -> Iterator[ViewServer]:
    """A view that ends as an idle one once the block has ended."""
    shown: Queue[ViewServer] = Queue()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(view, what, Settings(), shown.put, address=address, idle_s=10 * ANSWER_S)
        server = shown.get(timeout=ANSWER_S)
        try:
            yield server
        finally:
            server.pages._idle_s = 0.0  # noqa: SLF001  # nobody looks any more
            done.result(ANSWER_S)


def ask(
    server: ViewServer, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    """Code, text and headers of an answer."""
    connection = http.client.HTTPConnection(ADDRESS, server.port, timeout=ANSWER_S)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_only_who_has_the_token_and_comes_by_the_loopback_gets_a_page(made: MadeSweep) -> None:
    with viewing(made.directory) as server:
        page = f"/{server.token}/"
        code, text, headers = ask(server, page)
        assert code == 200
        assert "connect-src &#39;self&#39;" in text
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
        assert ask(server, page, headers={"Host": "localhost:8080"})[0] == 200
        for host in ("evil.example", "127.0.0.1.evil.example", f"{ADDRESS}@evil.example", "[", ""):
            code, text, _ = ask(server, page, headers={"Host": host})
            assert (code, text) == (403, "403 Forbidden\n"), host
        refused = ["/", "//", "/x/", f"/{server.token}", f"/{server.token[:-1]}/"]
        refused += [page + more for more in ("..", "../", "%2e%2e/", "s/", "store.sqlite3", "?a")]
        refused += [f"/{server.token}/../{server.token}/", f"{page}../../../../etc/passwd"]
        for path in refused:
            code, text, headers = ask(server, path)
            assert (code, text) == (404, "404 Not Found\n"), path
            assert headers["X-Content-Type-Options"] == "nosniff"
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            assert ask(server, page, method)[0] == 501
        assert b" 404 " in raw(server, f"GET /\xe9/ HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n")
        # Two hosts, of which one is right.
        assert b" 403 " in raw(server, f"GET {page} HTTP/1.1\r\nHost: {ADDRESS}\r\nHost: x\r\n\r\n")


def raw(server: ViewServer, request: str) -> bytes:
    """The first line of the answer to a request as it is."""
    with socket.create_connection((ADDRESS, server.port), timeout=ANSWER_S) as connection:
        connection.sendall(request.encode())
        return connection.makefile("rb").readline()


def test_the_pages_of_a_project_are_its_list_and_those_of_its_sweeps(made: MadeSweep) -> None:
    (made.root / "no-sweep").mkdir()
    with viewing(made.root) as server:
        root = f"/{server.token}/"
        assert '<a href="s/">s</a>' in ask(server, root)[1]
        code, text, _ = ask(server, f"{root}s/")
        assert code == 200
        assert '<a href="../">All sweeps</a>' in text
        assert '<td class="number" data-status="complete">2</td>' in text
        for name in ("no-sweep/", "../", "..%2fs/", "s/..", "s/store.sqlite3"):
            assert ask(server, root + name)[0] == 404


def test_a_damaged_index_gives_pages_that_say_so(made: MadeSweep) -> None:
    with viewing(made.directory) as server:
        (made.path / "store.sqlite3").write_bytes(b"no database" * 500)
        code, text, _ = ask(server, f"/{server.token}/")
    assert code == 200
    assert "hpcsweep ingest SWEEP --rebuild" in text


def events(server: ViewServer, place: str = "") -> Callable[[], str]:
    """Open the events of a page. The result waits for the next one."""
    connection = http.client.HTTPConnection(ADDRESS, server.port, timeout=ANSWER_S)
    connection.request("GET", f"/{server.token}/{place}events")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    return lambda: next(
        line for line in iter(answer.readline, b"") if line.startswith(b"data: ")
    ).decode()


@pytest.mark.usefixtures("often")
def test_tabs_share_one_reader_which_asks_slurm_no_more_often_than_status(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm = Scripted(queue={1: "RUNNING"})
    readings = []

    def counted(source: ReportSource) -> Iterator[PageData]:
        readings.append(source.made)
        return page_data(source)

    monkeypatch.setattr("hpcsweep.cluster.registry.open_recorded", lambda *_: slurm)
    monkeypatch.setattr("hpcsweep.report.view.page_data", counted)
    with viewing(made.directory) as server, ThreadPoolExecutor(5) as pool:
        tabs = [events(server) for _ in range(5)]
        for _ in range(4):
            assert len(list(pool.map(lambda tab: tab(), tabs))) == 5
    # Pages are read for all tabs together, and Slurm is asked once in a minute of the settings.
    assert len(readings) >= 4
    assert slurm.asked.count("squeue") == 1


@pytest.mark.usefixtures("often")
def test_an_open_page_follows_a_sweep_and_keeps_what_was_chosen(made: MadeSweep) -> None:
    require_browser()
    with browser() as page, viewing(made.directory) as server:
        url = f"http://{ADDRESS}:{server.port}/{server.token}/"
        page.visit(url)
        wait_until(lambda: "2 of 4 cases are complete" in page.text(), ANSWER_S, "two cases")
        page.go("results")
        assert page.figures() == {"energy over n": 2 + 2}
        page.run("window.same = true")
        made.run(1)
        wait_until(lambda: "4 of 4 cases are complete" in page.text(), ANSWER_S, "four cases")
        wait_until(lambda: dict(page.figures()) == {"energy over n": 4 + 4}, ANSWER_S, "points")
        # The page was never loaded again, and asked for nothing else.
        assert page.run("return window.same") is True
        page.go("overview")
        wait_until(lambda: "4 of 4 cases are complete" in page.text(), ANSWER_S, "the overview")
        asked = {one for one in page.problems() if one not in (url, url + "update", url + "events")}
        assert {one for one in asked if "favicon" not in one} == set()


def test_the_command_prints_its_address_and_ends_by_ctrl_c_with_0(made: MadeSweep) -> None:
    argv = [sys.executable, "-m", "hpcsweep", "view", str(made.path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port, token = process.stdout.readline().removeprefix(f"http://{ADDRESS}:").split("/")[:2]
        assert f"  ssh -N -L {port}:{ADDRESS}:{port} {socket.gethostname()}\n" in (
            process.stdout.readline() + process.stdout.readline()
        )
        connection = http.client.HTTPConnection(ADDRESS, int(port), timeout=ANSWER_S)
        connection.request("GET", f"/{token}/")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(ANSWER_S) == 0
