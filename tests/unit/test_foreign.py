"""Manifests from files of other tools: what is carried over, and what is said of the rest."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner

from hpcsweep import yamltext
from hpcsweep.cli import main
from hpcsweep.cli.commands.import_manifest import TOOLS
from hpcsweep.errors import ExtraMissing, InputError
from hpcsweep.foreign import registry
from hpcsweep.foreign.draft import Draft, ImportRequest
from hpcsweep.foreign.writing import checked, manifest_text, results_comment
from hpcsweep.sources import ParameterSource
from tests.support.console_blocks import blocks, commands, looks_like

FILES = Path(__file__).parents[1] / "data" / "foreign"


def imported(tool: str, source: str | Path, **more: Any) -> tuple[Draft, ParameterSource]:
    """The draft of a file, and the source of the manifest that is written of it."""
    request = ImportRequest(source=str(source), directory=Path(), **more)
    draft = registry.import_file(tool, request)
    text = manifest_text(draft, "From a file.")
    source_read = checked(text, Path("m.yaml"))
    value = yamltext.document(text, "m.yaml").value
    assert value == {"name": draft.name, "command": draft.command, "source": draft.source}
    assert text.count("\n# ") == len(draft.remarks)
    return draft, source_read


def test_the_example_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()
    (block,) = [text for _, text in blocks(page) if text.startswith("$ hpcsweep import")]
    for command, shown in commands(block):
        _, *arguments = shlex.split(command)
        assert looks_like(shown, CliRunner().invoke(main, arguments).output)


def test_the_command_knows_the_tools() -> None:
    assert list(TOOLS) == list(registry.TOOLS)


def test_a_wandb_sweep_by_bayes() -> None:
    draft, source = imported("wandb", FILES / "wandb_bayes.yaml")
    assert draft.name == "cifar-resnet"
    start = ["python3", "train.py", "--config={{base}}.yaml", "--learning_rate={learning_rate}"]
    assert draft.command[:4] == start
    assert "--optimizer.weight_decay={optimizer_weight_decay}" in draft.command
    assert "--seed={seed_}" in draft.command
    assert source.n_cases == 100
    params = source[0].params
    assert params["optimizer_name"] == "adamw"
    assert 0.0001 < params["optimizer_weight_decay"] < 0.1003
    assert type(params["layers"]) is int
    assert "temperature" not in params
    assert [text.partition(":")[0] for text in draft.left_out] == [
        "early_terminate",
        "metric",
        "project",
        "method",
        "momentum",
        "temperature",
    ]
    assert len(draft.changed) == 6


def test_a_wandb_grid() -> None:
    draft, source = imported("wandb", FILES / "wandb_grid.yaml")
    assert draft.remarks == []
    assert source.n_cases == 3 * 2 * 3 * 4
    assert source[-1].params == {
        "C": 10,
        "folds": 4,
        "kernel": "linear",
        "step": 0.3,
        "data": "iris",
    }


@pytest.mark.parametrize(
    ("rule", "drawn"),
    [
        ("{value: 3}", 3),
        ("3", 3),
        ("{value: [1, 2]}", {"type": "Constant", "value": [1, 2]}),
        ("{min: 1, max: 2.5}", {"type": "Uniform", "low": 1, "high": 2.5}),
        ("{min: 1, max: 2, distribution: uniform}", {"type": "Uniform", "low": 1, "high": 2}),
        ("{min: 0, max: 1, q: 0.5, distribution: q_uniform}",
         {"type": "QUniform", "low": 0, "high": 1, "step": 0.5}),
        ("{distribution: normal, mu: 2, sigma: 3}", {"type": "Normal", "mean": 2, "std": 3}),
        ("{distribution: log_normal}", {"type": "LogNormal", "mean": 0, "std": 1}),
        ("{distribution: inv_log_uniform, min: 0, max: 0.0}",  None),
        ("{distribution: inv_log_uniform_values, min: 1, max: 2}",
         {"type": "LogUniform", "low": 1, "high": 2}),
    ],
)  # fmt: off
def test_the_distributions_of_wandb(tmp_path: Path, rule: str, drawn: Any) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"method: random\nrun_cap: 7\nprogram: a.py\nparameters: {{x: {rule}}}\n")
    if drawn is None:  # both bounds are 1
        with pytest.raises(InputError, match="cannot become a manifest"):
            imported("wandb", path)
        return
    draft, source = imported("wandb", path)
    assert draft.source["random"]["space"] == {"x": drawn}
    assert source.n_cases == 7
    assert draft.command == ["python", "a.py", "--x={x}"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("[python, a.py, '${args_no_hyphens}']", ["python", "a.py", "x={x}"]),
        ("[bash, '${program}', '${args_json}']", ["bash", "a.py", "{params_json}"]),
        ("['${program}']", ["a.py", "{params_json}"]),
        ("['${program}', '${envvar:A}', '${args}']", ["a.py", "${{envvar:A}}", "--x={x}"]),
    ],
)
def test_the_command_of_a_wandb_sweep(tmp_path: Path, command: str, expected: list[str]) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        f"method: grid\nprogram: a.py\nparameters: {{x: {{values: [1, 2]}}}}\ncommand: {command}\n"
    )
    assert imported("wandb", path)[0].command == expected


def test_a_hydra_line_in_a_file() -> None:
    draft, source = imported("hydra", FILES / "hydra_line.sh")
    assert draft.command == [
        *("python", "-m", "project.train", "--config-name=base", "~callbacks.early"),
        *("lr={lr}", "model='{model}'", "+trainer.epochs={trainer_epochs}"),
        *("optimizer.nesterov={optimizer_nesterov}", "layers={layers}", "seed={seed_}"),
        "hydra.run.dir='{run_dir}/hydra'",
    ]
    assert source.n_cases == 3 * 2 * 3 * 2 * 2
    assert source[-1].params == {
        "lr": 0.001,
        "model": "vit b16",
        "trainer_epochs": 30,
        "optimizer_nesterov": False,
        "layers": "[128]",
        "seed_": 7,
    }
    assert draft.left_out == [
        "the variable CUDA_VISIBLE_DEVICES; `setup` can export it",
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.partition=gpu",
        "x=interval(0,1): only listed values and ranges are carried over",
    ]


def test_a_hydra_config() -> None:
    draft, source = imported("hydra", FILES / "hydra_config.yaml", command=["python", "{x}.py"])
    assert draft.command[:3] == ["python", "{{x}}.py", "lr={lr}"]
    assert source.n_cases == 2 * 2 * 3 * 4
    assert source[-1].params["ratio"] == 0.75
    assert draft.left_out == [
        "hydra.launcher: n_jobs",
        "hydra.mode: MULTIRUN",
        "hydra.sweeper.max_batch_size: 10",
    ]


@pytest.mark.parametrize(
    ("text", "axes", "fixed"),
    [
        ("lr=0.1,1e-2 m=a", {"lr": [0.1, 0.01]}, {"m": "a"}),
        ("a='x,y',\"z\" b=", {"a": ["x,y", "z"]}, {"b": ""}),
        ("a=choice(1,null,True)", {"a": [1, None, True]}, {}),
        ("a=range(3)", {"a": {"range": [0, 3]}}, {}),
        ("b=range(1,2.5,0.5)", {"b": {"arange": [1, 2.5, 0.5]}}, {}),
        ("a=range(start=1,stop=7,step=3)", {"a": {"range": [1, 7, 3]}}, {}),
        ("a={x:1,y:[2,3]},{} b=1", {"a": ["{x:1,y:[2,3]}", "{}"]}, {"b": 1}),
    ],
)  # fmt: off
def test_the_values_of_hydra(text: str, axes: Any, fixed: Any) -> None:
    source = text.replace("'x,y',\"z\"", "\"'x,y','z'\"")
    draft, _ = imported("hydra", source)
    assert draft.source.get("grid") == axes
    assert draft.source.get("fixed", {}) == fixed


def test_the_distributions_of_optuna() -> None:
    draft, source = imported("optuna", FILES / "optuna.json", command=["python", "t.py"])
    assert source.n_cases == 100
    assert source.names == {
        *("lr", "dropout", "momentum", "layers", "units", "width", "kernel", "epochs")
    }
    assert {source[i].params["units"] % 32 for i in range(100)} == {0}
    assert draft.left_out[0].startswith("odd: ")
    assert draft.command[:3] == ["python", "t.py", "--lr={lr}"]


def test_a_study_in_a_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://me:hidden@host/db"
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ExtraMissing, match="pip install optuna") as missing:
        imported("optuna", url)
    assert "hidden" not in str(missing.value)
    trial = SimpleNamespace(
        distributions={
            "x": '{"name": "IntDistribution", "attributes": '
            '{"low": 1, "high": 4, "step": 1, "log": false}}'
        }
    )
    directions = [SimpleNamespace(name="MAXIMIZE")]
    study = SimpleNamespace(get_trials=lambda: [trial], directions=directions)
    optuna = ModuleType("optuna")
    optuna.get_all_study_names = lambda _: ["one", "two"]  # type: ignore[attr-defined]
    optuna.load_study = lambda **_: study  # type: ignore[attr-defined]
    optuna.distributions = SimpleNamespace(distribution_to_json=str)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "optuna", optuna)
    with pytest.raises(InputError, match="has 2 studies") as several:
        imported("optuna", url)
    assert "--study: one, two" in str(several.value)
    assert "hidden" not in str(several.value)
    draft, _ = imported("optuna", url, study="two")
    assert draft.source["random"]["space"] == {"x": {"type": "RandInt", "low": 1, "high": 4}}
    assert draft.left_out[0] == "the trials of the study, 1, and their results"


SWEEPER = """
hydra:
  sweeper:
    _target_: hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper
    direction: maximize
    n_trials: 25
    params:
      x: interval(-5.5, 5.5)
      lr: tag(log, interval(1e-5, 1e-1))
      k: interval(1, 9)
      even: range(2, 10, 2)
      z: choice(a, b)
      q: range(0.0, 1.0, 0.25)
      s: 3
"""


def search_in(comment: str) -> dict[str, Any]:
    """The keys that a comment at the end of a manifest offers."""
    _, begin, block = comment.partition("(needs hpcsweep[optuna]):\n")
    assert begin
    keys: dict[str, Any] = yamltext.document(block.replace("# ", ""), "m.yaml").value
    return keys


@pytest.mark.parametrize(
    ("tool", "file", "search"),
    [
        ("wandb", "wandb_bayes.yaml", {"objective": "val/loss", "direction": "minimize", "n": 100}),
        ("optuna", "optuna.json", {"objective": "value", "direction": "minimize", "n": 100}),
        ("hydra", "sweeper.yaml", {"objective": "value", "direction": "maximize", "n": 25}),
    ],
)
def test_a_search_is_offered_where_the_tool_searches(
    tmp_path: Path, tool: str, file: str, search: dict[str, Any]
) -> None:
    (tmp_path / "sweeper.yaml").write_text(SWEEPER)
    path = FILES / file if (FILES / file).exists() else tmp_path / file
    draft, _ = imported(tool, path)
    comment = results_comment(draft, Path("m.yaml"))
    assert "the program has to write them into metrics.json" in comment
    keys = search_in(comment)
    assert keys["search"] == search
    assert keys["source"]["space"].keys() == draft.source["random"]["space"].keys()
    checked(json.dumps({"name": "s", "command": draft.command} | keys), Path("m.yaml"))


def test_the_intervals_of_hydras_optuna_sweeper(tmp_path: Path) -> None:
    path = tmp_path / "sweeper.yaml"
    path.write_text(SWEEPER)
    draft, source = imported("hydra", path)
    assert source.n_cases == 25
    assert draft.source["random"]["space"] == {
        "x": {"type": "Uniform", "low": -5.5, "high": 5.5},
        "lr": {"type": "LogUniform", "low": 1e-5, "high": 0.1},
        "k": {"type": "RandInt", "low": 1, "high": 9},
        "even": {"type": "Choice", "options": [2, 4, 6, 8]},
        "z": {"type": "Choice", "options": ["a", "b"]},
        "q": {"type": "QUniform", "low": 0.0, "high": 0.75, "step": 0.25},
        "s": 3,
    }
    line = "python t.py -m hydra/sweeper=optuna hydra.sweeper.n_trials=7 x=interval(0,1)"
    assert imported("hydra", line)[1].n_cases == 7


def test_a_search_that_is_not_possible_says_why(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("method: bayes\nprogram: t.py\nparameters: {x: {distribution: normal}}\n")
    draft, _ = imported("wandb", path)
    last = results_comment(draft, Path("m.yaml")).splitlines()[-1]
    assert last.startswith("# a search cannot stand for method: bayes: ")
    assert "Normal" in last


def test_a_metric_is_no_key_of_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    metric = json.dumps({"name": "loss\nsetup: [touch gone] #\x85python: x\u2028chunk: 1"})
    space = "{x: {min: 0.0, max: 1.0}}"
    path.write_text(f"method: bayes\nprogram: t.py\nmetric: {metric}\nparameters: {space}\n")
    draft, _ = imported("wandb", path)
    comment = results_comment(draft, Path("m.yaml"))
    assert "loss setup" in comment
    value = yamltext.document(manifest_text(draft, "From a file.") + comment, "m.yaml").value
    assert value.keys() == {"name", "command", "source"}


def test_no_secret_is_in_a_remark(tmp_path: Path) -> None:
    line = "API_KEY=hidden python t.py -m x=1,2 hydra.launcher.url=postgresql://me:hidden@host/db"
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "method: grid\nprogram: a.py\nparameters: {x: {values: [1, 2]}}\n"
        "job: {api_key: hidden}\nentity: mysql://me:hidden@host/db\n"
    )
    for tool, source in (("hydra", line), ("wandb", str(path))):
        draft, _ = imported(tool, source)
        assert len(draft.remarks) == 2
        assert "hidden" not in manifest_text(draft, "From a file.")


def test_a_workbook_is_a_table(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["sample", "n"], ["a", 1], ["b", 2]):
        book.active.append(row)
    book.save(tmp_path / "s.xlsx")
    draft, source = imported("csv", tmp_path / "s.xlsx")
    assert source[1].params == {"sample": "b", "n": 2}
    assert draft.command == ["./program", "--n={n}", "--sample={sample}"]


def test_tables() -> None:
    draft, source = imported("snakemake", FILES / "paramspace.tsv")
    assert draft.command == ["./program", "--alpha={alpha}", "--beta={beta}", "--gamma={gamma}"]
    assert source[1].params == {"alpha": 2.0, "beta": 0.0, "gamma": 3.9}
    assert draft.source == {"table": os.path.relpath(FILES / "paramspace.tsv")}
    draft, source = imported("csv", FILES / "european.csv", command=["Rscript", "fit.R"])
    assert source[0].params == {"sample": "A1", "dose": 0.5, "group": "control"}
    assert draft.remarks == []


def test_a_column_with_a_blank_is_an_option_without(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("Sample ID,n\na,1\n")
    draft, source = imported("csv", tmp_path / "s.csv", command=["fit"])
    assert source[0].params == {"Sample ID": "a", "n": 1}
    assert draft.command == ["fit", "--Sample_ID={Sample ID}", "--n={n}"]
    assert draft.remarks == ["changed: the program gets Sample ID as --Sample_ID"]


@pytest.mark.parametrize(
    ("tool", "text", "message"),
    [
        ("wandb", "method: grid\n", "has no parameters"),
        ("wandb", "method: grid\nparameters: {x: {values: [1, 1]}}\n", "are the same"),
        ("hydra", "a: 1\n", "has no hydra.sweeper.params"),
        ("optuna", "[1]", "is not JSON of distributions"),
        ("optuna", "{", "is not JSON of distributions"),
        ("csv", "run_dir,x\n1,2\n", "the column 'run_dir' cannot be a placeholder"),
        ("csv", "a{b,x\n1,2\n", "the column 'a{b' cannot be a placeholder"),
        ("csv", "a b,a_b\n1,2\n", "the column 'a_b' cannot be a placeholder"),
    ],
)
def test_files_that_cannot_be_imported(tmp_path: Path, tool: str, text: str, message: str) -> None:
    path = tmp_path / ("m.csv" if tool == "csv" else "m.yaml")
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        imported(tool, path)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_that_is_not_there(tool: str) -> None:
    with pytest.raises(InputError, match=r"no-such-file|no such file"):
        imported(tool, "no-such-file.txt")
