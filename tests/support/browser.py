"""Debian's Chromium without a window, by its own driver: what a page shows, logs and asks for."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.wait import wait_until

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--force-device-scale-factor=1", "--disable-dev-shm-usage"),
)
ANSWER_S = 120.0
# What a page may name without asking the network.
LOCAL = ("file://", "data:", "blob:", "about:", "chrome://")
# Where an element is, after scrolling to it.
BOX = """
const element = document.querySelector(arguments[0]);
element.scrollIntoView({block: "center"});
const box = element.getBoundingClientRect();
return [box.left, box.top, box.width, box.height];
"""
# Of each figure on the page its description, and the count of its marks: of data, not of axes.
MARKS = """
const isBrush = (item) => /brush/.test(item.name);
const count = (item) =>
  item.role === 'mark' && item.marktype !== 'group' ? (isBrush(item) ? 0 : item.items.length)
    : /^(mark|scope|frame)$/.test(item.role) ? item.items.map(marks).reduce((a, b) => a + b, 0)
    : 0;
const marks = (group) => group.items.map(count).reduce((a, b) => a + b, 0);
return [...report.views].map((view) =>
  [view.description(), marks({items: [view.scenegraph().root]})]);
"""
# Select what is in the field with this label.
FOCUS = """
const labels = [...document.querySelectorAll('.controls label')];
const label = labels.find((one) => one.firstChild.textContent === arguments[0]);
label?.querySelector('input').select();
return Boolean(label);
"""
# Choose an option by the texts of its label and its own.
CHOOSE = """
for (const label of document.querySelectorAll('.controls label')) {
  const select = label.querySelector('select');
  const option = [...select?.options ?? []].find((one) => one.text === arguments[1]);
  if (label.firstChild.textContent === arguments[0] && option) {
    select.value = option.value;
    select.dispatchEvent(new Event('change'));
    return true;
  }
}
return false;
"""


def is_installed() -> bool:
    """Whether there is a browser."""
    return all(map(shutil.which, ("chromium", "chromedriver", "pdftotext")))


@dataclass(frozen=True)
class Browser:
    """A browser with one page."""

    # The address of its session at the driver.
    session: str

    def open(self, path: Path, page: str = "", *, width: int = 1400, dark: bool = False) -> None:
        """Open a file, or another of its pages."""
        self.resize(width)
        self.scheme(dark=dark)
        self.visit("about:blank")
        self.visit(f"{path.as_uri()}#{page}")

    def visit(self, url: str) -> None:
        """Open an address."""
        self._post("url", url=url)

    def resize(self, width: int, height: int = 1000) -> None:
        """Give the page this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **size)

    def scheme(self, *, dark: bool) -> None:
        """Prefer dark or light colours."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", features=features)

    def go(self, page: str) -> None:
        """Open a page of the report."""
        self.run("location.hash = arguments[0]", page)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page returns."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def command(self, name: str, **params: object) -> Any:
        """Call a method of the DevTools protocol."""
        return self._post("goog/cdp/execute", cmd=name, params=params)

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag the pointer over an element, from and to shares of its width and height."""
        left, top, width, height = self.run(BOX, selector)
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        for kind, at, buttons in (
            ("mouseMoved", start, 0),
            ("mousePressed", start, 1),
            ("mouseMoved", middle, 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):
            x, y = left + at[0] * width, top + at[1] * height
            self.command(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                buttons=buttons,
                button="left" if buttons or kind == "mouseReleased" else "none",
                clickCount=int(kind != "mouseMoved"),
            )

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a labelled choice."""
        assert self.run(CHOOSE, label, option), f"{label}: {option}"

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key at the element that has the focus."""
        self.command("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text)
        self.command("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def type(self, label: str, text: str) -> None:
        """Type into the field with a label, in the place of what is there."""
        assert self.run(FOCUS, label), label
        self.command("Input.insertText", text=text)
        self.press("Enter", "\r")

    def text(self) -> str:
        """The text that is shown."""
        return str(self.run("return document.querySelector('main').innerText"))

    def figures(self, count: int = 1) -> Mapping[str, int]:
        """The count of marks by figure, once so many figures are drawn."""

        def drawn() -> dict[str, int] | str:
            found = dict(self.run(MARKS))
            return found if len(found) >= count else f"{found}, {self.text()[-500:]}"

        figures: Mapping[str, int] = wait_until(drawn, ANSWER_S, f"{count} figures")
        return figures

    def problems(self) -> list[str]:
        """What the console said since the last call, and the addresses that were asked for."""
        said = [entry["message"] for entry in self._post("se/log", type="browser")]
        events = [
            json.loads(entry["message"])["message"]
            for entry in self._post("se/log", type="performance")
        ]
        asked = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return said + [url for url in asked if not url.startswith(LOCAL)]

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """Write a picture of the page, whole or so high."""
        width, whole = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        self.resize(width, height or min(whole, 6000))
        path.write_bytes(base64.b64decode(_ask(f"{self.session}/screenshot")))

    def pdf(self, path: Path) -> str:
        """Print the page into a file. Returns its text."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": False}
        made = self.command("Page.printToPDF", printBackground=False, **paper)
        path.write_bytes(base64.b64decode(made["data"]))
        done = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True)
        return done.stdout.decode()

    def _post(self, what: str, **content: object) -> Any:
        return _ask(f"{self.session}/{what}", content)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert driver.stdout is not None
        try:
            port = next(found[1] for line in driver.stdout if (found := _PORT.search(line)))
            address = f"http://127.0.0.1:{port}/session"
            options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
            logs = {"browser": "ALL", "performance": "ALL"}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": logs}
            session = _ask(address, {"capabilities": {"alwaysMatch": wanted}})
            one = Browser(f"{address}/{session['sessionId']}")
            try:
                yield one
            finally:
                _ask(one.session, method="DELETE")
        finally:
            driver.terminate()
            driver.communicate(timeout=ANSWER_S)


_PORT = re.compile(r"successfully on port (\d+)")


def _ask(url: str, content: object = None, method: str | None = None) -> Any:
    """The value that the driver answers. *Raises* AssertionError with its message."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, method=method)  # noqa: S310  # our own driver
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.read()[:2000]!r}") from error
