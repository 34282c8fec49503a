"""Settings: the layers, their order, and what is refused where."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import settings
from hpcsweep.cluster import registry
from hpcsweep.errors import InputError
from hpcsweep.settings import Settings

WriteConfig = Callable[[str], dict[str, str]]


@pytest.fixture
def config(tmp_path: Path) -> WriteConfig:
    """Write config.yaml; gives the environment in which it is found."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / ".config" / "hpcsweep" / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return {"HOME": str(tmp_path)}

    return write


def problem(
    environ: dict[str, str], *, profile: str | None = None, sets: dict[str, Any] | None = None
) -> InputError:
    with pytest.raises(InputError) as caught:
        settings.load(profile, sets or {}, environ, registry.check_kind)
    return caught.value


def test_defaults_without_any_configuration(tmp_path: Path) -> None:
    assert settings.load(None, {}, {"HOME": str(tmp_path)}) == (Settings(), {})
    assert settings.load(None, {}, {}) == (Settings(), {})


def test_every_setting_has_a_comment_and_a_unit_in_its_name() -> None:
    source = Path(settings.__file__).read_text()
    for field in dataclasses.fields(Settings):
        assert re.search(rf"    # .+\n    {field.name}: ", source), field.name
        assert field.name.endswith("_s") == isinstance(field.default, float)


CONFIG = """\
settings:
  grace_s: 1
  query_interval_s: 2
  unanswered_s: 3
  command_timeout_s: 4
  outputs: from-file
profiles:
  big:
    cluster: emulated
    slurm: {partition: long, time: 30}
    setup: [module load gcc]
    store: sqlite
    settings: {query_interval_s: 20, unanswered_s: 30, command_timeout_s: 40}
  empty: {}
"""


def test_each_layer_wins_over_the_one_before(config: WriteConfig) -> None:
    environ = config(CONFIG) | {
        "HPCSWEEP_UNANSWERED_S": "300",
        "HPCSWEEP_COMMAND_TIMEOUT_S": "4e2",
    }
    found, profile = settings.load("big", {"settings.command_timeout_s": 4000}, environ)
    assert found == Settings(
        grace_s=1.0,
        query_interval_s=20.0,
        unanswered_s=300.0,
        command_timeout_s=4000.0,
        outputs="from-file",
        cluster="emulated",
    )
    assert profile == {
        "cluster": "emulated",
        "slurm": {"partition": "long", "time": 30},
        "setup": ["module load gcc"],
        "store": "sqlite",
    }
    assert profile.where(("slurm", "time")).endswith(".config/hpcsweep/config.yaml:10")
    assert profile.where(("setup", 0)).endswith("config.yaml:11")


def test_without_a_profile_only_the_common_settings_count(config: WriteConfig) -> None:
    found, profile = settings.load(None, {"slurm.time": "x", "seed": 1}, config(CONFIG))
    assert (found.query_interval_s, found.cluster, profile) == (2.0, "auto", {})
    assert settings.load("empty", {}, config(CONFIG)) == (found, {})


def test_the_cluster_of_the_command_line_wins_over_the_profile(config: WriteConfig) -> None:
    found, _ = settings.load("big", {"settings.cluster": "slurm"}, config(CONFIG))
    assert found.cluster == "slurm"


def test_xdg_config_home_is_honoured(config: WriteConfig, tmp_path: Path) -> None:
    config("settings: {grace_s: 7}\n")
    elsewhere = {"HOME": "/nonexistent", "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    assert settings.load(None, {}, elsewhere)[0].grace_s == 7.0
    # A relative one is to be ignored, says its specification.
    relative = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "x"}
    assert settings.load(None, {}, relative)[0].grace_s == 7.0


@pytest.mark.parametrize("text", ["", "# nothing\n", "settings:\n", "profiles:\n"])
def test_empty_files_and_sections_are_fine(config: WriteConfig, text: str) -> None:
    assert settings.load(None, {}, config(text)) == (Settings(), {})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("setings: {}\n", 1, "setings: unknown key\n  Did you mean 'settings'?"),
        ("settings:\n  grace: 1\n", 2, "grace: unknown key\n  Did you mean 'grace_s'?"),
        ("settings:\n  xyzzy: 1\n", 2, "Known are query_interval_s"),
        ("settings:\n  grace_s: soon\n", 2, "grace_s: 'soon' is not a number of seconds"),
        ("settings:\n  grace_s: true\n", 2, "not a number of seconds"),
        ("settings:\n  grace_s:\n", 2, "not a number of seconds"),
        ("settings:\n  grace_s: .inf\n", 2, "not a number of seconds"),
        ("settings:\n  grace_s: -1\n", 2, "It must be 0 or more."),
        ("settings:\n  term_grace_s: 0\n", 2, "It must be above 0."),
        (
            "settings:\n  cluster: lsf\n",
            2,
            "Known are auto, slurm, pbs, emulated and submitit:EXECUTOR",
        ),
        ("settings:\n  cluster: [slurm]\n", 2, "is not a kind of cluster"),
        ("settings:\n  outputs: 3\n", 2, "outputs: is not the path"),
        ("settings:\n  outputs: ''\n", 2, "outputs: is not the path"),
        ("settings: 3\n", 1, "settings: has no keys"),
        ("settings: []\n", 1, "settings: has no keys"),
        ("- a\n", 1, "the file: has no keys"),
        ("profiles: [a]\n", 1, "profiles: has no keys"),
        ("profiles:\n  big:\n    slurmm: {}\n", 3, "Did you mean 'slurm'?"),
        ("profiles:\n  big:\n    slurm: fast\n", 3, "slurm: is not a mapping"),
        ("profiles:\n  big:\n    setup: x\n", 3, "setup: is not a list"),
        ("profiles:\n  big:\n    closing: 3\n", 3, "closing: is not a mapping or false"),
        ("profiles:\n  big:\n    settings: {grace: 1}\n", 3, "Did you mean 'grace_s'?"),
        ("profiles:\n  small: {}\n", 1, "Known profiles: small"),
        ("profiles:\n  big:\n    cluster: slrum\n", 3, "is not a kind of cluster"),
        ("profiles:\n  big: 3\n", 2, "big: has no keys"),
        ("profiles:\n  bigg: {}\n  small: {}\n", 1, "Known profiles: bigg, small."),
        ("settings: {a: 1, a: 2}\n", 1, "is there twice"),
    ],
)
def test_mistakes_in_the_file_have_their_line(
    config: WriteConfig, text: str, line: int, words: str
) -> None:
    found = problem(config(text), profile="big" if "profiles" in text else None)
    assert found.where.endswith(f"config.yaml:{line}")
    assert words in str(found)


def test_an_unknown_profile_without_a_file() -> None:
    found = problem({"HOME": "/nonexistent"}, profile="big")
    assert "there is no profile 'big'" in found.what
    assert "Known profiles: none." in found.next_step


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HPCSWEEP_GRACE_S", "soon", "grace_s: 'soon' is not a number"),
        ("HPCSWEEP_GRACE_S", "1e999", "1e999 is beyond"),
        ("HPCSWEEP_CLUSTER", "lsf", "is not a kind of cluster"),
        ("HPCSWEEP_OUTPUT", "x", "Did you mean 'outputs'?"),
        ("HPCSWEEP_OUTPUTS", "", "is not the path"),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(name: str, value: str, words: str) -> None:
    found = problem({name: value})
    assert found.where == name
    assert words in str(found)


def test_other_variables_with_our_prefix_are_left_alone() -> None:
    environ = {"HPCSWEEP_TOKEN": "x", "HPCSWEEP_OUTPUTS": "1e3", "OUTPUTS": "y"}
    assert settings.load(None, {}, environ)[0] == Settings(outputs="1e3")


def test_mistakes_on_the_command_line_name_the_key() -> None:
    found = problem({}, sets={"settings.grace": 1})
    assert (found.where, found.what) == ("--set settings.grace", "grace: unknown key")
    assert "not a kind of cluster" in problem({}, sets={"settings.cluster": 3}).what


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("slurm.time=01:00:00", "slurm.time", "01:00:00"),
        ("slurm.cpus-per-task=4", "slurm.cpus-per-task", 4),
        ("slurm.account=00123", "slurm.account", "00123"),
        ("slurm.comment=1e3", "slurm.comment", "1e3"),
        ("slurm.constraint=[rack1|rack2]", "slurm.constraint", "[rack1|rack2]"),
        ("slurm.comment='a: b'", "slurm.comment", "a: b"),
        ("settings.grace_s=1e-1", "settings.grace_s", 0.1),
        ("seed=017", "seed", 17),
        ("chunk=auto", "chunk", "auto"),
        ("slurm.exclusive=true", "slurm.exclusive", True),
        ("slurm.qos=on", "slurm.qos", "on"),
        ("store=sqlite", "store", "sqlite"),
        ("slurm.comment=a=b", "slurm.comment", "a=b"),
        ("name=a: b # c", "name", "a: b # c"),
        ("name='3'", "name", "3"),
        ("source.grid.dt=[1e-3, 2]", "source.grid.dt", [0.001, 2]),
        ("source={grid: {a: [1]}}", "source", {"grid": {"a": [1]}}),
        ("chunk=", "chunk", None),
    ],
)
def test_parse_set(text: str, key: str, value: Any) -> None:
    found = settings.parse_set(text)
    assert found == (key, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize("text", ["", "a", "=1", "a..b=1", ".a=1", "a b=1", "a.=1"])
def test_parse_set_refuses_what_is_no_key(text: str) -> None:
    with pytest.raises(InputError, match="KEY=VALUE"):
        settings.parse_set(text)


@pytest.mark.parametrize("text", ["a=1e999", "a=[1", "a={b: !x 1}", "a='x"])
def test_parse_set_refuses_what_is_no_value(text: str) -> None:
    with pytest.raises(InputError) as caught:
        settings.parse_set(text)
    assert caught.value.where.startswith("--set a")
