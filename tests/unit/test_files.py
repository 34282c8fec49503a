"""The seam to the file system: whole or not at all, private, and inside."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import files
from hpcsweep.errors import SweepError
from hpcsweep.undo import UndoLog, undo_on_error
from tests.support.fixtures import Scale

PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def fail(number: int) -> object:
    def act(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return act


# --- directories ---------------------------------------------------------------------------------


def test_created_files_are_private_with_any_umask(tmp_path: Path, umask: int) -> None:
    path = files.make_directory(tmp_path / "a" / "b")
    files.write_new(path / "new", b"x")
    files.replace(path / "replaced", b"x")
    assert umask >= 0
    assert (mode(path), mode(path.parent)) == (PRIVATE_DIRECTORY, PRIVATE_DIRECTORY)
    assert (mode(path / "new"), mode(path / "replaced")) == (PRIVATE_FILE, PRIVATE_FILE)


def test_making_a_directory_again_does_nothing(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "file").touch()
    assert files.make_directory(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b" / "file").exists()


def ends_at_once(script: str, directory: Path, timeout_s: float) -> list[int]:
    """The exit codes of four processes that begin a script when their standard input is closed."""
    makers = [
        subprocess.Popen([sys.executable, "-c", script, str(directory)], stdin=subprocess.PIPE)
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdin
        maker.stdin.close()
    return [maker.wait(timeout_s) for maker in makers]


def test_many_make_the_same_directory_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from hpcsweep.files import make_directory\n"
        "sys.stdin.read()\n"
        "for n in range(50): make_directory(Path(sys.argv[1], str(n), 'a', 'b', 'c'))"
    )
    assert ends_at_once(script, tmp_path, 30) == [0, 0, 0, 0]


def test_a_directory_that_others_remove_at_once_is_made(tmp_path: Path, scale: Scale) -> None:
    script = (
        "import contextlib, os, sys; from pathlib import Path\n"
        "from hpcsweep.files import make_directory\n"
        "sys.stdin.read()\n"
        f"for _ in range({scale(500, 3000)}):\n"
        "    make_directory(Path(sys.argv[1], 'a'))\n"
        "    with contextlib.suppress(FileNotFoundError): os.rmdir(Path(sys.argv[1], 'a'))"
    )
    assert ends_at_once(script, tmp_path, 60) == [0, 0, 0, 0]


def test_a_directory_that_was_there_a_moment_ago_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, refused = os.mkdir, iter([True])

    def mkdir(path: Path, mode: int) -> None:
        if next(refused, False):
            raise FileExistsError(17, "File exists", str(path))
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    assert files.make_directory(tmp_path / "a").is_dir()


@pytest.mark.parametrize("below", ["file", "file/a/b"])
def test_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SweepError, match="cannot be written") as caught:
        files.make_directory(tmp_path / below)
    assert str(tmp_path) in caught.value.where


def test_names_are_listed(tmp_path: Path) -> None:
    for name in ("b", "a", ".c"):
        (tmp_path / name).touch()
    assert files.names(tmp_path) == [".c", "a", "b"]
    assert files.names(tmp_path / "none") == []
    assert files.names(tmp_path / "a") == []


# --- files that appear whole ---------------------------------------------------------------------


def test_a_new_file_must_be_new(tmp_path: Path) -> None:
    files.write_new(tmp_path / "a", b"first")
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert files.names(tmp_path) == ["a"]


def test_a_derived_file_is_replaced(tmp_path: Path) -> None:
    files.replace(tmp_path / "a", b"first")
    with (tmp_path / "a").open("rb") as reader:
        files.replace(tmp_path / "a", b"second")
        assert reader.read() == b"first"  # a reader keeps what it opened
    assert (tmp_path / "a").read_bytes() == b"second"
    assert files.names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", [files.write_new, files.replace])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_file_that_cannot_be_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object, number: int
) -> None:
    assert callable(write)
    for function in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail(number))
            with pytest.raises(SweepError, match=os.strerror(number)) as caught:
                write(tmp_path / "a", b"x")
        assert caught.value.where == str(tmp_path / "a")
        assert caught.value.errno == number  # type: ignore[attr-defined]
        assert files.names(tmp_path) == []


def test_a_name_that_is_our_own_is_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS: the answer was lost, and the repeated request finds the name that it made."""
    real = os.link

    def twice(source: Path, target: Path) -> None:
        real(source, target)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "link", twice)
    files.write_new(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
    monkeypatch.setattr(os, "link", fail(errno.EPERM))  # a file system without links
    with pytest.raises(SweepError, match="Operation not permitted"):
        files.write_new(tmp_path / "b", b"x")
    assert files.names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", ["write_new", "replace"])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path, write: str) -> None:
    """Killed at each of its system calls in turn."""
    script = f"""
import os, signal, sys
from pathlib import Path
from hpcsweep import files
path, left = Path(sys.argv[1]), int(sys.argv[2])
def dying(real):
    def call(*a, **k):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*a, **k)
    return call
for name in ("open", "write", "fsync", "close", "link", "unlink", "replace", "rename"):
    setattr(os, name, dying(getattr(os, name)))
files.{write}(path, b"new" * 1000)
"""
    outcomes = set()
    for calls in range(1, 20):
        path = tmp_path / f"{calls}"
        if write == "replace":
            path.write_bytes(b"old")
        argv = [sys.executable, "-c", script, str(path), str(calls)]
        code = subprocess.run(argv, check=False).returncode
        content = path.read_bytes() if path.exists() else None
        assert content in (b"new" * 1000, b"old" if write == "replace" else None)
        outcomes.add((code, content))
        if code == 0:
            break
    else:
        pytest.fail("never came to its end")
    # Killed before it appeared, and not killed; the name itself is the last act of `replace`.
    assert len(outcomes) == (2 if write == "replace" else 3)
    left = [name for name in files.names(tmp_path) if not name.isdigit()]
    assert all(map(files.is_temporary, left))


def test_a_new_file_is_durable_before_create_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def note(name: str, real: Callable[..., None], *args: Any, **how: Any) -> None:
        happened.append(name)
        real(*args, **how)

    for name in ("fsync", "link", "replace"):
        monkeypatch.setattr(os, name, partial(note, name, getattr(os, name)))
    files.write_new(tmp_path / "a", b"x")
    assert happened == ["fsync", "link", "fsync"]  # the content, the name, the directory


# --- JSON ----------------------------------------------------------------------------------------


def test_json_goes_through_a_file(tmp_path: Path) -> None:
    value = {"b": [1, 1.0, None, True], "a": "ä\u2028", "c": {"n": 2**80}}
    files.write_new(tmp_path / "a", files.json_bytes(value))
    assert files.read_json(tmp_path / "a") == value
    assert list(json.loads((tmp_path / "a").read_text())) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.json_bytes(float("inf"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no such file"), (b"", "not JSON"), (b"{", "not JSON"), (b"\xff", "not JSON")],
)
def test_json_that_is_not_there(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(SweepError, match=message) as caught:
        files.read_json(tmp_path / "a")
    assert caught.value.where == str(tmp_path / "a")
    assert caught.value.next_step


def test_json_that_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="cannot be read: Is a directory"):
        files.read_json(tmp_path)


# --- paths ---------------------------------------------------------------------------------------


def test_an_output_goes_where_a_link_of_the_user_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, target = tmp_path / "latest.csv", tmp_path / "2026.csv"
    for content in ("a", "b"):  # dangling, then of a file
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        with files.atomic_output(link) as path:
            path.write_text(content)
        assert link.is_symlink()
        assert target.read_text() == content
    monkeypatch.setattr("os.geteuid", lambda: link.lstat().st_uid + 1)
    with files.atomic_output(link) as path:
        path.write_text("own")
    assert not link.is_symlink()
    assert target.read_text() == "b"


@pytest.mark.parametrize("relative", ["a", "a/b", ".", "a/../b", "..a", "a/...", "ä \n"])
def test_paths_inside(tmp_path: Path, relative: str) -> None:
    assert files.inside(tmp_path, relative) == tmp_path / relative


@pytest.mark.parametrize(
    "relative", ["..", "../x", "a/../../x", "/etc/passwd", "/", "link/x", "link", "a/../link/.."]
)
def test_paths_outside(tmp_path: Path, relative: str) -> None:
    (tmp_path / "link").symlink_to("/usr")
    with pytest.raises(SweepError, match="would leave the directory"):
        files.inside(tmp_path, relative)


def test_a_sibling_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(SweepError, match="would leave"):
        files.inside(tmp_path / "run", "../run2/x")


# --- removing ------------------------------------------------------------------------------------


def test_a_tree_is_removed_and_what_it_links_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").touch()
    (tree / "link").symlink_to(tmp_path / "kept")
    (tree / "dangling").symlink_to("nowhere")
    files.remove_tree(tree)
    assert files.names(tmp_path) == ["kept"]
    (tmp_path / "to").symlink_to("kept")
    files.remove_tree(tmp_path / "to")
    files.remove_tree(tmp_path / "none")
    assert files.names(tmp_path / "kept") == ["file"]


def interrupted(_: Path) -> None:
    raise KeyboardInterrupt


def test_a_failed_block_removes_what_it_made(tmp_path: Path) -> None:
    def block(path: Path, *, doubt: bool = False) -> None:
        with pytest.raises(KeyboardInterrupt), undo_on_error(unless=doubt) as made:
            interrupted(made.directory(path / "x"))

    block(tmp_path / "deep" / "new")
    assert files.names(tmp_path) == []
    block(tmp_path / "doubted", doubt=True)
    (tmp_path / "old").mkdir()
    block(tmp_path / "old")
    assert files.names(tmp_path) == ["doubted", "old"]
    assert files.names(tmp_path / "old") == []
    with undo_on_error() as made:
        made.directory(tmp_path / "good")
    assert (tmp_path / "good").exists()


def test_files_of_another_process_are_not_removed(tmp_path: Path) -> None:
    """Not what was there, nor what came to be in what this process made."""
    made = UndoLog()
    (tmp_path / "theirs").mkdir()
    made.directory(tmp_path / "theirs")
    (tmp_path / "file").write_text("theirs")
    with pytest.raises(FileExistsError):
        made.file(tmp_path / "file", b"ours")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "theirs").touch()
    with pytest.raises(FileExistsError), made.whole(tmp_path / "taken") as aside:
        (aside / "ours").touch()
    made.directory(tmp_path / "ours" / "empty")
    (tmp_path / "ours" / "theirs").touch()
    with made.whole(tmp_path / "whole") as aside:
        (aside / "ours").touch()
    assert files.names(tmp_path / "whole") == ["ours"]
    (tmp_path / "whole" / "theirs").touch()

    made.undo()

    assert files.names(tmp_path) == ["file", "ours", "taken", "theirs", "whole"]
    assert (tmp_path / "file").read_text() == "theirs"
    for name in ("ours", "taken", "whole"):
        assert files.names(tmp_path / name) == ["theirs"]


def test_tokens_are_names_that_are_not_met_again() -> None:
    tokens = {files.token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{16}", token) for token in tokens)
