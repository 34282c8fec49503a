"""`view`: live pages on the loopback: who gets them, how they follow, and what they ask for."""

from __future__ import annotations

import http.client
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import Queue

import pytest

import hpcsweep as hs
from hpcsweep.errors import InputError
from hpcsweep.report import live
from hpcsweep.report.pages import PageData, page_data
from hpcsweep.report.server import ADDRESS, ViewServer
from hpcsweep.report.source import ReportSource
from hpcsweep.report.view import view
from hpcsweep.settings import Settings
from hpcsweep.sources import grid, manual
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from tests.support.browser import browser
from tests.support.fixtures import require_browser
from tests.support.hostile_pages import EVIL, EVIL_PYTHON, FOREIGN
from tests.support.past_runs import PastRun, write_past
from tests.support.scripted import Scripted
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

ANSWER_S = 120.0
# Whether the open page waits for its figures.
NEEDS_DRAWING = "document.querySelector('section.open .drawn')?.innerText.includes('JavaScript')"
# No test lasts so long that a second query would be due.
SETTINGS = Settings(query_interval_s=100 * ANSWER_S)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are read as often as a reading allows."""
    monkeypatch.setattr(live, "INTERVAL_S", 0.05)
    monkeypatch.setattr(live, "RESTS", 1)


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
    shown: Queue[ViewServer | None] = Queue()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(view, what, SETTINGS, shown.put, address=address, idle_s=10 * ANSWER_S)
        done.add_done_callback(lambda _: shown.put(None))
        server = shown.get(timeout=ANSWER_S)
        if server is None:  # it ended before
            done.result()
        assert server is not None
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
            code, text, headers = ask(server, page, method)
            assert (code, text, headers["Allow"]) == (405, "", "GET")
        assert ask(server, page, "BREW")[0] == 501
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


@contextmanager
def tab(server: ViewServer) -> Iterator[Callable[[], str]]:
    """The events of a page while it is open. The result waits for the next one."""
    with closing(http.client.HTTPConnection(ADDRESS, server.port, timeout=ANSWER_S)) as connection:
        connection.request("GET", f"/{server.token}/events")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = iter(answer.readline, b"")
        yield lambda: next(line for line in lines if line.startswith(b"data: ")).decode()
        answer.close()


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
    with viewing(made.directory) as server, ExitStack() as stack:
        tabs = [stack.enter_context(tab(server)) for _ in range(5)]
        for _ in range(2):
            assert all(news() for news in tabs)
    # Pages are read for all tabs together, and Slurm is asked once in the interval of the settings.
    assert len(readings) >= 2
    assert slurm.asked.count("squeue") == 1


@pytest.mark.usefixtures("often")
def test_an_open_page_follows_a_sweep_and_keeps_what_was_chosen(made: MadeSweep) -> None:
    require_browser()
    with viewing(made.directory) as server, browser() as page:
        url = f"http://{ADDRESS}:{server.port}/{server.token}/"
        page.visit(url)
        wait_until(lambda: "2 of 4 cases are complete" in page.text(), ANSWER_S, "two cases")
        page.go("results")
        assert page.figures() == {"energy over n": 2 + 2}
        page.run("window.same = true")
        page.choose("Figure", "Every case")
        wait_until(lambda: page.figures() == {"energy over n": 2}, ANSWER_S, "a point for each")
        page.type("n from", "2")
        wait_until(lambda: "1 selected cases" in page.text(), ANSWER_S, "one of two")
        made.run(1)
        wait_until(lambda: "4 of 4 cases are complete" in page.text(), ANSWER_S, "four cases")
        wait_until(lambda: page.figures() == {"energy over n": 4}, ANSWER_S, "four points")
        wait_until(lambda: "3 selected cases" in page.text(), ANSWER_S, "three of four")
        # The page was never loaded again, and asked for nothing else.
        assert page.run("return window.same") is True
        page.go("overview")
        wait_until(lambda: "4 of 4 cases are complete" in page.text(), ANSWER_S, "the overview")
        asked = {one for one in page.problems() if one not in (url, url + "update", url + "events")}
        assert {one for one in asked if "favicon" not in one} == set()


@pytest.mark.usefixtures("often")
def test_hostile_texts_are_texts_on_live_pages_and_in_their_updates(tmp_path: Path) -> None:
    """Names, values, messages, hosts, jobs, the cluster, and the names of directories."""
    require_browser()
    root = tmp_path / "outputs"
    root.mkdir()
    made = MadeSweep(root, manual([{"n": n, EVIL: EVIL} for n in range(6)]), python=EVIL_PYTHON)
    made.plan(chunk_size=2, cluster={"kind": "slurm", "name": EVIL, "state_dir": EVIL})
    made.handed_in(job_id=EVIL)
    made.run(0)
    begun = PastRun(index=4, begin=0, end=None, host=EVIL, chunk=2)
    failed = PastRun(index=5, begin=0, end=9, host=EVIL, chunk=2, reason="error", error=EVIL)
    write_past(made, [begun, failed])
    # A directory that is none of ours, with a name of somebody else's.
    (root / "<img src=x onerror=alert(1)>" / "manifests").mkdir(parents=True)
    (root / "<img src=x onerror=alert(1)>" / MARKER).write_text("no sweep")
    with viewing(root) as server, browser() as page:
        url = f"http://{ADDRESS}:{server.port}/{server.token}/"
        page.visit(url)
        assert page.run(FOREIGN) == 0
        page.visit(f"{url}s/")
        title = page.run("return document.title")
        wait_until(lambda: "2 of 6 cases are complete" in page.text(), ANSWER_S, "two cases")
        assert "<img src=x onerror" in page.text()
        made.run(1)
        wait_until(lambda: "3 of 6 cases are complete" in page.text(), ANSWER_S, "an update")
        for name in ("overview", "results", "sensitivity", "run", "resources", "provenance"):
            page.go(name)
            shown = f"return document.querySelector('#{name}.open') && !{NEEDS_DRAWING}"
            wait_until(lambda shown=shown: page.run(shown), ANSWER_S, name)  # type: ignore[misc]
            assert page.run(FOREIGN) == 0
        assert page.run("return document.title") == title
        assert "\u202e" not in page.run("return document.documentElement.outerHTML")
        assert [one for one in page.problems() if not one.startswith(url)] == []


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


def test_a_socket_is_for_its_owner_alone_and_goes_with_the_server(
    made: MadeSweep, tmp_path: Path
) -> None:
    path = tmp_path / "view.sock"
    with socket.socket(socket.AF_UNIX) as left:  # by a server that was killed
        left.bind(str(path))
    with viewing(made.directory, path) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(path))
            request = f"GET /{server.token}/ HTTP/1.1\r\nHost: {ADDRESS}:8080\r\n\r\n"
            connection.sendall(request.encode())
            assert b" 200 " in connection.makefile("rb").readline()
        with pytest.raises(InputError, match="Address already in use"), viewing(tmp_path, path):
            pass
        assert path.exists()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(InputError, match="Address already in use"), viewing(tmp_path, path):
        pass
    assert path.read_text() == "mine"


def test_a_view_of_python_says_its_address_and_logs_no_secret(
    made: MadeSweep, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []
    with caplog.at_level("DEBUG", "hpcsweep"):
        hs.Sweep(str(made.path)).view(idle=0.0001, notify=lines.append)
    token = lines[0].removeprefix(f"http://{ADDRESS}:").split("/")[1]
    assert len(token) > 20
    assert lines[-1] == "Ctrl-C ends it."
    assert token not in caplog.text


def test_a_view_that_nobody_looks_at_ends(made: MadeSweep) -> None:
    ports: list[int] = []
    view(made.directory, SETTINGS, lambda server: ports.append(server.port), idle_s=0.01)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ADDRESS, ports[0]), timeout=ANSWER_S)
