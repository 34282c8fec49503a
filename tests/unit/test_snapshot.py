"""The copy of the user's code that a submission keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hpcsweep import target
from hpcsweep.errors import Damaged, InputError, SweepError
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.submission import snapshot
from hpcsweep.submission.preflight import Checked
from hpcsweep.submission.snapshot import keep_code, link_data
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.undo import UndoLog

FUNCTION = Target(file="sim.py", function="run")


class Code:
    """Files of a user's project, kept in a sweep below it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sweep = SweepDirectory.create(root / "outputs" / "s", "s")
        self.made = UndoLog()
        self.notices: list[str] = []

    def write(self, **files: str) -> None:
        """Write files; `__` in a name stands for a slash, `init` for __init__."""
        for name, content in files.items():
            path = self.root / f"{name.replace('__', '/')}.py"
            if path.stem == "init":
                path = path.with_name("__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def keep(
        self,
        *code_files: str,
        what: Target = FUNCTION,
        patterns: tuple[str, ...] | None = (),
        digest: str | None = None,
        unread: Path | None = None,
    ) -> Path | None:
        """Keep the code; `code_files` are those that the check found."""
        manifest = FrozenManifest(
            name="s", root=str(self.root), target=what, source={}, snapshot=patterns
        )
        paths = {name: self.root / name for name in code_files}
        checked = Checked(digest or target.digest_of(paths), list(code_files), [])
        kept = keep_code(self.sweep, manifest, checked, self.made, self.notices.append)
        if kept is None:
            return None
        link_data(self.sweep, manifest, kept, self.made, unread=unread)
        return self.sweep.code_dir(kept)


def files(directory: Path) -> set[str]:
    """The files below a directory without bytecode; links are not followed."""
    return {
        (Path(parent) / name).relative_to(directory).as_posix()
        for parent, _, names in os.walk(directory)
        for name in names
        if not (Path(parent) / name).is_symlink() and not name.endswith(".pyc")
    }


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


# --- which files ---------------------------------------------------------------------------------


def test_imported_files_and_the_modules_beside_them_are_kept(code: Code) -> None:
    code.write(sim="", used="", late="", other__unused="")
    (code.root / "data.csv").write_text("1")
    copy = code.keep("sim.py", "used.py")
    assert copy is not None
    assert files(copy) == {"sim.py", "used.py", "late.py"}


def test_files_that_git_tracks_are_kept_if_they_are_small(
    code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SMALL_BYTES_MAX", 10)
    code.write(sim="", late="", pack__inner="")
    (code.root / "tracked.toml").write_text("a = 1")
    (code.root / "tracked.bin").write_text("1" * 11)
    git(code.root, "init", "-q")
    git(code.root, "add", "sim.py", "pack", "tracked.toml", "tracked.bin")
    copy = code.keep("sim.py")
    assert copy is not None
    assert files(copy) == {"sim.py", "pack/inner.py", "tracked.toml"}


def test_of_very_many_tracked_files_only_the_imported_ones_are_kept(
    code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SMALL_MAX", 2)
    code.write(sim="", a="", b="")
    git(code.root, "init", "-q")
    git(code.root, "add", ".")
    copy = code.keep("sim.py")
    assert copy is not None
    assert files(copy) == {"sim.py"}


def test_patterns_name_what_is_kept_beside_the_imported_files(code: Code) -> None:
    code.write(sim="", late="", pack__inner="", pack__deep__more="")
    copy = code.keep("sim.py", patterns=("pack/**/*.py",))
    assert copy is not None
    assert files(copy) == {"sim.py", "pack/inner.py", "pack/deep/more.py"}


def test_a_pattern_that_matches_nothing_is_refused(code: Code) -> None:
    code.write(sim="")
    with pytest.raises(InputError, match=r"no file in .* matches 'lib/\*\.py'"):
        code.keep("sim.py", patterns=("lib/*.py",))


def test_patterns_that_match_very_many_files_are_refused(
    code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MATCHED_MAX", 2)
    code.write(sim="", a="", b="")
    with pytest.raises(InputError, match="more than 2 files"):
        code.keep("sim.py", patterns=("*.py",))


def test_nothing_is_kept_if_a_manifest_says_so_or_there_is_nothing(code: Code) -> None:
    code.write(sim="")
    assert code.keep("sim.py", patterns=None) is None
    assert code.keep(what=Target(argv=("echo", "{x}"))) is None


def test_files_outside_the_manifests_directory_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    code = Code(tmp_path / "project")
    (tmp_path / "lib.sh").write_text("echo")
    (code.root / "run.sh").write_text("echo")
    command = Target(argv=("sh", "run.sh", "../lib.sh", "/bin/true"))
    copy = code.keep("run.sh", "../lib.sh", "/bin/true", what=command)
    assert copy is not None
    assert files(copy) == {"run.sh"}


def test_a_file_that_is_too_large_is_not_kept_and_named(
    code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "NAMED_BYTES_MAX", 10)
    (code.root / "sim").write_text("1" * 11)
    (code.root / "in").write_text("1")
    copy = code.keep("sim", "in", what=Target(argv=("./sim", "in")))
    assert copy is not None
    assert files(copy) == {"in"}
    assert code.notices == ["sim is too large to be kept with the submission: do not change it."]


# --- the copy ------------------------------------------------------------------------------------


def test_the_same_code_is_kept_once_and_other_code_beside_it(code: Code) -> None:
    code.write(sim="A = 1")
    first = code.keep("sim.py")
    assert code.keep("sim.py") == first
    code.write(sim="A = 2")
    second = code.keep("sim.py")
    assert first is not None
    assert second is not None
    assert (first / "sim.py").read_text() == "A = 1"
    assert (second / "sim.py").read_text() == "A = 2"


def test_a_copy_cannot_be_written_and_is_executable_like_its_original(code: Code) -> None:
    for name, mode in (("sim", 0o755), ("in", 0o644)):
        (code.root / name).write_text("1")
        (code.root / name).chmod(mode)
    command = Target(argv=("./sim", "in"))
    copy = code.keep("sim", "in", what=command)
    assert copy is not None
    assert (copy / "sim").stat().st_mode & 0o777 == 0o500
    assert (copy / "in").stat().st_mode & 0o777 == 0o400
    (code.root / "sim").chmod(0o644)
    assert code.keep("sim", "in", what=command) != copy


def test_what_is_not_kept_is_linked_beside_the_copies(code: Code) -> None:
    code.write(pack__sim="")
    (code.root / "pack" / "data.csv").write_text("1")
    (code.root / "input").mkdir()
    copy = code.keep("pack/sim.py")
    assert copy is not None
    assert (copy / "pack" / "data.csv").readlink() == code.root / "pack" / "data.csv"
    assert (copy / "input").readlink() == code.root / "input"
    assert not (copy / "outputs").exists()  # no way back into the sweep
    (code.root / "later.csv").write_text("1")
    assert code.keep("pack/sim.py") == copy
    assert (copy / "later.csv").read_text() == "1"


@pytest.mark.parametrize("is_command", [False, True])
def test_the_manifest_is_linked_beside_the_files_of_a_command_alone(
    code: Code, is_command: bool
) -> None:
    code.write(sim="")
    (code.root / "m.yaml").write_text("")
    what = Target(argv=("python3", "sim.py", "{x}")) if is_command else FUNCTION
    copy = code.keep("sim.py", what=what, unread=Path("m.yaml"))
    assert copy is not None
    assert (copy / "m.yaml").is_symlink() is is_command


def test_code_that_changes_after_its_check_is_not_submitted(code: Code) -> None:
    code.write(sim="A = 1")
    with pytest.raises(SweepError, match="the code was changed while it was submitted"):
        code.keep("sim.py", digest="0" * 16)


def test_a_copy_that_was_changed_is_refused(code: Code) -> None:
    code.write(sim="A = 1")
    copy = code.keep("sim.py")
    assert copy is not None
    (copy / "sim.py").chmod(0o600)
    (copy / "sim.py").write_text("A = 2")
    with pytest.raises(Damaged, match="is not the code"):
        code.keep("sim.py")


def test_a_failed_submit_takes_its_copy_back(code: Code) -> None:
    code.write(sim="", pack__inner="")
    copy = code.keep("sim.py", "pack/inner.py")
    assert copy is not None
    code.made.undo()
    assert not copy.exists()


def test_a_copy_that_is_gone_is_named(code: Code) -> None:
    code.write(sim="")
    manifest = FrozenManifest(name="s", root=str(code.root), target=FUNCTION, source={})
    with pytest.raises(SweepError, match="the code of submission 1 is gone"):
        code.sweep.with_kept_code(manifest, {"submission": 1, "snapshot": "0" * 16})  # type: ignore[typeddict-item]


# --- imports -------------------------------------------------------------------------------------


def run_kept(root: Path, copy: Path, what: Target, **more: str) -> str:
    """Import a target in a fresh interpreter from the copy, and print what it returns."""
    script = (
        "import sys; from hpcsweep import target\n"
        "from hpcsweep.manifest.frozen import FrozenManifest, Target\n"
        "m = FrozenManifest(name='s', root=sys.argv[1], code_root=sys.argv[2], source={},"
        " target=Target(file=sys.argv[3] or None, module=sys.argv[4] or None, function='run'))\n"
        "function = target.load(m)\n"
        "used = (target.code_digest(m), *target.code_files(m))\n"
        "print(function(), *used)"
    )
    argv = [sys.executable, "-c", script, str(root), str(copy), what.file or "", what.module or ""]
    env = os.environ | more
    return subprocess.run(argv, capture_output=True, text=True, check=True, env=env).stdout.strip()


def test_a_task_imports_the_copies_whatever_becomes_of_the_originals(code: Code) -> None:
    code.write(
        sim="import used, pack.inner\ndef run():\n import late\n"
        " return used.V + pack.inner.V + late.V, __file__, pack.__path__[0], used.__file__",
        used="V = 1",
        late="V = 10",
        pack__init="",
        pack__inner="from pathlib import Path; V = int((Path(__file__).parent / 'n').read_text())",
    )
    (code.root / "pack" / "n").write_text("100")
    names = ("pack/__init__.py", "pack/inner.py", "sim.py", "used.py")
    copy = code.keep(*names)
    assert copy is not None
    before = target.digest_of({name: code.root / name for name in names})
    code.write(sim="raise ValueError", used="V = 2", pack__inner="raise ValueError")
    (code.root / "late.py").unlink()
    places = [str(code.root / name) for name in ("sim.py", "pack", "used.py")]
    assert run_kept(code.root, copy, FUNCTION) == (
        f"(111, {', '.join(map(repr, places))}) {before} {' '.join(names)}"
    )


def test_a_module_on_a_path_below_the_project_is_imported_from_its_copy(code: Code) -> None:
    """An editable installation of a `src` layout has such a path; a process pool imports copies."""
    code.write(
        src__pack__init="",
        src__pack__sim="import multiprocessing\ndef value(_): return 1\n"
        "def run():\n with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "  return pool.map(value, [0]), __file__",
    )
    copy = code.keep("src/pack/__init__.py", "src/pack/sim.py")
    assert copy is not None
    code.write(src__pack__sim="raise ValueError")
    what = Target(module="pack.sim", function="run")
    answer = run_kept(code.root, copy, what, PYTHONPATH=str(code.root / "src"))
    assert answer.startswith(f"([1], '{code.root}/src/pack/sim.py')")


def test_a_command_names_the_copies_of_its_files(code: Code) -> None:
    for name in ("sim", "in", "echo"):
        (code.root / name).write_text("1")
    (code.root / "large").write_text("1")
    command = Target(argv=("./sim", "in", "{x}", "large", "/bin/true", "--in=in"))
    copy = code.keep("sim", "in", what=command)
    assert copy is not None
    manifest = FrozenManifest(name="s", root=str(code.root), target=command, source={})
    kept = replace(manifest, code_root=str(copy))
    assert target.argv_of(manifest) == command.argv
    expected = (f"{copy}/./sim", f"{copy}/in", "{x}", "large", "/bin/true", "--in=in")
    assert target.argv_of(kept) == expected
    by_name = replace(kept, target=Target(argv=("echo", "in")))
    assert target.argv_of(by_name) == ("echo", f"{copy}/in")
