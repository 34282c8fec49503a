"""Another host: its name, what is sent there, what its errors mean. Without one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep.cli.commands import COMMANDS
from hpcsweep.cli.on_host import HERE, command_on_host
from hpcsweep.errors import ClusterError, ClusterUnavailable, InputError
from hpcsweep.far import commands
from hpcsweep.far.commands import SENDING, FarCommand
from hpcsweep.far.directory import FarDirectory
from hpcsweep.far.host import FarHost, far_host, split_remote
from hpcsweep.far.project_files import CODE_MAX, files_to_send, project_root
from hpcsweep.far.rsync import rsync
from hpcsweep.far.ssh import READY, REMEDIES, SHELL, not_reached


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("far:dir/s", ("far", "dir/s")),
        ("me@far:", ("me@far", "")),
        ("far:a:b", ("far", "a:b")),
        ("dir/a:b", None),
        ("outputs", None),
        ("-oX:y", None),
        (":x", None),
    ],
)
def test_a_remote_directory_has_a_colon_before_any_slash(
    text: str, split: tuple[str, str] | None
) -> None:
    assert split_remote(text) == split


def test_a_host_by_name_by_directory_and_by_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "hpcsweep/config.yaml"
    config.parent.mkdir()
    config.write_text("profiles: {big: {host: me@login, root: ~/work}, small: {cluster: slurm}}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    project = Path("/home/me/oscillator")

    def named(text: str) -> tuple[str, str]:
        host = far_host(text, project)
        return host.name, host.root

    assert named("big") == ("me@login", "work")
    assert named("far:/scratch/a b") == ("far", "/scratch/a b")
    # Projects of one name have directories of their own there.
    assert named("small")[0] == "small"
    root = named("far")[1]
    assert root.startswith("hpcsweep/oscillator-")
    assert far_host("far", Path("/data/oscillator")).root not in (root, "")
    for name in ("-oProxyCommand=x", "a b", "", "a/b", "a\nb"):
        with pytest.raises(InputError, match="is not the name of a host"):
            FarHost(name=name, root="x")
    config.write_text("profiles: {big: {host: 3}}\n")
    with pytest.raises(InputError, match="host: is not a text"):
        named("big")


@pytest.mark.parametrize(
    ("said", "kind", "what"),
    [
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", ClusterError, "not the one"),
        ("Host key verification failed.", ClusterError, "is not known"),
        ("me@far: Permission denied (publickey).", ClusterError, "did not accept a key"),
        ("x\nssh: connect to host far: No route to host", ClusterUnavailable, "No route to host"),
        ("", ClusterUnavailable, "gave no reason"),
    ],
)
def test_what_ssh_says_becomes_a_sentence(said: str, kind: type[ClusterError], what: str) -> None:
    error = not_reached("far", said)
    assert type(error) is kind
    assert what in error.what
    assert "far" in error.next_step


@pytest.mark.parametrize(
    ("command", "said", "answer"),
    [(SHELL, b'x="$(echo bash)"; echo "${x^^}"', b"BASH\n"), (READY, b"", b"\nready\n")],
)
def test_each_login_shell_understands_what_it_gets(
    tmp_path: Path, command: str, said: bytes, answer: bytes
) -> None:
    there = [shell for shell in ("sh", "dash", "zsh", "tcsh", "fish") if shutil.which(shell)]
    env = os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    assert there
    for shell in there:
        done = subprocess.run(
            [shell, "-c", command], input=said, capture_output=True, check=True, env=env
        )
        assert done.stdout == answer, shell


@pytest.mark.parametrize("version", ["0.0.1", "99.0", None])
def test_another_version_there_is_refused_either_way(version: str | None) -> None:
    there = FarDirectory(host="far", root="/my dir", has_rsync=True, chatter="", version=version)
    with pytest.raises(ClusterError) as caught:
        there.require_hpcsweep()
    assert caught.value.what.startswith(f"has hpcsweep {version}" if version else "has no hpcsweep")
    assert "`hpcsweep --on 'far:/my dir' install` installs" in caught.value.next_step


def test_the_page_has_each_remedy_and_command() -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/laptop.md").read_text()
    assert [what for _, what, _ in REMEDIES if what not in text] == []
    assert [name for name in (*HERE, *SENDING) if f"`{name}`" not in text] == []
    assert set(HERE) | set(SENDING) <= set(COMMANDS)


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


@pytest.mark.parametrize(
    ("arguments", "fetched"),
    [
        ("collect s --output t.csv", ["t.csv"]),
        ("collect s -ot.csv", ["t.csv"]),
        ("collect s -o -", []),
        ("collect s", []),
        ("report s", ["report.html"]),
        ("report s -o -", []),
        ("plot s --x x --y y -o -", []),
    ],
)
def test_standard_output_is_no_file_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, fetched: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run: list[FarCommand] = []
    monkeypatch.setattr(commands, "run_there", lambda _, command, __: run.append(command))
    name, *others = arguments.split()
    CliRunner().invoke(command_on_host(name, "far:there"), others)
    assert [str(path) for command in run for path in command.outputs] == fetched
    assert len(run) == 1


def test_tracked_named_and_imported_files_are_sent(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "gone.txt", "sub/model.py", "sub/new.py", "sub/data.csv", "sub/o.bin")
    write(tmp_path, "sub/.hidden/x.py", "sub/venv/pyvenv.cfg", "sub/venv/lib/y.py")
    write(tmp_path, "sub/outputs/s/sweep.json", "sub/outputs/s/code/1/model.py", "other.py")
    for command in ("init -q", "add a.txt gone.txt sub/model.py"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    (tmp_path / "gone.txt").unlink()
    write(tmp_path.parent, "outside.csv")
    sub = tmp_path / "sub"
    # A manifest may have the name of a sweep's marker.
    (sub / "sweep.json").write_text(
        '{"target": "model.py:f", "a": ["data.csv", "../../outside.csv", "\\u0000"]}'
    )
    assert project_root(sub) == tmp_path
    sent = files_to_send(tmp_path, sub, ["sweep.json", "--cases", "@o.bin", "no-such"])
    assert sent == [
        *("a.txt", "sub/data.csv", "sub/model.py", "sub/new.py", "sub/o.bin", "sub/sweep.json")
    ]
    assert files_to_send(tmp_path, sub, []) == ["a.txt", "sub/model.py"]


def test_a_named_link_is_sent_with_its_target(tmp_path: Path) -> None:
    """The target may be a file that git ignores, and the link one that it tracks."""
    write(tmp_path, "data/2/x.csv", "m.yaml")
    (tmp_path / "data/newest").symlink_to("2/x.csv")
    (tmp_path / "x.csv").symlink_to("data/newest")
    (tmp_path / "m.yaml").write_text("name: s\ninputs: [x.csv]\n")
    sent = files_to_send(tmp_path, tmp_path, ["m.yaml"])
    assert sent == ["data/2/x.csv", "data/newest", "m.yaml", "x.csv"]


def test_the_files_of_submodules_are_sent(tmp_path: Path) -> None:
    project, other = tmp_path / "project", tmp_path / "other"
    write(other, "table.csv")
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    git = ["git", *author, "-c", "protocol.file.allow=always", "-C"]
    for directory, *command in (
        (other, "init", "-q"),
        (other, "add", "."),
        (other, "commit", "-qm", "x"),
        (tmp_path, "init", "-q", "project"),
        (project, "submodule", "--quiet", "add", str(other), "sub"),
    ):
        subprocess.run([*git, str(directory), *command], check=True)
    assert files_to_send(project, project, []) == [".gitmodules", "sub/table.csv"]


def test_a_manifest_in_a_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CODE_MAX == 10_000
    monkeypatch.setattr("hpcsweep.far.project_files.CODE_MAX", 2)
    write(tmp_path, "a.py", "b.py", "c.py")
    (tmp_path / "m.yaml").write_text("name: s\n")
    with pytest.raises(InputError, match="more than 2 Python files"):
        files_to_send(tmp_path, tmp_path, ["m.yaml"])


def test_the_ssh_of_rsync_asks_nobody_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a connection of its own: one that ~/.ssh/config shares may have ended meanwhile."""
    program = tmp_path / "rsync"
    program.write_text('#!/bin/sh\n[ "$SSH_ASKPASS $SSH_ASKPASS_REQUIRE" = "false force" ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert rsync("a", "b") == 0
