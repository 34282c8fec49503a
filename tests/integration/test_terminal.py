"""Output for people: whole numbers at any width, and no control sequences of a terminal."""

from __future__ import annotations

import json
import re
import subprocess
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hpcsweep.cli import commands
from hpcsweep.progress import progress_bar
from hpcsweep.records import Status
from hpcsweep.state.summary import Summary
from hpcsweep.terminal_text import one_line, visible
from tests.support.clusters import HPCSWEEP, EmulatedCluster, emulated
from tests.support.fronted import Fronted
from tests.support.here import Here, here, holds
from tests.support.terminal import on_terminal

__all__ = ["emulated", "here"]

WIDTHS = (40, 80, 120)
WIDE = """\
def f(omega, name):
    if omega == 3:
        raise RuntimeError("this message is a long one, " * 9)
    return {"energy": 6.304021e-06 * omega, "period": 6.283185307, "steps": 1234567890123}
"""
WIDE_MANIFEST = """\
name: s
target: t.py:f
source: {grid: {omega: [1.0, 2.0, 3.0], name: ["short", "the rather long name of a sample"]}}
"""


# --- widths ---------------------------------------------------------------------------------------


@pytest.fixture
def wide(here: Here) -> Here:
    """A sweep that is wider than most terminals."""
    here.write("t.py", WIDE)
    here.write("m.yaml", WIDE_MANIFEST)
    here.cli("submit", "m.yaml", "--wait", code=9)
    return here


def test_a_table_shows_a_value_whole_or_names_its_column(wide: Here) -> None:
    printed = wide.does("collect", "s").splitlines()
    head = printed[0].split()
    assert head == [
        "index",
        "status",
        "reason",
        "name",
        "omega",
        "energy",
        "period",
        "steps",
        "wall_seconds",
    ]
    assert "not shown" not in "".join(printed)
    values = [dict(zip(head, re.split(r"\s{2,}", line.strip()), strict=False)) for line in printed]
    assert values[1]["status"] == "complete"
    for width in WIDTHS:
        lines = on_terminal(["collect", "s"], width=width).text.splitlines()
        assert all(len(line) <= width for line in lines)
        names = lines[0].split()
        assert names[:2] == ["index", "status"]
        at_note = next((at for at, line in enumerate(lines) if "not shown" in line), len(lines))
        pattern = (
            "not shown for width: (.*); --columns, --wide, --vertical or --format csv has them"
        )
        left_out = re.fullmatch(pattern, " ".join(lines[at_note:]))
        told = left_out[1].split(", ") if left_out else []
        assert width == 120 or left_out
        assert set(names).isdisjoint(told)
        assert [name for name in head if name in {*names, *told}] == head
        # A row is one line, or several where a text is wrapped.
        rows = [line.split() for line in lines[1:at_note] if line.strip()[0].isdigit()]
        assert [row[0] for row in rows] == list("012345")
        assert {row[1] for row in rows} == {"complete", "failed"}
        assert "…" not in "".join(lines)
    # Columns that were left out can be named, and an error's message is wrapped.
    text = on_terminal(["collect", "s", "--columns", "index,energy,error"], width=60).text
    holds(text, "6.304021e-06", " 1.2608042e-05", "this message is a long one, this")
    assert " ".join(text.split()).count("this message is a long one,") == 2 * 9


@pytest.mark.usefixtures("wide")
def test_all_of_a_row_is_shown_on_demand() -> None:
    """As wide as it is, or a value in a line, and exactly."""
    lines = on_terminal(["collect", "s", "--wide"], width=40).text.splitlines()
    assert len(lines) == 1 + 6
    holds(lines[0], "index", "case_id", "replicate", "code_digest", "error")
    holds(lines[2], "complete", "short", "1.2608042e-05", "1234567890123")
    holds(lines[4], "the rather long name of a sample", "6.304021e-06")
    text = on_terminal(["collect", "s", "--vertical", "--cases", "1,2"], width=40).text
    first, second = text.split("\n\n")
    holds(
        first, "index          1\n", "status         complete\n", "energy         1.2608042e-05\n"
    )
    holds(
        second,
        "index          2\n",
        "reason         error\n",
        "error          this message is a long",
    )
    assert "energy" not in second  # which has none
    for wrong in (["--wide", "--vertical"], ["--wide", "--format", "csv"]):
        assert on_terminal(["collect", "s", *wrong]).code == 2


def test_lists_are_wrapped_and_never_cut(wide: Here) -> None:
    path = str(wide.sweep)
    for width in WIDTHS:
        status = on_terminal(["status", "s"], width=width).text
        holds(status, path, "complete  4", "failed    2  2 error")
        doctor = on_terminal(["doctor", "--cluster", "emulated"], width=width).text
        holds(" ".join(doctor.split()), "array task ids up to 1000", f"{wide.path}")
        assert "…" not in status + doctor
        plan = on_terminal(["plan", "m.yaml", "--outputs", "other"], width=width).text
        holds(" ".join(plan.split()), '"omega": 1.0', "6 array tasks of one case each")
        emulator = on_terminal(["emulator", "status"], width=width).text
        holds(emulator, "idle")


def test_a_plan_shows_params_whole_or_counts_them(here: Here) -> None:
    here.write("t.py", "def f(**params): pass\n")
    source = {"grid": {f"name{i}": [1.0 / 3.0 + i] for i in range(30)}}
    here.write("m.yaml", f"name: s\ntarget: t.py:f\nsource: {json.dumps(source)}\n")
    shown = here.does("plan", "m.yaml")
    found = re.search(r"first +index 0, [0-9a-f]{16}: (\{.*\}) and (\d+) more params", shown)
    assert found
    params = json.loads(found[1])
    assert len(params) + int(found[2]) == 30
    assert set(params.values()) <= {1.0 / 3.0 + i for i in range(30)}


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_progress_shows_its_counts_whole(width: int) -> None:
    counts = {Status.COMPLETE: 12345, Status.FAILED: 12, Status.RUNNING: 300, Status.PENDING: 87343}
    summary = Summary(
        name="s",
        path="",
        manifest="",
        n_cases=100000,
        counts=counts,
        reasons={},
        unsubmitted=0,
        tasks={},
        waiting={},
        asked_s_ago=None,
        problem="",
        torn={},
        submissions=1,
    )
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    with progress_bar(console) as update:
        update(summary)
    last = out.getvalue().rpartition("\x1b[2K")[2]
    said = " ".join(re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", last).split())
    # The bar and the time may stand anywhere between the words of the counts.
    words = [word for word in said.split() if not re.fullmatch(r"[━╸╺]+|\d:\d\d:\d\d", word)]
    text = "87343 pending, 300 running, 12345 complete, 12 failed of 100000"
    if width == 120:
        assert words[0] == "12357/100000"
        del words[0]
    assert words == text.split()


# --- escape sequences -----------------------------------------------------------------------------

# A title, a cleared screen, an 8-bit escape, another direction, a deleted character; a title that
# a carriage return hides.
EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202egnp.\x7fx\rz"
LINE = EVIL.replace("\r", "")
SHOWN = r"\x1b]0;pwned\x07\x1b[2J\x9b31m\u202egnp.\x7fx\rz"
TARGET = f"""\
EVIL = {EVIL!r}
def f(log, **params):
    print(EVIL)
    log.info(EVIL)
    (log.path / "data").mkdir(exist_ok=True)
    (log.path / "data" / "evil").write_text(EVIL)
    if params["x"] == 2:
        raise RuntimeError(EVIL)
    return {{EVIL: 1.5, "text": EVIL}}
"""
MANIFEST = {
    "name": "s",
    "target": "t.py:f",
    "runs": "packed",
    "source": {"grid": {"x": [1, 2], EVIL: [EVIL]}},
}


def test_control_characters_become_visible() -> None:
    assert visible(EVIL) == SHOWN
    assert visible("a\r\nb\tc\n") == "a\nb\tc\n"
    assert one_line("a\r\nb\tc\n") == r"a\r\nb\tc\n"
    for kept in ("é€𝄞 日本 עברית", "\u200d\u200c", "[red]"):
        assert visible(kept) == kept
    assert visible("\udc80\u2028\ufeff\U000e0041") == r"\udc80\u2028\ufeff\U000e0041"


def check_clean(text: str) -> None:
    """Fail if a text contains control characters."""
    raw = [one for one in text if one not in "\n\t" and not one.isprintable()]
    assert raw == [], f"{raw} in {text!r}"


@pytest.fixture
def evil(here: Here) -> Here:
    """A sweep whose texts all contain control sequences."""
    here.write("t.py", TARGET)
    here.write("m.yaml", json.dumps(MANIFEST))
    here.write("bad.yaml", json.dumps(MANIFEST | {EVIL: 1, "slurm": {EVIL: EVIL}}))
    here.write("setup.yaml", json.dumps(MANIFEST | {"setup": [f"echo '{LINE}'; false"]}))
    here.write("import.py", f"raise RuntimeError({EVIL!r})\n")
    here.write("import.yaml", json.dumps(MANIFEST | {"target": "import.py:f"}))
    here.write(f"{EVIL}.yaml", "name: s\n")
    here.cli("submit", "m.yaml", "--wait", code=9)
    here.tasks_end()
    return here


FILE = "data/evil"
# Command lines with the exit code, and whether the text stands in what they show.
COMMANDS: list[tuple[list[str], int, bool]] = [
    (["init", f"new {EVIL}"], 0, True),
    (["schema"], 0, False),
    (["validate", "bad.yaml"], 3, True),
    (["validate", f"{EVIL}.yaml"], 3, True),
    (["plan", "m.yaml", "--outputs", "other"], 0, True),
    (["plan", "m.yaml", "--outputs", f"other {EVIL}", "--script"], 3, True),
    (["run", "m.yaml", "--index", "1"], 1, True),
    (["run", "m.yaml", "--index", "0"], 0, True),
    (["submit", "setup.yaml", "--outputs", "other", "--allow-mixed"], 4, True),
    (["submit", "import.yaml", "--outputs", "other"], 4, True),
    (["status", "s"], 0, False),
    (["status", f"no {EVIL}"], 5, True),
    (["status", "s", "--json"], 0, False),
    (["logs", "s", "0"], 0, True),
    (["logs", "s", "1"], 0, True),
    (["logs", "s", "1", "--json"], 0, False),
    (["collect", "s"], 0, True),
    (["collect", "s", "--columns", EVIL], 0, True),
    (["collect", "s", "--columns", "index,error"], 0, True),
    (["collect", "s", "--columns", f"{EVIL}y"], 3, True),
    (["collect", "s", "--format", "csv"], 0, True),
    (["collect", "s", "--format", "jsonl"], 0, False),
    (["collect", "s", "--output", f"{EVIL}.csv"], 0, True),
    (["collect", "s", "--mean-over", "replicate", "--pivot", f"x,{EVIL}:metric.{EVIL}"], 0, True),
    (["collect", "s", f"./{EVIL}"], 5, True),
    (["compare", "s", "s"], 3, False),
    (["compare", "s", f"no {EVIL}"], 5, True),
    (["plot", "s", "--x", "x", "--y", f"metric.{EVIL}", "--output", f"{EVIL}.svg"], 0, True),
    (["plot", "s", "--x", "x", "--y", "text"], 3, True),
    (["report", "s", "--output", f"{EVIL}.html"], 0, True),
    (["report", "s", "--diff", f"no {EVIL}"], 5, True),
    (["view", f"no {EVIL}"], 5, True),
    (["list"], 0, False),
    (["list", f"no {EVIL}"], 5, True),
    (["files", "s", FILE], 0, True),
    (["files", "s", FILE, "--paths"], 0, False),
    (["files", "s", EVIL], 3, True),
    (["unpack", "s"], 0, False),
    (["retry", "s", "--wait"], 9, False),
    (["advance", "s"], 0, False),
    (["advance", f"no {EVIL}"], 5, True),
    (["cancel", "s"], 0, False),
    (["db", "status", f"no {EVIL}"], 8, True),
    (["ingest", "s"], 0, False),
    (["ingest", "s", "--salvage"], 0, False),
    (["efficiency", "s"], 0, False),
    (["efficiency", f"no {EVIL}"], 5, True),
    (["import", "csv", f"no {EVIL}.csv"], 3, True),
    (["rename", "s", EVIL], 3, True),
    (["copy", "s", f"copies {EVIL}"], 0, True),
    (["archive", f"no {EVIL}"], 5, True),
    (["clean", f"no {EVIL}"], 5, True),
    (["rm", f"no {EVIL}"], 5, True),
    (["doctor", "--cluster", "emulated", "--outputs", f"other {EVIL}"], 0, False),
    (["doctor", "--cluster", EVIL], 1, True),
    (["completion", "bash"], 0, False),
    (["emulator", "status"], 0, False),
    (["emulator", "env"], 0, False),
    (["emulator", "status", "--dir", EVIL], 0, True),
    ([EVIL], 2, True),
    (["status", f"--{EVIL}"], 2, True),
    (["submit", "m.yaml", "--rerun", EVIL], 2, False),
]
# A terminal shows the same visible characters.
SILENT = {"emulator"}


def test_no_command_prints_control_sequences(evil: Here) -> None:
    for arguments, code, is_shown in COMMANDS:
        shown = on_terminal(arguments, term="dumb")
        assert shown.code == code, f"{arguments}: {shown.text}"
        check_clean(shown.text)
        assert not is_shown or "pwned" in shown.text, f"{arguments}: {shown.text}"
        # Messages are clean wherever they go.
        check_clean(_stderr(evil, arguments))
    assert {arguments[0] for arguments, _, _ in COMMANDS} >= set(commands.COMMANDS)


def _stderr(evil: Here, arguments: list[str]) -> str:
    """What a command writes to a pipe."""
    if arguments[0] != "run":
        return evil.cli(*arguments).stderr
    # Its process becomes that of the case.
    argv = [HPCSWEEP, *arguments]
    return subprocess.run(argv, capture_output=True, check=False).stderr.decode()


def test_a_document_keeps_its_bytes_in_a_pipe(evil: Here) -> None:
    assert EVIL.replace("\r", "\n") in evil.does("collect", "s", "--format", "csv").replace(
        "\r", "\n"
    )
    rows = [
        json.loads(line) for line in evil.does("collect", "s", "--format", "jsonl").splitlines()
    ]
    assert (rows[0][EVIL], rows[0][f"metric.{EVIL}"]) == (EVIL, 1.5)
    check_clean(rows[1]["error"])  # a message, not data
    assert EVIL in evil.cli("files", "s", FILE, code=0).stdout_bytes.decode()
    # What is told of it is none.
    for arguments in (["logs", "s", "1"], ["collect", "s"], ["validate", "bad.yaml"]):
        check_clean(evil.cli(*arguments).output)


def test_text_of_a_site_is_escaped(here: Here, emulated: EmulatedCluster, tmp_path: Path) -> None:
    """The name of a cluster, and the words of its sbatch."""
    front = Fronted(emulated, tmp_path / "site")
    other = Here.settle(front, tmp_path, here.patch)
    here.patch.setenv("PATH", front.env()["PATH"])
    front.before("sbatch", f"printf '%s\\n' '{LINE}' 'sbatch: error: {LINE}' >&2; exit 1")
    shown = on_terminal(["submit", "m.yaml", "--cluster", "slurm"], term="dumb")
    assert shown.code == 7, shown.text
    check_clean(shown.text)
    assert SHOWN[:12] in shown.text
    front.before("scontrol", f'"$real" "$@" | sed "s/^ClusterName .*/ClusterName = {LINE}/"; exit')
    shown = on_terminal(["doctor", "--cluster", "slurm"], term="dumb")
    check_clean(shown.text)
    assert SHOWN[:12] in shown.text, shown.text
    check_clean(other.cli("doctor", "--cluster", "slurm").output)
