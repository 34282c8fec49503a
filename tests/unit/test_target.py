"""The target: what can be one, how it is called, and what its command line is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import target
from hpcsweep.errors import TargetError
from hpcsweep.manifest.frozen import FrozenManifest, Target

PLACES = {
    "run_dir": "/r u n",
    "seed": "12",
    "case_id": "0123456789abcdef",
    "index": "7",
    "params_json": '{"x": 1}',
}


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another one imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def function(root: Path, source: str, name: str = "run") -> FrozenManifest:
    (root / "target.py").write_text(source)
    return manifest(root, Target(file="target.py", function=name))


def manifest(root: Path, what: Target) -> FrozenManifest:
    return FrozenManifest(name="s", root=str(root), target=what, source={})


def argv(elements: list[str], **params: Any) -> tuple[str, ...]:
    return target.command_line(elements, params, PLACES, {})


# --- loading -------------------------------------------------------------------------------------


def test_a_function_of_a_file_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "neighbour.py").write_text("VALUE = 3\n")
    (tmp_path / "sub" / "target.py").write_text(
        "import neighbour\ndef run(): return neighbour.VALUE\n"
    )
    found = target.load(manifest(tmp_path, Target(file="sub/target.py", function="run")))
    assert found() == 3
    assert sys.modules["target"].run is found  # so that a process pool finds it by name


def test_a_function_of_a_module(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "inner.py").write_text("class A:\n    run = staticmethod(max)\n")
    found = target.load(manifest(tmp_path, Target(module="pack.inner", function="A.run")))
    assert found is max


def test_a_file_with_the_name_of_a_known_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def run(): return 'mine'\n")
    found = target.load(manifest(tmp_path, Target(file="json.py", function="run")))
    assert found() == "mine"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class run: pass", "is a class.*name a function"),
        ("run = 3", "is int, not a function"),
        ("async def run(): pass", "is a coroutine.*asyncio.run"),
        ("async def run(): yield", "is a coroutine"),
        ("def run(): yield", "is a generator.*return a dict"),
        ("run = lambda: 1", "is a lambda.*def"),
        ("def other(): pass", "there is no 'run' in it"),
        ("run = None", "there is no 'run' in it"),
    ],
)
def test_invalid_targets(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(TargetError, match=f"(?s){message}") as caught:
        target.load(function(tmp_path, source))
    assert caught.value.where == "target.py:run"


def test_an_exception_of_the_users_module_passes_through(tmp_path: Path) -> None:
    for source, error in (("1/0", ZeroDivisionError), ("raise SystemExit(3)", SystemExit)):
        with pytest.raises(error):
            target.load(function(tmp_path, source))
        assert "target" not in sys.modules  # it is not half there for the next one


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "names"),
    [
        ("x, y", {"x", "y"}),
        ("x, *, y, z=1", {"x", "y"}),
        ("params", {"x", "y"}),
        ("case", {"x"}),
        ("**rest", {"x", "y"}),
        ("x, **rest", {"x", "y"}),
        ("log, seed, rng, x", {"x"}),
        ("x, *args, **kwargs", {"x", "args"}),
        ("", set()),
    ],
)
def test_signatures_that_fit(signature: str, names: set[str]) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def run({signature}): return locals()", namespace)  # noqa: S102
    run = namespace["run"]
    target.check_arguments(run, names, Target(file="t.py", function="run"))
    given_ = {name: lambda name=name: f"<{name}>" for name in target.GIVEN}
    found = target.call(run, {name: name.upper() for name in names}, given_)
    for key in ("rest", "kwargs"):
        found |= found.pop(key, {})
    for name in names & found.keys():
        assert found[name] == name.upper() or name == "args"
    for name in found.keys() & set(target.GIVEN):
        assert found[name] == f"<{name}>"


@pytest.mark.parametrize(
    ("signature", "names", "message"),
    [
        ("x, missing", {"x"}, "nothing fills its argument missing"),
        ("x", {"x", "b", "a"}, "it does not take the parameter a, b"),
        ("x, /", {"x"}, "it takes x by position only"),
        ("a", {"b"}, "nothing fills its argument a; it does not take the parameter b"),
        ("*args", {"x"}, "it does not take the parameter x"),
    ],
)
def test_signatures_that_do_not_fit(signature: str, names: set[str], message: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def run({signature}): pass", namespace)  # noqa: S102
    with pytest.raises(TargetError, match=message):
        target.check_arguments(namespace["run"], names, Target(file="t.py", function="run"))


def test_only_requested_arguments_are_made() -> None:
    def never() -> None:
        raise AssertionError

    def run(x: int) -> int:
        return x

    assert target.call(run, {"x": 4}, dict.fromkeys(target.GIVEN, never)) == 4


# --- command lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "params", "filled"),
    [
        ("plain", {}, "plain"),
        ("{x}", {"x": 1}, "1"),
        ("--x={x},{y}", {"x": 1.5, "y": "a b"}, "--x=1.5,a b"),
        ("{x}", {"x": "--rf; $(reboot) `x` \"q\" 'q' \\ \n é \u202e"}, None),
        ("{x}", {"x": ""}, ""),
        ("{x}", {"x": "{y}"}, "{y}"),  # a value is never filled again
        ("{x}", {"x": True}, "true"),
        ("{x}", {"x": None}, "null"),
        ("{x}", {"x": 1e-05}, "1e-05"),
        ("{x}", {"x": [1, "a"]}, '[1, "a"]'),
        ("{x}", {"x": {"k": "é"}}, '{"k": "é"}'),
        ("{x}", {"x": 2**70}, str(2**70)),
        ("{{x}}", {}, "{x}"),
        ("{{{x}}}", {"x": 3}, "{3}"),
        ("}}{{", {}, "}{"),
        ("a{run_dir}b{seed}c{case_id}d{index}", {}, "a/r u nb12c0123456789abcdefd7"),
        ("{params_json}", {}, '{"x": 1}'),
        ("{odd name.é}", {"odd name.é": 1}, "1"),
        ("{x.__class__}", {"x.__class__": 1}, "1"),  # no attribute is ever followed
    ],
)
def test_placeholders(element: str, params: dict[str, Any], filled: str | None) -> None:
    expected = params["x"] if filled is None else filled
    assert argv([element], **params) == (expected,)


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(text, text)
def test_a_value_is_one_argument_whatever_is_in_it(before: str, value: str) -> None:
    element = before.replace("{", "{{").replace("}", "}}")
    assert argv(["prog", f"{element}{{x}}{element}"], x=value) == (
        "prog",
        f"{before}{value}{before}",
    )


# --- the digest of the code ----------------------------------------------------------------------


def digest(root: Path, *elements: str) -> str:
    return target.code_digest(manifest(root, Target(argv=elements)))


def test_the_digest_of_a_command_is_that_of_the_files_it_names(tmp_path: Path) -> None:
    (tmp_path / "prog").write_text("1")
    (tmp_path / "data").write_text("1")
    first = digest(tmp_path, "./prog", "{x}", "data")
    assert first == digest(tmp_path, "./prog", "{y}", "data")
    (tmp_path / "data").write_text("2")
    second = digest(tmp_path, "./prog", "{x}", "data")
    (tmp_path / "data").unlink()
    assert len({first, second, digest(tmp_path, "./prog", "{x}", "data")}) == 3


@pytest.mark.parametrize(
    "element", ["print(1)\n" * 400, "a\0b", "/nonexistent", "", ".", "/dev/null", "x" * 300]
)
def test_an_argument_that_is_no_file(tmp_path: Path, element: str) -> None:
    (tmp_path / "prog").write_text("1")
    assert digest(tmp_path, "./prog", element) == digest(tmp_path, "./prog")


def test_a_program_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prog").write_text("1")
    readable = digest(tmp_path, "./prog")

    def denied(*_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", denied)  # root may read everything
    assert digest(tmp_path, "./prog") != readable


def test_the_digest_of_a_function_is_that_of_the_users_modules(tmp_path: Path) -> None:
    """In fresh interpreters, as tasks take it: of what importing the target loaded."""
    script = (
        "import sys; from pathlib import Path; from hpcsweep import target\n"
        "from hpcsweep.manifest.frozen import FrozenManifest, Target\n"
        "m = FrozenManifest(name='s', root=sys.argv[1], source={},"
        " target=Target(file='target.py', function='run'))\n"
        "target.load(m); print(target.code_digest(m))"
    )

    def fresh() -> str:
        argv = [sys.executable, "-c", script, str(tmp_path)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    (tmp_path / "target.py").write_text("import used\ndef run(): pass\n")
    (tmp_path / "used.py").write_text("A = 1\n")
    (tmp_path / "unused.py").write_text("A = 1\n")
    venv = tmp_path / "venv" / "lib" / "site-packages"
    venv.mkdir(parents=True)
    (venv / "installed.py").write_text("A = 1\n")
    first = fresh()
    (tmp_path / "unused.py").write_text("A = 2\n")
    assert fresh() == first
    (tmp_path / "used.py").write_text("A = 2\n")
    second = fresh()
    (tmp_path / "target.py").write_text(
        f"import sys; sys.path.append({str(venv)!r})\nimport used, installed\ndef run(): pass\n"
    )
    third = fresh()
    (venv / "installed.py").write_text("A = 2\n")
    assert fresh() == third
    assert len({first, second, third}) == 3
