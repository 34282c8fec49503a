"""Passwords, profiles, `--set`, and files that hold no manifest."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import settings
from hpcsweep.errors import ManifestError
from hpcsweep.manifest.frozen import SetupLine, TaskInterpreter
from hpcsweep.manifest.user import load_manifest
from tests.support.manifests import FULL, GOOD, Load, Write, load, mistakes, write

__all__ = ["load", "mistakes", "write"]  # fixtures are found by their names

# Programs that take a secret as an argument, or from the line before a pipe.
SHELL_SECRETS = [
    "mysql -u root -phunter2! db",
    "mysqldump -uroot '-phunter2!' db >x",
    "/usr/bin/mysqladmin -phunter2! ping",
    "sshpass -p hunter2! ssh host",
    "sshpass -phunter2! scp a b",
    "curl -u me:hunter2! https://host/x",
    "curl -sSu 'me:hunter2!' https://host/x",
    "curl --user=me:hunter2! -o x https://host/x",
    "curl --proxy-user me:hunter2! https://host/x",
    "curl --oauth2-bearer hunter2! https://host/x",
    "curl -H 'PRIVATE-TOKEN: hunter2!' https://host/x",
    "curl -H 'X-Auth-Token: hunter2!' https://host/x",
    "wget --http-password=hunter2! https://host/x",
    "wget --user me --password hunter2! https://host/x",
    "http -a me:hunter2! host/x",
    "docker login -u me -p hunter2! registry",
    "module load podman && podman login -phunter2! registry",
    "apptainer remote login -u me -p hunter2! docker://host",
    "skopeo copy --src-creds me:hunter2! docker://a docker://b",
    "redis-cli -h host -a hunter2! ping",
    "mongodump -u me -p hunter2!",
    "ldapsearch -x -w hunter2!",
    "unzip -P hunter2! data.zip",
    "7z x -phunter2! data.7z",
    "openssl enc -d -pass pass:hunter2! -in x",
    "smbclient -U me%hunter2! //host/x",
    "lftp -u me,hunter2! host",
    "echo hunter2! | sudo -S mount x",
    "printf '%s' hunter2! | docker login -u me --password-stdin",
    "kinit me <<< hunter2!",
    "cd x; echo hunter2! | kinit me",
    "export DB_PASS=hunter2! DB_USER=me",
    "export GITLAB_PAT='hunter2!'",
    "run --pw hunter2!",
    "rclone config create x sftp --sftp-pass hunter2!",
    "aws configure set aws_secret_access_key hunter2!",
    "gh auth login --with-token <<< ghp_hunter2hunter2hunter2x",
    "wandb login sk-hunter2hunter2hunter2x",
    "sudo env X=1 mysql -phunter2!",
    "(cd x && mysql -phunter2! db)",
]
HARMLESS = [
    "mkdir -p results/a",
    "ssh -p 2222 host true",
    "sshpass -e ssh -p 2222 host",
    "sshpass -f ~/.pw ssh -p 22 host",
    "cp -u a b && tar -p -xf x.tar",
    "docker run -p 8080:80 -u 1000:1000 image",
    "podman run -u me:me image",
    "mysql -u root -p db",
    "mysql -p$DBPW db",
    'mysql -p"$(cat ~/.pw)" db',
    "mysql -P 3306 -h host db",
    "redis-cli -p 6379 ping",
    "curl -u me https://host/x",
    "curl -u : --negotiate https://host/x",
    "curl -u $ME:$PW https://host/x",
    'curl -u "me:$(cat f)" https://host/x',
    "curl -o a:b https://host/x",
    'docker login -u me -p "$PW" registry',
    "docker login -u me --password-stdin < ~/.pw",
    "echo $PW | sudo -S true",
    "echo yes | make config",
    "cat ~/.pw | kinit me",
    "ssh-keygen -N '' -f key",
    "unrar x -p- a.rar",
    "ldapsearch -W -x",
    "7z a -t7z x.7z y",
    "export PATH=$HOME/compass/bin:$PATH BYPASS=all",
    "export OLDPWD=/tmp PWD_MODE=abc",
    "srun -p short -u mysql_tool",
    "module load mysql; srun -phunter true",
    "conda activate sk-learn-environment-2024-with-all",
    "export npm_config_cache=cache hf_home_of_the_project=hf",
    "export GOOGLE_APPLICATION_CREDENTIALS=key.json PAT=x*",
    "apptainer exec --pwd work image.sif run --pass first",
    "run --private-key key.pem --token-file t",
    "echo 'unbalanced",
]


@pytest.mark.parametrize(
    "written",
    [
        "store: postgresql://me:hunter2!@db/x",
        "store: postgresql+psycopg://me@db/x?sslmode=on&password=hunter2!",
        "setup: ['export PG=postgresql://me:hunter2!@db/x']",
        "slurm: {comment: 'postgresql://me:hunter2!@db/x'}",
        "slurm: {partition: ['postgresql://me:hunter2!@db/x']}",
        "seed: postgresql://me:hunter2!@db/x",
        "runs: postgresql://me:hunter2!@db/x",
        "share: postgresql://:hunter2!@db/x",
        "case_timeout: postgresql://me:a/hunter2!@db/x",
        "chunk: 'postgresql://me:a@b:hunter2!@db/x'",
    ],
)
def test_a_password_is_refused_and_never_printed(write: Write, written: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(write(f"{GOOD}{written}\n"))
    assert "password" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "a/h" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "name: postgresql://me:hunter2!@db/x\ntarget: osc.py:f\nsource: {grid: {a: [1]}}\n",
        "name: x\ntarget: 'postgresql://me:hunter2!@db/x:f'\nsource: {grid: {a: [1]}}\n",
        "name: x\ncommand: [sim, '-d=postgresql://me:hunter2!@db/{a}']\nsource: {grid: {a: [1]}}\n",
        "name: x\ncommand: [sim, 'postgresql://me:hunter2!@db/{b.c}{']\nsource: {grid: {a: [1]}}\n",
        "name: x\ntarget: osc.py:f\nsource: {grid: {a: ['postgresql://me:hunter2!@db/x']}}\n",
        "name: x\ntarget: osc.py:f\nsource: {grid: {a: 'postgresql://me:hunter2!@db/x'}}\n",
        "name: x\ntarget: osc.py:f\nsource: {manual: ['postgresql://me:hunter2!@db/x']}\n",
        "name: x\ntarget: osc.py:f\nsource: 'postgresql://me:hunter2!@db/x'\n",
    ],
)
def test_a_password_anywhere_is_refused_and_never_printed(write: Write, text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(write(text))
    assert "holds a URL with a password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "export PG=postgresql://me:$PGPASSWORD@db/x",
        "export PG=postgresql://me:${PGPASSWORD}@db/x",
        "export PG=postgresql:///?service=sweep",
        "export PG=postgresql://me@db/x",
        "pip install http://host:8080/simple/x@1.2",
        "curl https://host/a:b",
        "git clone git@host:me/x",
    ],
)
def test_a_text_that_resembles_a_password_is_accepted(load: Load, line: str) -> None:
    assert load(f"{GOOD}setup: ['{line}']\n").setup[0].text == line


@pytest.mark.parametrize(
    "line",
    [
        "export PGPASSWORD=hunter2!",
        "PGPASSWORD='hunter2!' ./prepare",
        'module load x; export HF_TOKEN="hunter2!"',
        "export AWS_SECRET_ACCESS_KEY=hunter2!",
        "export WANDB_API_KEY=hunter2!",
        "MYSQL_PWD=hunter2! mysqldump db",
        "login --password hunter2!",
        "login --api-key=hunter2!",
        "curl -H 'Authorization: Bearer hunter2!' https://host/x",
        "curl https://host/x?token=hunter2!",
        "curl 'https://host/x?a=b&access_token=hunter2!'",
        "pip install git+https://ghp_hunter2@github.com/me/x",
        "git clone https://a1b2c3d4e5f6hunter2a1b2c3d4@host/x",
        "git clone https://oauth2:hunter2!@host/x",
        *SHELL_SECRETS,
    ],
)
@pytest.mark.parametrize("place", ["manifest", "profile", "command"])
def test_a_secret_in_a_line_of_shell_is_refused_and_never_printed(
    write: Write, tmp_path: Path, line: str, place: str
) -> None:
    text = json.dumps(line)
    profile: Any = {}
    if place == "profile":
        config = tmp_path / "conf" / "hpcsweep" / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text(f"profiles:\n  big:\n    setup:\n      - module load x\n      - {text}\n")
        _, profile = settings.load("big", {}, {"XDG_CONFIG_HOME": str(config.parents[1])})
        path, where = write(GOOD), "config.yaml:5: setup[1]"
    elif place == "command":
        path = write(
            "name: x\nsource: {grid: {a: [1]}}\ncommand:\n- sh\n- -c\n- '{a}'\n- " + text + "\n"
        )
        where = "m.yaml:7: command[3]"
    else:
        path = write(f"{GOOD}setup:\n- module load x\n- {text}\n")
        where = f"m.yaml:{GOOD.count(chr(10)) + 3}: setup[1]"
    with pytest.raises(ManifestError) as caught:
        load_manifest(path, profile=profile)
    (mistake,) = caught.value.mistakes
    assert where in mistake
    assert "would be written into files that stay" in mistake
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "export PGPASSWORD=$(cat ~/.secret)",
        "export PGPASSWORD=$SECRET",
        'export PGPASSWORD="$SECRET"',
        "export PGPASSWORD=`cat x`",
        "export PGPASSWORD=",
        "export PGPASSFILE=~/.pgpass",
        "export TOKEN_FILE=secret.txt",
        "export TOKENIZERS_PARALLELISM=false",
        "export MAX_TOKENS=4096 && run --max-token 512",
        "export API_KEY=/run/secrets/key",
        "run --token=$TOKEN",
        "run --password-file x",
        "git clone https://me@host/some/long/path/0123456789abcdef0123",
        "git clone ssh://git@github.com/me/x",
        'curl -H "Authorization: Bearer $TOKEN" https://host/?token=$TOKEN',
        *HARMLESS,
    ],
)
def test_a_text_that_resembles_a_secret_is_accepted(load: Load, line: str) -> None:
    assert load(f"{GOOD}setup: [{json.dumps(line)}]\n").setup[0].text == line


@pytest.mark.parametrize(
    ("argv", "place"),
    [
        (["sim", "--password", "hunter2!", "{a}"], "command[2]"),
        (["sim", "{a}", "--api-key=hunter2!"], "command[2]"),
        (["sim", "--password", "{a}"], None),
        (["sh", "-c", "sim --password $SECRET", "{a}"], None),
        (["sim", "--tokens", "hunter2!", "{a}"], None),
        (["curl", "-u", "me:hunter2!", "{a}"], "command[2]"),
        (["mysql", "-uroot", "-phunter2!", "{a}"], "command[2]"),
        (["sh", "-c", "mysql -phunter2! db", "{a}"], "command[2]"),
        (["docker", "login", "-p", "hunter2!", "{a}"], "command[3]"),
        (["curl", "-u", "me:{a}"], None),
        (["ssh", "-p", "22", "{a}"], None),
        (["mkdir", "-p", "x/{a}"], None),
    ],
)
def test_a_secret_among_the_arguments_of_a_command(
    write: Write, argv: list[str], place: str | None
) -> None:
    path = write(f"name: x\nsource: {{grid: {{a: [1]}}}}\ncommand: {json.dumps(argv)}\n")
    if place is None:
        load_manifest(path)
        return
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    (mistake,) = caught.value.mistakes
    assert f"{place}: holds what looks like a secret" in mistake
    assert "hunter2" not in mistake


def test_profile_over_file_and_command_line_over_both(write: Write, tmp_path: Path) -> None:
    config = tmp_path / "conf" / "hpcsweep" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(
        "profiles:\n  big:\n    slurm:\n      partition: long\n      time: 20\n      qos: low\n"
        "    setup:\n      - module load first\n    modules: [gcc/12]\n    python: python3.12\n"
    )
    environ = {"XDG_CONFIG_HOME": str(config.parents[1])}
    _, profile = settings.load("big", {}, environ)
    path = write(
        f"{GOOD}slurm: {{partition: short, mem: 1G, time: 10}}\nsetup: [module load second]\n"
        "modules: [mpi]\npython: python3.11\n"
    )
    overrides = {"slurm.time": 30, "seed": 7, "source.grid.dt": [0.5], "settings.grace_s": 1}
    manifest, source = load_manifest(path, overrides=overrides, profile=profile)
    assert manifest.resources.options == {
        "partition": "long",
        "mem": "1G",
        "time": "30",
        "qos": "low",
    }
    assert manifest.setup == (
        SetupLine(text="gcc/12", where="config.yaml:9", kind="module"),
        SetupLine(text="mpi", where="m.yaml:6", kind="module"),
        SetupLine(text="module load first", where="config.yaml:8"),
        SetupLine(text="module load second", where="m.yaml:5"),
    )
    assert manifest.interpreter == TaskInterpreter(python="python3.12", where="config.yaml:10")
    assert manifest.seed == 7
    assert source[0].params == {"dt": 0.5, "omega": 1.0}


@pytest.mark.parametrize(
    ("written", "profile", "sets", "expected"),
    [
        ({"mem": "1G"}, {"mem-per-cpu": "2G"}, {}, {"mem-per-cpu": "2G"}),
        ({"mem": "1G"}, {"mem-per-cpu": "2G"}, {"slurm.mem": "3G"}, {"mem": "3G"}),
        ({"mem": "1G", "mem-per-gpu": "1G"}, {}, {"slurm.mem": "3G"}, {"mem": "3G"}),
        ({"gpus": 2}, {"gres": "gpu:a100:1"}, {}, {"gres": "gpu:a100:1"}),
        ({"gpus": 2}, {"gres": "tmpfs:9G"}, {}, {"gpus": "2", "gres": "tmpfs:9G"}),
        # A disk stays where the GPUs beside it are replaced.
        ({"gres": "gpu:1,tmpfs:9G"}, {"gpus": 2}, {}, {"gres": "tmpfs:9G", "gpus": "2"}),
        ({"tres-per-task": "gres/gpu=1"}, {}, {"slurm.gpus": 2}, {"gpus": "2"}),
        ({"ntasks-per-node": 4}, {"ntasks": 2}, {}, {"ntasks": "2"}),
        ({"exclusive": True}, {"oversubscribe": True}, {}, {"oversubscribe": ""}),
        ({"exclusive": True}, {"oversubscribe": False}, {}, {"exclusive": ""}),
        ({"exclusive": True, "qos": "a"}, {}, {"slurm.exclusive": False}, {"qos": "a"}),
        ({"mem": "1G"}, {}, {"slurm": {"mem-per-cpu": "1G"}}, {"mem-per-cpu": "1G"}),
    ],
)
def test_a_later_layer_replaces_what_its_options_exclude(
    write: Write,
    written: dict[str, Any],
    profile: dict[str, Any],
    sets: dict[str, Any],
    expected: dict[str, str],
) -> None:
    path = write(f"{GOOD}slurm: {json.dumps(written)}\n")
    manifest, _ = load_manifest(path, overrides=sets, profile={"slurm": profile})
    assert manifest.resources.options == expected


def test_exclusive_options_of_one_layer_are_reported_with_the_layer(
    mistakes: Callable[..., list[str]],
) -> None:
    def where(path: tuple[str | int, ...]) -> str:
        return f"config.yaml:{['mem', 'mem-per-cpu'].index(str(path[-1])) + 3}"

    profile = settings.Profile({"slurm": {"mem": "1G", "mem-per-cpu": "2G"}}, where)
    (found,) = mistakes(f"{GOOD}slurm: {{mem-per-gpu: 1G}}\n", profile=profile)
    assert found.startswith("config.yaml:4: slurm.mem-per-cpu: excludes mem (config.yaml:3).")
    (found,) = mistakes(GOOD, overrides={"slurm.gpus": 1, "slurm.gpus-per-node": 1})
    assert found.startswith("--set slurm.gpus-per-node: slurm.gpus-per-node: excludes gpus (--set")


def test_a_plain_mapping_is_a_profile_too(write: Write) -> None:
    manifest, _ = load_manifest(write(GOOD), profile={"slurm": {"qos": "low"}, "setup": ["true"]})
    assert manifest.resources.options == {"qos": "low"}
    assert manifest.setup == (SetupLine(text="true", where="profile"),)


def test_a_profile_says_whether_compute_nodes_may_submit(write: Write) -> None:
    path = write(f"{GOOD}closing: {{partition: service}}\n")
    manifest, _ = load_manifest(path, profile={"closing": False})
    assert manifest.policies == {"closing": False}
    manifest, _ = load_manifest(path, profile={"closing": False}, overrides={"closing": {}})
    assert manifest.policies == {}


def test_setup_lines_of_the_command_line_replace_all(write: Write) -> None:
    manifest, _ = load_manifest(
        write(f"{GOOD}setup: [a, b]\n"), profile={"setup": ["c"]}, overrides={"setup": ["d"]}
    )
    assert manifest.setup == (SetupLine(text="d", where="--set setup"),)


def test_mistakes_name_the_layer_that_they_are_from(
    mistakes: Callable[..., list[str]],
) -> None:
    def where(path: tuple[str | int, ...]) -> str:
        return f"config.yaml:{len(path)}"

    profile = settings.Profile({"slurm": {"tiem": 1}, "setup": [3], "store": "x"}, where)
    found = mistakes(
        f"{GOOD}setup: ['']\nslurm: {{mem: x}}\n",
        profile=profile,
        overrides={"sede": 1, "seed": "x", "slurm.qos": "a\nb", "name.x": 1, "slurm.mem": "y"},
    )
    assert sorted(": ".join(mistake.split(": ")[:2]) for mistake in found) == [
        "--set name.x: name.x",
        "--set sede: sede",
        "--set seed: seed",
        "--set slurm.mem: slurm.mem",
        "--set slurm.qos: slurm.qos",
        "config.yaml:1: store",
        "config.yaml:2: setup[0]",
        "config.yaml:2: slurm.tiem",
        "m.yaml:4: setup[1]",
    ]


def test_overrides_can_make_what_the_file_has_not(write: Write) -> None:
    path = write("name: x\ntarget: osc.py:f\n")
    manifest, source = load_manifest(path, overrides={"source.grid.a": [1, 2], "slurm.mem": 1})
    assert len(source) == 2
    assert manifest.resources.options == {"mem": "1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# x\n", "is empty"),
        ("- a\n", "is not a mapping"),
        ("x\n", "is not a map"),
    ],
)
def test_files_that_hold_no_manifest(write: Write, text: str, words: str) -> None:
    path = write(text)
    with pytest.raises(ManifestError, match=words) as caught:
        load_manifest(path)
    assert caught.value.where == str(path)
    assert "hpcsweep init" in caught.value.next_step


def test_missing_keys_are_named(mistakes: Callable[..., list[str]]) -> None:
    found = mistakes("seed: 1\n")
    assert [mistake.split(". ")[0] for mistake in found] == [
        "m.yaml:1: the key 'name' is missing",
        "m.yaml:1: the key 'source' is missing",
        "m.yaml:1: the key 'target' (or 'command') is missing",
    ]


def test_text_that_is_not_utf_8_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is not UTF-8"):
        load_manifest(write(GOOD), overrides={"setup": ["\udcff"]})
    directory = tmp_path / "\udcff"
    directory.mkdir()
    path = write(GOOD.replace("osc.py", "pack")).rename(directory / "m.yaml")
    with pytest.raises(ManifestError, match="is not UTF-8"):
        load_manifest(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no such file"):
        load_manifest(tmp_path / "no.yaml")
    with pytest.raises(ManifestError, match="is a directory"):
        load_manifest(tmp_path)


def test_the_fingerprint_is_of_what_will_run(load: Load) -> None:
    base = load(GOOD).fingerprint
    assert load(f"# a comment\n{GOOD}chunk: auto\n").fingerprint == base
    changed = [
        load(GOOD.replace("1e-3", "2e-3")),
        load(GOOD.replace("1.0, 2.0", "1, 2")),  # the same ids, but the function gets ints
        load(GOOD.replace("simulate", "simulated")),
        load(f"{GOOD}seed: 1\n"),
        load(f"{GOOD}replicates: 2\n"),
        load(f"{GOOD}slurm: {{mem: 1G}}\n"),
        load(f"{GOOD}setup: ['true']\n"),
        load("name: x\ntarget: osc.py:f\nsource: {manual: [{a: 1}]}\n"),
        load("name: x\ntarget: osc.py:f\nsource: {manual: [{a: 2}]}\n"),
    ]
    assert len({manifest.fingerprint for manifest in changed} | {base}) == len(changed) + 1


def test_no_text_of_a_manifest_makes_a_traceback(write: Write) -> None:
    """Manifests with a piece replaced by something else are fine or end in a ManifestError."""
    chance = random.Random(1)
    pieces = FULL.split()
    odd = ["", "{}", "[]", "~", "-1", "1e999", ".nan", "{a: b}", "[[1]]", "'x'", "true", "\0", "&a"]
    refused = 0
    for _ in range(300):
        path = write(FULL.replace(chance.choice(pieces), chance.choice(odd), 1))
        try:
            load_manifest(path)
        except ManifestError:
            refused += 1
    assert 100 < refused < 300


WRONG = {
    "name": "a b",
    "seed": "x",
    "chunk": 0,
    "target": "none.py:f",
    "source": {"grid": {"seed": [1], "y": "z"}},
    "slurm": {"mem": -1, "tim": 2},
    "runs": "some",
    "nam": 1,
}


@pytest.mark.parametrize("seed", range(4))
def test_mistakes_stand_in_the_order_of_the_file(seed: int, tmp_path: Path) -> None:
    keys = random.Random(seed).sample(list(WRONG), len(WRONG))
    one_line = json.dumps({key: WRONG[key] for key in keys})
    for name, text in (("m.json", one_line), ("m.yaml", one_line.replace(', "', ',\n "'))):
        (tmp_path / name).write_text(text)
        with pytest.raises(ManifestError) as raised:
            load_manifest(tmp_path / name)
        named = [mistake.split(": ")[1].split(".")[0] for mistake in raised.value.mistakes]
        assert list(dict.fromkeys(named)) == keys
