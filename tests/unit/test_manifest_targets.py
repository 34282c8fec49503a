"""Targets, commands, Slurm options: what is refused, and how it is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpcsweep import settings
from hpcsweep.errors import InputError
from hpcsweep.manifest.user import load_manifest
from tests.support.manifests import GOOD, Load, Write, load, mistakes, write

__all__ = ["load", "mistakes", "write"]  # fixtures are found by their names


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("partiton: x", "slurm.partiton: unknown sbatch option. Did you mean 'partition'?"),
        ("tiem: 1", "slurm.tiem: unknown sbatch option. Did you mean 'time'?"),
        ("energy-tag: x", "slurm.energy-tag: unknown sbatch option. If a plugin"),
        ("p: x", "slurm.p: is sbatch's short form of 'partition'. Write partition."),
        ('"-c": 4', "slurm.-c: is sbatch's short form of 'cpus-per-task'. Write cpus-per-task."),
        ("a: 0-3", "slurm.a: is sbatch's short form of 'array'. That cannot be set"),
        ("cpus_per_task: 4", "slurm.cpus_per_task: is not the name of an sbatch option. Did you"),
        ("cpu-per-task: 4", "slurm.cpu-per-task: unknown sbatch option. Did you mean 'cpus-per-"),
        ('"--time": 4', "slurm.--time: is not the name of an sbatch option. Did you mean 'time'?"),
        ("Mem: 1G", "slurm.Mem: is not the name of an sbatch option. Did you mean 'mem'?"),
        ("part: x", "slurm.part: is an abbreviated sbatch option. Write its full name."),
        ("x11: true", "slurm.x11: unknown sbatch option."),  # of srun and salloc
        ("'': x", "slurm.: is not the name"),
        ('"a\\n#SBATCH --wrap": x', "slurm.a\n#SBATCH --wrap: is not the name"),
        ("array: 1-3", "slurm.array: cannot be set: hpcsweep sets it itself."),
        ("job-name: x", "slurm.job-name: cannot be set"),
        ("output: x", "slurm.output: cannot be set"),
        ("error: x", "slurm.error: cannot be set"),
        ("parsable: true", "slurm.parsable: cannot be set"),
        ("signal: x", "slurm.signal: cannot be set"),
        ("requeue: true", "slurm.requeue: cannot be set"),
        ("requeue: [expedite]", "slurm.requeue: cannot be set"),
        ("no-requeue: true", "slurm.no-requeue: cannot be set"),
        ("open-mode: append", "slurm.open-mode: cannot be set"),
        ("wrap: x", "slurm.wrap: cannot be set"),
        ("export: ALL", "slurm.export: cannot be set"),
        ("chdir: /", "slurm.chdir: cannot be set"),
        ("dependency: x", "slurm.dependency: cannot be set"),
        ("test-only: true", "slurm.test-only: cannot be set"),
        ("uid: x", "slurm.uid: cannot be set"),
        ("clusters: x", "slurm.clusters: cannot be set"),
        # sbatch takes any unambiguous beginning for the option itself.
        ("outp: x", "slurm.outp: is an abbreviated sbatch option. Write its full name."),
        ("partit: x", "slurm.partit: is an abbreviated sbatch option."),
        ("time: 30m", "slurm.time: is the text '30m', not a time."),
        ("time: 1:2:3:4", "slurm.time: is the text '1:2:3:4', not a time."),
        ("time: 1-0-0", "slurm.time: is the text '1-0-0', not a time."),
        ("time: 1.5", "slurm.time: is the number 1.5, not a time."),
        ("time: true", "slurm.time: is true, not a time."),
        ("time: -5", "slurm.time: is the text '-5', not a time."),
        ("exclusive: yes", "slurm.exclusive: is the text 'yes', which sbatch refuses. Write true."),
        ("hold: Off", "slurm.hold: is the text 'Off', which sbatch refuses. Write false."),
        ("mem: 1.5G", "slurm.mem: is the text '1.5G', not an amount of memory."),
        ("mem: 500B", "slurm.mem: is the text '500B', not an amount of memory."),
        ("cpus-per-task: 0", "slurm.cpus-per-task: is the text '0', not a count of CPUs."),
        ("cpus-per-task: x", "slurm.cpus-per-task: is the text 'x', not a count of CPUs."),
        ("qos:", "slurm.qos: is empty, not a value for sbatch."),
        ("qos: [a]", "slurm.qos: is a list, not a value for sbatch."),
        ("nice: 1.5", "slurm.nice: is the number 1.5, not a value for sbatch."),
        ('comment: "a\\nb"', "slurm.comment: is the text 'a\\nb', not a value for sbatch."),
        ('comment: "a\\rb"', "slurm.comment: is the text 'a\\rb', not a value for sbatch."),
        ('comment: "a\\0b"', "slurm.comment: is the text"),
        (
            "gres: help",
            "slurm.gres: is help: sbatch prints a list and submits nothing.",
        ),
        ('comment: ""', "slurm.comment: is the text '', not a value for sbatch."),
    ],
)
def test_slurm_options_that_are_refused(
    mistakes: Callable[..., list[str]], option: str, expected: str
) -> None:
    (found,) = mistakes(f"{GOOD}slurm:\n  {option}\n")
    assert found.startswith(f"m.yaml:5: {expected}")


VALUES = [
    "exclude: node[01-04]",
    "nodelist: gpu[1,3-5]",
    "constraint: haswell|broadwell",
    "constraint: intel&gpu",
    "constraint: '[rack1|rack2]'",
    "constraint: (skylake|icelake)&ib",
    "constraint: '[rack1*2&rack2*4]'",
    "licenses: 'matlab@lmd:1,comsol@lmd:2'",
    "prefer: a100|h100",
    "comment: benchmark of 2026",
    "comment: 'it''s \"50%\" of #3'",
    "distribution: block:cyclic,Pack",
    "gres: gpu:a100:1,tmpfs:100G",
    "comment: $(id) `id` \\",
    "comment: Größe",
    "nice: -5",
    "switches: 2@00:10:00",
    "begin: now+1hour",
    "hint: nomultithread",
    "mail-type: 'BEGIN,END'",
    "gpu-freq: 'medium,memory=high'",
    "cpus-per-task: 4",
    "oom-kill-step: 1",
    "container-image: nvcr.io#nvidia/pytorch:24.01-py3",
    "exclusive: user",
]


@pytest.mark.parametrize("option", VALUES)
def test_slurm_options_that_are_taken_as_they_are(load: Load, option: str) -> None:
    name, _, _ = option.partition(":")
    wanted = yaml.safe_load(option)[name]
    assert load(f"{GOOD}slurm:\n  {option}\n").resources.options == {name: str(wanted)}


def test_a_site_names_the_options_of_its_plugins(write: Write) -> None:
    path = write(f"{GOOD}slurm: {{energy-tag: x}}\n")
    for names in (["energy-tag"], "a-b,energy-tag"):
        found, _ = settings.load(None, {"settings.plugin_options": names}, {})
        manifest, _ = load_manifest(path, plugin_options=found.plugin_options)
        assert manifest.resources.options == {"energy-tag": "x"}
    with pytest.raises(InputError, match="is not a list of options"):
        settings.load(None, {"settings.plugin_options": ["--x"]}, {})


@pytest.mark.parametrize(
    ("options", "place", "words"),
    [
        ("mem: 1G\n  mem-per-cpu: 1G", 6, "slurm.mem-per-cpu: excludes mem (m.yaml:5). Keep one"),
        ("mem-per-gpu: 1G\n  mem: 1G", 6, "slurm.mem: excludes mem-per-gpu (m.yaml:5)."),
        ("gpus: 1\n  gres: 'lscratch:1,gpu:2'", 6, "slurm.gres: excludes gpus (m.yaml:5)."),
        ("gpus-per-node: 1\n  gpus-per-task: 1", 6, "slurm.gpus-per-task: excludes gpus-per-n"),
        ("ntasks: 4\n  ntasks-per-node: 4", 6, "slurm.ntasks-per-node: excludes ntasks (m.yaml:5)"),
        ("exclusive: true\n  oversubscribe: true", 6, "slurm.oversubscribe: excludes exclusive"),
        ("cpus-per-gpu: 2\ncpus_per_case: 2", 6, "cpus_per_case: excludes slurm.cpus-per-gpu"),
    ],
)
def test_options_that_exclude_each_other(
    mistakes: Callable[..., list[str]], options: str, place: int, words: str
) -> None:
    (found,) = mistakes(f"{GOOD}slurm:\n  {options}\n")
    assert found.startswith(f"m.yaml:{place}: {words}")


@pytest.mark.parametrize(
    "options",
    [
        {"gpus": 1, "gres": "tmpfs:100G"},
        {"exclusive": False, "oversubscribe": True},
        {"ntasks": 4, "ntasks-per-core": 1},
        {"gpus": 1, "tres-per-task": "cpu=2"},
    ],
    ids=str,
)
def test_options_that_go_together(load: Load, options: dict[str, Any]) -> None:
    assert load(f"{GOOD}slurm: {json.dumps(options)}\n").resources.options


def test_cpus_per_case_and_cpus_per_task_must_agree(mistakes: Callable[..., list[str]]) -> None:
    (found,) = mistakes(f"{GOOD}cpus_per_case: 4\nslurm:\n  cpus-per-task: 2\n")
    assert found.startswith("m.yaml:4: cpus_per_case: is 4, but slurm.cpus-per-task is 2 (")
    assert found.endswith("m.yaml:6). Keep one of them.")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("target: 3", "target: is the number 3, not a text."),
        ("target: osc.py", "target: 'osc.py' names no function. Write file.py:function"),
        ("target: :f", "target: ':f' names no function."),
        ("target: 'osc.py:'", "target: '' is not the name of a function."),
        ("target: osc.py:<lambda>", "target: '<lambda>' is not the name of a function."),
        ("target: osc.py:class", "target: 'class' is not the name of a function."),
        ("target: osc.py:f()", "target: 'f()' is not the name of a function."),
        (
            "target: pack-mod:f",
            "target: 'pack-mod' is neither a .py file nor the name of a module.",
        ),
        ("target: sub/osc:f", "target: 'sub/osc' is neither a .py file"),
        ("target: /tmp/osc.py:f", "target: '/tmp/osc.py' is not a path relative to the manifest."),
        ("target: ~/osc.py:f", "target: '~/osc.py' is not a path relative to the manifest."),
        ("target: ocs.py:f", "target: there is no file 'ocs.py' in"),
        ("target: no/osc.py:f", "target: there is no file 'no/osc.py' in"),
        (f"target: {'x' * 300}.py:f", "target: 'xxxxx"),
        ("target: osc.py:f\ncommand: [x]", "command: there is a target, too. Keep one of them."),
        ("command: ./sim", "command: is one text; no shell splits it"),
        ("command: []", "command: is an empty list."),
        ("command:", "command: is empty, not a list."),
        ("command: {a: b}", "command: is a mapping, not a list."),
        (
            'command: [sim, 3, "{params_json}"]',
            'command[1]: is the number 3, not a text. Quote it: "3".',
        ),
        (
            "command: [sim, '{dt}', {omega}]",
            'command[2]: is a mapping, not a text. Quote it: "{omega}".',
        ),
        ('command: ["", "{params_json}"]', "command[0]: cannot be an argument of a program."),
        (
            'command: [sim, "{params_json}", "a\\0b"]',
            "command[2]: cannot be an argument of a program.",
        ),
        (
            "command: [sim, '{params_json}', '{omgea}']",
            "command[2]: unknown placeholder {omgea}. Did you mean {omega}?",
        ),
        (
            "command: [sim, '{params_json}', '{x}']",
            "command[2]: unknown placeholder {x}. Known are omega, dt, run_dir, seed,",
        ),
        (
            "command: [sim, '{params_json}', '{omega:.3f}']",
            "command[2]: has an unknown placeholder: '{omega:.3f}'. Placeholders are plain",
        ),
        (
            "command: [sim, '{params_json}', '{}']",
            "command[2]: has an unknown placeholder: '{}'.",
        ),
        (
            "command: [sim, '{params_json}', '{omega.real}']",
            "command[2]: has an unknown placeholder",
        ),
        (
            "command: [sim, '{params_json}', 'a{b']",
            "command[2]: the brace { in 'a{b' has no partner.",
        ),
        (
            "command: [sim, '{params_json}', 'a}b']",
            "command[2]: the brace } in 'a}b' has no partner.",
        ),
        (
            "command: [s, true, '{params_json}']",
            'command[1]: is true, not a text. Quote it: "true".',
        ),
        ("command: [s, '{params_json}', '>', o]", "command[2]: is >, which no shell interprets"),
        ("command: [s, '{params_json}', '|', tee]", "command[2]: is |, which no shell interprets"),
        ("command: [s, '{params_json}', $TMPDIR/x]", "command[2]: is '$TMPDIR/x', which no shell"),
        (
            "command: [s, '${{HOME}}', '{params_json}']",
            "command[1]: is '${{HOME}}', which no shell",
        ),
        (
            "command: [s, '{params_json}', ~/data.csv]",
            "command[2]: is '~/data.csv', which no shell",
        ),
        ("command: [s, '{params_json}', sh, $TMPDIR/x]", "command[3]: is '$TMPDIR/x', which no"),
        ("command: [sh-run, '{params_json}', $TMPDIR/x]", "command[2]: is '$TMPDIR/x', which no"),
        ("command: [env, A=1, nice, s, bash, '{params_json}', $X]", "command[6]: is '$X', which"),
        ("command: [apptainer, exec, sh, s, '{params_json}', ~/x]", "command[5]: is '~/x', which"),
        ("command: [s, '{params_json}', ;, ls]", "command[2]: is ;, which no shell interprets"),
        ("command: [s, '{params_json}', '&']", "command[2]: is &, which no shell interprets"),
        ("command: [s, '{params_json}', '>o.txt']", "command[2]: is >o.txt, which no shell"),
        ("command: [s, '{params_json}', 2>/dev/null]", "command[2]: is 2>/dev/null, which no"),
        ("command: [s, '<{run_dir}/i', '{params_json}']", "command[1]: is <{run_dir}/i, which no"),
        ("command: [srun, s, '{params_json}', '>', o]", "command[3]: is >, which no shell"),
        ("command: [python, -c, 'f()', '{params_json}', '>', o]", "command[4]: is >, which no"),
        ("command: [s, '--all={params_json}', '>', o]", "command[2]: is >, which no shell"),
        ("command: [s, '{params_json}', '-5', '>1.txt']", "command[3]: is >1.txt, which no shell"),
        ("command: [s, '{params_json}', '>{index}.txt']", "command[2]: is >{index}.txt, which no"),
        ("command: [s, '{params_json}', '>{run_dir}']", "command[2]: is >{run_dir}, which no"),
        ("command: [srun, ./s, '{params_json}', test, '|', x]", "command[4]: is |, which no"),
        ("command: [srun, -n4, ./s, sort, '{params_json}', '>', o]", "command[5]: is >, which no"),
        ("command: [env, A=1, ./s, '{params_json}', sort, '>', o]", "command[5]: is >, which no"),
        ("command: [timeout, '10', s, find, '{params_json}', <, i]", "command[5]: is <, which no"),
        ("command: [apptainer, exec, a.sif, s, sort, '{params_json}', '&&']", "command[6]: is &&"),
        (
            "command: [sim, '{params_json}', '{{}']",
            "command[2]: the brace } in '{{}' has no partner.",
        ),
    ],
)
def test_targets_that_are_refused(
    mistakes: Callable[..., list[str]], written: str, expected: str
) -> None:
    (found,) = mistakes(GOOD.replace("target: osc.py:simulate", written))
    line = 3 if "\n" in written else 2
    assert found.startswith(f"m.yaml:{line}: {expected}")


@pytest.mark.parametrize(
    "command",
    [
        "[cut, -d, '|', '{params_json}']",
        "[column, -s, '|', '{params_json}']",
        "[s, --by, ;, '{params_json}']",
        "[s, '{params_json}', '>5', '>=x', '<p>', 'a > b', '<.5']",
        "[s, '{params_json}', --thr, '>mean', --by, '<s', --op, '<', --x, '>{index}_a', -f, '&&']",
        "[s, '{params_json}', '>5GeV', '>0.5mm', '>10%', '>1e-3', '<100MB', '>5m/s', '<2.']",
        "[s, '{params_json}', '>{index}', '<{index}', '>{index}K']",
        "[samtools, view, -e, '>', '{params_json}']",
        "[Rscript, -e, f, y, '~', x, '{params_json}']",
        "[sh, -c, 'exec \"$@\"', _, s, '{params_json}', '>out', $TMPDIR]",
        "[srun, --exclusive, grep, -c, '>chr1', '{params_json}']",
        "[srun, -n, '1', env, A=1, timeout, 10s, grep, '{params_json}', '>']",
        "[apptainer, exec, --bind, /a, --nv, a.sif, sh, -c, 'f', _, '{params_json}', '|']",
        "[uv, run, --no-sync, grep, '{params_json}', '>']",
        "[grep, -c, '>', '{params_json}']",
        "[srun, -n, '1', /usr/bin/grep, -c, '>chr1', '{params_json}']",
        "[apptainer, exec, a.sif, bash, -c, 'f \"$@\"', _, '{params_json}', '&&']",
        "[awk, -F, '||', '$1 > 5 {{print $1}}', '{params_json}']",
        "[sed, -n, '/>/p', '{params_json}']",
        "[find, '{params_json}', -name, x, -exec, cat, '{{}}', ;]",
        "[xargs, -a, '{params_json}', sh, -c, 'wc \"$@\" > o', _]",
        "[parallel, s, '{params_json}', '>', 'o.{{#}}', ':::', a]",
        "[perl, -e, 'print $x > 5 ? 1 : 0; while (<>) {{}}', '{params_json}']",
        "[python, -c, 'import sys; print(1 > 2)', '{params_json}']",
        "[Rscript, -e, 'x <- 1; y <- c(1) |> sum()', '{params_json}']",
        "[julia, -e, 'x = 1 |> sqrt; x >= 0 && f()', '{params_json}']",
        "[tr, '|', '{params_json}']",
        "[/usr/bin/expr, '{params_json}', '>', '2']",
        "[sh, -c, 'echo $1 >o', x, '{params_json}', '&&']",
        "[srun, -n, '2', bash, -c, $PROGRAM, '{params_json}']",
        "[gawk, $NF, '{params_json}']",
        "[env, -i, A=1, nice, -n, '5', /bin/sh, -c, $PROGRAM, '{params_json}']",
        "[/usr/bin/time, -v, srun, --ntasks, '4', sh, -c, $PROGRAM, '{params_json}']",
        "[apptainer, exec, --nv, --bind, /a, a.sif, sh, -c, $PROGRAM, '{params_json}', ~/x]",
        "[strace, -f, setsid, bash, -c, $PROGRAM, '{params_json}']",
        "[xvfb-run, -a, likwid-pin, -c, 0-3, sh, -c, $PROGRAM, '{params_json}']",
        "[likwid-mpirun, -np, '4', ncu, hpcrun, sh, -c, $PROGRAM, '{params_json}']",
        "[systemd-run, --user, prlimit, --nofile=9, sh, -c, $PROGRAM, '{params_json}']",
        "[spack, build-env, zlib, --, sh, -c, $PROGRAM, '{params_json}']",
        "[guix, shell, -D, gcc, --, sh, -c, $PROGRAM, '{params_json}']",
        "[s, $1, a$B, x=~/y, '{params_json}']",
    ],
)
def test_operators_of_a_shell_that_a_program_takes(load: Load, command: str) -> None:
    load(GOOD.replace("target: osc.py:simulate", f"command: {command}"))


def test_a_missing_file_is_suggested(mistakes: Callable[..., list[str]]) -> None:
    (found,) = mistakes(GOOD.replace("osc.py", "ocs.py"))
    assert found.endswith("Did you mean 'osc.py'?")
    (found,) = mistakes(GOOD.replace("osc.py", "no/osc.py"))
    assert found.endswith("Its directory is missing, too.")


def test_parameters_that_a_command_does_not_use(mistakes: Callable[..., list[str]]) -> None:
    found = mistakes(
        "name: x\ncommand: [sim, '{a}']\nsource:\n  manual:\n"
        "    - {a: 1}\n    - {a: 2, b: 1}\n    - {b: 2,\n       c: 3}\n"
    )
    assert [mistake.split(" Put")[0] for mistake in found] == [
        "m.yaml:6: source.manual[1].b: the command does not use this parameter.",
        "m.yaml:8: source.manual[2].c: the command does not use this parameter.",
    ]
    (found_index,) = mistakes("name: x\ncommand: [s, '{index}']\nsource: {grid: {index: [1]}}\n")
    assert "source.grid.index: {index} is a placeholder of every command," in found_index


def test_a_command_is_checked_although_a_value_of_the_source_is_wrong(
    mistakes: Callable[..., list[str]],
) -> None:
    found = mistakes("name: x\ncommand: [sim, '{aa}']\nsource: {grid: {ab: [], c: [1]}}\n")
    assert [mistake.split(": ")[1] for mistake in found] == [
        "command[1]",
        "source.grid.ab",
        "source.grid.ab",
        "source.grid.c",
    ]


def test_cases_of_a_file_have_no_null_character_for_a_command(
    mistakes: Callable[..., list[str]], load: Load, tmp_path: Path
) -> None:
    rows = [{"a": 1, "b": "\\u0000"}, {"a": 2, "b": "y\0z"}, {"a": 3, "b": "\0"}]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = "name: s\nsource: {table: rows.jsonl}\ncommand: ['true', COMMAND]\n"
    (found,) = mistakes(text.replace("COMMAND", "'{a}', '--b={b}'"))
    assert found.startswith(
        r"m.yaml:2: source: 'y\x00z', a value of b, has a null character, which no argument"
    )
    load(text.replace("COMMAND", "'{params_json}'"))


def test_an_argument_has_no_null_character(mistakes: Callable[..., list[str]], load: Load) -> None:
    grid = 'source:\n  grid:\n    a: [1]\n    b:\n    - x\n    - "y\\0z"\n'
    text = f'name: s\n{grid}command: ["true", COMMAND]\n'
    (found,) = mistakes(text.replace("COMMAND", '"{a}", "--b={b}"'))
    assert found.startswith("m.yaml:7: source.grid.b[1]: has a null character, which no argument")
    # JSON has it escaped.
    load(text.replace("COMMAND", '"{params_json}"'))
