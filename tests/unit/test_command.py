"""Commands: any program, its arguments as they are, and what it leaves as its result."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.files import DOCUMENT_MAX
from hpcsweep.logbook.experiment.reader import ExperimentReader
from hpcsweep.sources import DerivedSource, ParameterSource, manual, table
from tests.support.here import holds
from tests.support.journals import Record
from tests.support.sweeps import MadeSweep

ODD = [
    "",
    " ",
    "a b",
    "it's",
    '"',
    "$(touch canary)",
    "`x`",
    "-rf",
    "--",
    "*",
    "~",
    "{y}",
    "\\",
    "a\nb",
    "\t",
    "é😀\u202e",
    "#",
    ";",
    "&",
    "|",
    "%s",
    "=",
    "\x7f",
]

SHOW = """\
import json, os, sys
env = {n: os.environ[n] for n in os.environ if n.startswith("HPCSWEEP_")}
with open(os.environ["HPCSWEEP_RUN_DIR"] + "/metrics.json", "w") as f:
    json.dump({"argv": sys.argv[1:], "cwd": os.getcwd(), "env": env}, f)
"""


def one(
    root: Path, argv: list[str], *, runs: str = "all", **fields: Any
) -> tuple[MadeSweep, Record]:
    """The outcome of a sweep's only case."""
    made = MadeSweep(root, manual([{"x": 1}]), argv=argv, **fields)
    made.plan(runs=runs)
    made.run()
    return made, made.ends()[0]


def sh(root: Path, script: str, **how: Any) -> Record:
    """The outcome of a shell script; `$D` is its run directory."""
    root.mkdir(exist_ok=True)
    quoted = script.replace("{", "{{").replace("}", "}}")
    return one(root, ["/bin/sh", "-c", f"D=$0; {quoted}", "{run_dir}"], **how)[1]


def shs(root: Path, scripts: Iterable[str], **how: Any) -> dict[str, Record]:
    """The outcome of each of several shell scripts, each a case of one task."""
    cases = [{"script": script} for script in scripts]
    argv = ["/bin/sh", "-c", 'D=$0; eval "$1"', "{run_dir}", "{script}"]
    made = MadeSweep(root, manual(cases), argv=argv)
    made.plan(**how)
    made.run()
    ends = made.ends()
    return {case["script"]: ends[index] for index, case in enumerate(cases)}


def test_a_program_that_only_the_case_names(tmp_path: Path) -> None:
    """No check before a submission can see it; the kernel reports that it is missing."""
    program = tmp_path / "run.sh"
    program.write_bytes(b"#!/bin/bash\r\ntrue\r\n")
    program.chmod(0o700)
    made = MadeSweep(tmp_path, manual([{"x": str(program)}]), argv=["{x}"])
    made.plan()
    made.run()
    assert "has Windows line ends" in made.ends()[0]["error"]["stderr"]


# --- arguments -----------------------------------------------------------------------------------


def test_every_value_arrives_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    made = MadeSweep(
        tmp_path,
        manual([{"x": value} for value in ODD]),
        argv=[sys.executable, "show.py", "{x}", "--x={x}", "{{x}}", "{index}"],
    )
    made.plan()
    made.run()
    ends = made.ends()
    assert len(ends) == len(ODD)
    for index, value in enumerate(ODD):
        argv = ends[index]["metrics"]["argv"]
        assert argv == [value, f"--x={value}", "{x}", str(index)]


@pytest.mark.parametrize("derive", [False, True])
def test_a_command_gets_the_characters_of_a_table(tmp_path: Path, *, derive: bool) -> None:
    """Also where the user's code makes the cases, in a process of its own."""
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "users_same.py").write_text("def same(params):\n    return params\n")
    (tmp_path / "cases.csv").write_bytes(
        b"\xef\xbb\xbfs,x,on,n\r\nS1,0.10,TRUE,1\r\n1E5,1E5,FALSE,\r\n"
    )
    source: ParameterSource = table(tmp_path / "cases.csv")
    if derive:
        source = DerivedSource(source, "users_same:same", str(tmp_path))
    argv = [sys.executable, "show.py", "{s}", "{x}", "{on}", "{n}", "{params_json}"]
    made = MadeSweep(tmp_path, source, argv=argv)
    made.plan()
    made.run()
    assert [made.ends()[index]["metrics"]["argv"] for index in (0, 1)] == [
        ["S1", "0.10", "TRUE", "1", '{"s": "S1", "x": 0.1, "on": true, "n": 1}'],
        ["1E5", "1E5", "FALSE", "", '{"s": "1E5", "x": 100000.0, "on": false, "n": null}'],
    ]
    assert not (tmp_path / "canary").exists()


def test_a_program_gets_its_environment(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    made, end = one(
        tmp_path, [sys.executable, "show.py", "{run_dir}", "{seed}", "{case_id}", "{params_json}"]
    )
    found = end["metrics"]
    run_dir, seed, case_id, params = found["argv"]
    assert (case_id, json.loads(params)) == (made.source[0].case_id, {"x": 1})
    assert found["cwd"] == str(tmp_path)
    told = {name: found["env"][f"HPCSWEEP_{name}"] for name in ("RUN_DIR", "CASE_ID", "SEED")}
    assert told == {"RUN_DIR": run_dir, "CASE_ID": case_id, "SEED": seed}
    assert int(seed) < 2**128
    assert "runs/.attempts/" in run_dir  # the attempt's own, until it is published
    assert (made.run_dir(0) / "metrics.json").exists()


def test_an_argument_with_nul_is_the_cases_own_failure(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, manual([{"x": "a\0b"}, {"x": "ok"}]), argv=["/bin/echo", "{x}"])
    made.plan()
    made.run()
    assert [end["status"] for end in made.ends().values()] == ["failed", "complete"]


# --- how it ends ---------------------------------------------------------------------------------


ENDS: dict[str, tuple[str | None, str]] = {
    "exit 0": (None, ""),
    "exit 3": ("exit_code", "exit code 3"),
    "exit 255": ("exit_code", "exit code 255"),
    "kill -SEGV $$": ("signal", "SIGSEGV"),
    "kill -KILL $$": ("signal", "SIGKILL"),
    "kill -40 $$": ("signal", "signal 40"),
    "echo lost >&2; echo the end >&2; exit 1": ("exit_code", "exit code 1"),
}


def test_a_command_has_the_status_of_its_end(tmp_path: Path) -> None:
    for script, end in shs(tmp_path, ENDS).items():
        reason, words = ENDS[script]
        assert (end["status"], end.get("reason")) == ("failed" if reason else "complete", reason)
        assert words in end.get("error", {}).get("message", "")
    assert end["error"]["stderr"] == "lost\nthe end\n"


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("./nosuch", 127, "No such file"),
        ("nosuchprogram", 127, "No such file"),
        ("./data", 126, "Permission denied"),
        ("./format", 126, "Exec format error"),
        ("./interpreter", 127, "No such file"),
        (".", 126, "Permission denied"),
    ],
)
def test_a_program_that_cannot_be_run(tmp_path: Path, program: str, code: int, words: str) -> None:
    (tmp_path / "data").write_text("not a program")
    for name, text in (("format", "\x7fnot a program"), ("interpreter", "#!/nonexistent\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    _, end = one(tmp_path, [program, "{x}"])
    assert (end["status"], end["reason"]) == ("failed", "exit_code")
    assert f"exit code {code}" in end["error"]["message"]
    assert words in end["error"]["stderr"]
    assert program in end["error"]["stderr"]


def test_a_broken_pipe_ends_a_program_as_it_does_in_a_shell(tmp_path: Path) -> None:
    """Python ignores SIGPIPE; its children must not."""
    end = sh(tmp_path, "yes | head -n 1; exit 0")
    assert end["status"] == "complete"
    end = sh(tmp_path / "b", "kill -PIPE $$")
    assert "SIGPIPE" in end["error"]["message"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sleep 600", "case_timeout"),
        ("trap 'exit 0' TERM; sleep 600 & wait", "case_timeout"),
        ("trap '' TERM; sleep 600", "case_timeout"),
    ],
)
def test_a_command_timeout(tmp_path: Path, script: str, reason: str) -> None:
    """A program that ends with 0 at TERM has timed out as well."""
    made = MadeSweep(
        tmp_path, manual([{"x": 1}]), argv=["/bin/sh", "-c", script], case_timeout_s=0.3
    )
    made.plan(term_grace_s=0.3)
    made.run()
    assert made.ends()[0]["reason"] == reason


@pytest.mark.parametrize(("own", "printed"), [(None, "begun"), ("", "")])
def test_a_signal_loses_nothing_that_python_has_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None, printed: str
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    if own is not None:  # the user's own setting wins
        monkeypatch.setenv("PYTHONUNBUFFERED", own)
    program = "import os; print('begun'); os.kill(os.getpid(), 9)"
    made, end = one(tmp_path, [sys.executable, "-c", program])
    assert "SIGKILL" in end["error"]["message"]
    # A file without a byte is not kept.
    files = [path.read_text().strip() for path in made.run_dir(0).glob("stdout.txt")]
    assert files == [printed] * bool(printed)


# --- metrics.json --------------------------------------------------------------------------------


METRICS: list[tuple[str | None, dict[str, Any]]] = [
    (None, {}),
    ("{}", {}),
    ('{"a": 1, "b": [1.5, null], "c": {"d": "é"}}', {"a": 1, "b": [1.5, None], "c": {"d": "é"}}),
    ('{"a": NaN, "b": -Infinity}', {"a": {"$float": "nan"}, "b": {"$float": "-inf"}}),
    ('{"s": "\\ud800"}', {"s": "\\ud800"}),
]


@pytest.mark.parametrize("runs", ["all", "none"])
def test_metrics_of_a_command(tmp_path: Path, runs: str) -> None:
    expected = {}
    for number, (content, metrics) in enumerate(METRICS):
        (tmp_path / f"m{number}").write_text(content or "")
        expected[f"cp m{number} $D/metrics.json" if content else "true"] = metrics
    for script, end in shs(tmp_path, expected, runs=runs).items():
        assert (end["status"], end.get("metrics", {})) == ("complete", expected[script])


UNREADABLE = {
    "printf '{' > $D/metrics.json": "is not JSON",
    "printf '\\377' > $D/metrics.json": "is not JSON",
    "printf '[1]' > $D/metrics.json": "no object of metrics",
    ": > $D/metrics.json": "is not JSON",
    "mkdir $D/metrics.json": "cannot be read: Is a directory",
    "ln -s metrics.json $D/metrics.json": "cannot be read: Too many levels",
    "head -c 100000 /dev/zero | tr '\\0' '[' > $D/metrics.json": "is not JSON",
}


def test_metrics_where_a_logbook_has_them(tmp_path: Path) -> None:
    place = "mkdir -p $D/artifacts; echo '{\"y\": %s}' > $D/artifacts/metrics.json"
    odd = place % '{"$float": "nan"}'
    both = f"{place % 1}; echo '{{\"y\": 2}}' > $D/metrics.json"
    ends = shs(tmp_path, [place % 1, odd, both])
    assert ends[place % 1]["metrics"] == {"y": 1}
    assert ends[odd]["metrics"] == {"y": NAN}
    assert (ends[both]["status"], ends[both]["reason"]) == ("failed", "error")
    holds(ends[both]["error"]["message"], "'y'", "2 by metrics.json", "1 by artifacts/metrics.json")


def test_metrics_that_cannot_be_read(tmp_path: Path) -> None:
    for script, end in shs(tmp_path, UNREADABLE).items():
        assert (end["status"], end["reason"]) == ("failed", "error")
        assert UNREADABLE[script] in end["error"]["message"]


NAN, INF = {"$float": "nan"}, {"$float": "inf"}
OTHER_NUMBERS = {
    "nan": NAN,
    "NaN": NAN,
    "-nan": NAN,
    "nan(ind)": NAN,
    "-nan(0x8000)": NAN,
    "1.#QNAN": NAN,
    "inf": INF,
    "-inf": {"$float": "-inf"},
    "+Infinity": INF,
    "INF": INF,
    "1.#INF00": INF,
    ".5": 0.5,
    "5.": 5.0,
    "+1": 1,
    "-.5E+2": -50.0,
    "007": 7,
    "-0.": -0.0,
    "1E5": 1e5,
    "[+1,nan]": [1, NAN],
    "1e999": INF,
}


def test_numbers_as_other_languages_print_them(tmp_path: Path) -> None:
    script = 'printf \'{{"y": %s, "text": "nan, .5"}}\' "$1" > $2/metrics.json'
    source = manual([{"x": number} for number in OTHER_NUMBERS])
    made = MadeSweep(tmp_path, source, argv=["/bin/sh", "-c", script, "sh", "{x}", "{run_dir}"])
    made.plan()
    made.run()
    found = {made.source[i].params["x"]: end["metrics"] for i, end in made.ends().items()}
    assert {number: metrics["y"] for number, metrics in found.items()} == OTHER_NUMBERS
    assert {metrics["text"] for metrics in found.values()} == {"nan, .5"}


@pytest.mark.parametrize(
    "content", [b'\xef\xbb\xbf{"y": 1}', b'{"y": 1}\r\n', b'\r\n{\r\n"y"\t: +1\r\n}\r\n']
)
def test_a_byte_order_mark_and_line_ends(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    assert sh(tmp_path, "cp m $D/metrics.json")["metrics"] == {"y": 1}


NO_NUMBERS: list[tuple[str | bytes, list[str]]] = [
    (
        '{"y": 1.5D-03}',
        ["'1.5D-03' is no number", "line 1, column 7", "Print 1.5e-03", "E for D"],
    ),
    ('{"y":\n -2d0}', ["'-2d0'", "line 2, column 2", "Print -2e0"]),
    ('{"y": 0,5}', ["'0,5' is no number", "line 1, column 7", "Print 0.5", "LC_ALL=C"]),
    ('{"x": nan,\n"y": -1,25, "z": 1}', ["'-1,25'", "line 2, column 6", "Print -1.25"]),
    ('{"y": ****}', ["'****' is no number", "G0"]),
    ('{"y": True}', ["Print true"]),
    ('{"y": .FALSE.}', ["'.FALSE.' is no", "Print false"]),
    ('{"y": NA}', ["Print null"]),
    ('{"y": 1.5-103}', ["'1.5-103' is no number", "Print 1.5e-103", "ES24.15E3"]),
    ('{"y": 1,234.5}', ["'1,234.5' is no number", "Print 1234.5", "thousands"]),
    ('{"y": [1,2,3}', ["Expecting ',' delimiter at '}'", "line 1, column 13"]),
    ('{"y": [1,2 "z": 3}', ["Expecting ',' delimiter at '\"z\": 3}'"]),
    ('{"y": "a\tb"}', ["Invalid control character at '\\tb"]),
    ('{"y": 1, "z": {"a": 1, "a": 2}}', ["has 'a' twice", "once"]),
    ('{"y": nan, "y": 2}', ["has 'y' twice"]),
    ("{'y': 1}", ["line 1, column 2", "double quotes"]),
    ('{"x": nan, "y": 1 "z": 2}', ["line 1, column 19", "at '\"z\": 2}'"]),
    ('{"y": 1', ["at its end", "line 1, column 8"]),
    ('{"y": 1}'.encode("utf-16"), ["UTF-16", "UTF-8"]),
    ('{"y": 1}'.encode("utf-16-le"), ["UTF-16", "UTF-8"]),
    (b'{"y": "\xe9"}', ["byte 7 is 0xe9"]),
]


def test_a_value_that_is_no_number_is_shown_with_its_place(tmp_path: Path) -> None:
    expected = {}
    for number, (content, words) in enumerate(NO_NUMBERS):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / f"m{number}").write_bytes(data)
        expected[f"cp m{number} $D/metrics.json"] = words
    for script, end in shs(tmp_path, expected).items():
        assert (end["status"], end["reason"]) == ("failed", "error")
        holds(end["error"]["message"], *expected[script])


# --- what a program leaves that is no file -------------------------------------------------------

LEFT = {
    "mkfifo {}": "it is not a regular file",
    "ln -s /dev/zero {}": "it is not a regular file",
    "ln -s /proc/self/fd/0 {}": "",
    "truncate -s 257M {}": f"it has more than {DOCUMENT_MAX} bytes",
    "python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' {}": "",
}


@pytest.mark.parametrize("runs", ["all", "none", "packed"])
def test_metrics_that_are_no_file_cost_their_case(tmp_path: Path, runs: str) -> None:
    expected = {
        f"cd $D; rm -f metrics.json; {what.format('metrics.json')}": why
        for what, why in LEFT.items()
    }
    for script, end in shs(tmp_path, expected, runs=runs).items():
        assert (end["status"], end["reason"]) == ("failed", "error")
        assert f"metrics.json cannot be read: {expected[script]}" in end["error"]["message"]


@pytest.mark.parametrize("name", ["metadata.json", "stderr.txt", "params.yaml", "artifacts"])
def test_a_pipe_instead_of_a_run_file(tmp_path: Path, name: str) -> None:
    """The next case runs, and a reader does not wait for the pipe."""
    script = (
        f"cd $0; test $1 = 2 || {{{{ rm -f {name}; mkfifo {name}; }}}}; "
        "echo '{{\"y\": 1}}' > metrics.json; exit $1"
    )
    made = MadeSweep(
        tmp_path,
        manual([{"x": 1}, {"x": 0}, {"x": 2}]),
        argv=["/bin/sh", "-c", script, "{run_dir}", "{x}"],
    )
    made.plan()
    made.run()
    ends = made.ends()
    assert [end["reason"] for end in (ends[0], ends[2])] == ["exit_code"] * 2
    assert ends[1]["status"] == ("failed" if name == "artifacts" else "complete")
    for reader in ExperimentReader(made.path):
        assert reader.meta["status"] in ("failed", "complete")
        for kept in reader.files.names():
            reader.files.read(kept)


def test_the_pipe_of_another_start_is_not_waited_for(tmp_path: Path) -> None:
    """Records that no worker wrote are ignored."""
    made = MadeSweep(tmp_path, manual([{"x": 1}, {"x": 2}, {"x": 3}]), argv=["/bin/true", "{x}"])
    made.plan()
    made.run()
    for journal in made.directory.journal_dir(1).rglob("*.jsonl"):
        journal.unlink()
    (made.run_dir(0) / "metadata.json").unlink()
    os.mkfifo(made.run_dir(0) / "metadata.json")
    path = made.run_dir(1) / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"attempt": [0, 1]}))
    made.run(restart=1)
    ends = made.ends()
    assert [end["status"] for end in ends.values()] == ["complete"] * 3
    # The third was not run again.
    assert [ends[index]["attempt"][2] for index in range(3)] == [1, 1, 0]


def test_a_failure_is_not_hidden_by_its_metrics(tmp_path: Path) -> None:
    end = sh(tmp_path, "printf '{' > $D/metrics.json; exit 4")
    assert (end["reason"], end["error"]["message"]) == (
        "exit_code",
        "its process ended with exit code 4",
    )
    end = sh(tmp_path / "b", "printf '{\"a\": 1}' > $D/metrics.json; exit 4")
    assert (end["reason"], end["metrics"]) == ("exit_code", {"a": 1})


def test_the_error_text_is_only_the_end_of_a_long_one(tmp_path: Path) -> None:
    end = sh(tmp_path, "yes abcdefghi | head -n 100000 >&2; echo END >&2; exit 1")
    assert end["error"]["stderr"].endswith("END\n")
    assert len(end["error"]["stderr"]) <= 4000


def test_without_run_directories_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    end = sh(
        tmp_path,
        "mkdir $D/sub; echo x > $D/sub/file; echo '{\"d\": 1}' > $D/metrics.json",
        runs="none",
    )
    assert (end["metrics"], "run_dir" in end) == ({"d": 1}, False)
    assert list((tmp_path / "t").iterdir()) == []
    assert not (tmp_path / "s" / "runs").exists()


@pytest.mark.parametrize("runs", ["all", "packed", "failed", "none"])
def test_a_command_that_removes_its_run_directory_fails(tmp_path: Path, runs: str) -> None:
    ends = shs(tmp_path, ['rm -r "$D"', 'mv "$D" "$D.x"; rm -r "$D.x"; exit 3', "true"], runs=runs)
    removed, failed, well = ends.values()
    assert removed["status"] == "failed", removed
    assert "its run directory is gone" in removed["error"]["message"]
    assert failed["reason"] == "exit_code"
    assert well["status"] == "complete"
