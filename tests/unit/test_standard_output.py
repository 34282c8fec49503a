"""`-o -` of each command: standard output where a pipe can take it, else a sentence."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpcsweep.cli import main, streams
from hpcsweep.cli.commands import COMMANDS
from hpcsweep.cli.on_host import _outputs
from hpcsweep.cli.output_options import destination
from hpcsweep.cli.render import console
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

# What standard output begins with, by command; None where it is refused.
FIRST = {"report": b"<!doctype html>", "collect": b"index,", "import": b"#", "archive": None}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeSweep:
    monkeypatch.chdir(tmp_path)
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python="def run(x):\n    return {}\n")
    made.plan(chunk_size=2)
    made.handed_in()
    return made


def test_every_command_with_output_is_in_this_table() -> None:
    commands = {name: main.get_command(click.Context(main), name) for name in COMMANDS}
    having = {
        name
        for name, command in commands.items()
        if command and any("--output" in option.opts for option in command.params)
    }
    # A figure takes a second: `destination` is tested below.
    assert having == {*FIRST, "plot"}


@pytest.mark.parametrize("name", FIRST)
def test_a_dash_is_standard_output(name: str, made: MadeSweep) -> None:
    Path("t.csv").write_text("a\n1\n2\n")
    what = ["csv", "t.csv", "--command", "true"] if name == "import" else [str(made.path)]
    done = CliRunner().invoke(main, [name, *what, "-o", "-"])
    assert not Path("-").exists()
    first = FIRST[name]
    if first is None:
        assert done.exit_code == 2
        assert "name one, --output demo.tar" in done.stderr
    else:
        assert done.exit_code == 0, done.output
        assert done.stdout_bytes.lower().startswith(first)
        assert "written" not in done.output


def test_bytes_go_to_a_pipe_and_not_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with streams.clean(), destination(Path("-"), ".png", is_text=False) as path:
        assert path is not None
        path.write_bytes(b"\x89PNG\xff")
    assert capfdbinary.readouterr().out == b"\x89PNG\xff"
    assert not path.exists()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with (
        pytest.raises(click.UsageError, match="not for a terminal"),
        destination(Path("-"), ".png", is_text=False),
    ):
        pass


def test_a_dash_is_known_on_another_host() -> None:
    assert _outputs("report", ("demo", "-o", "-")) == (Path("-"),)


@pytest.mark.parametrize(
    ("columns", "width"), [("47", 47), ("", console.ANY_WIDTH), ("0", console.ANY_WIDTH)]
)
def test_a_terminal_of_another_host_has_a_width(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv(console.COLUMNS, columns)
    assert console.width() == width
