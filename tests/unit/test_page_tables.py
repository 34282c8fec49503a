"""Every table of the documentation is compared with the code, or is advice in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import click
import pytest

import hpcsweep as hs
from hpcsweep import errors
from hpcsweep.cli.commands import completion, import_manifest, init
from hpcsweep.cluster.pbs.options import qsub_options
from hpcsweep.cluster.reasons import meaning, passes
from hpcsweep.cluster.registry import CLUSTERS
from hpcsweep.emulator.faults import chance
from hpcsweep.errors import InputError, SourceError
from hpcsweep.manifest.key_values import Runs
from hpcsweep.manifest.limit_keys import LimitKeys
from hpcsweep.manifest.model import UserManifest
from hpcsweep.manifest.policies import GIVEN
from hpcsweep.manifest.search_keys import SearchKeys
from hpcsweep.records import EXIT_STOPPED, MODES, Status
from hpcsweep.report.pages import PAGES as REPORT_PAGES
from hpcsweep.settings import AUTO
from hpcsweep.store import schema
from hpcsweep.tables.points import NEEDED
from hpcsweep.worker.task import EXIT_REFUSED, EXIT_UNWRITTEN
from tests.support.command_lines import PAGES, REPOSITORY
from tests.support.page_tables import Head, quoted, rows, tables
from tests.unit.test_page_blocks import exists

REASONS = (REPOSITORY / "tests/data/slurm-reasons.txt").read_text().split()
DOCS = "unit/test_docs.py"
EMULATOR = "unit/test_emulator_docs.py"
SOURCES = "unit/test_source_registry.py test_the_tables_of_the_documentation_are_as_made"
# What another test compares, or tries row by row; by page and first title.
ELSEWHERE = {
    ("README.md", "step"): "integration/test_end_to_end.py test_both_clusters_give_the_same",
    ("README.md", "promise"): "integration/test_readme.py test_each_promise_has_its_test",
    ("README.md", "code"): f"{DOCS} test_exit_codes_are_those_of_the_error_tree",
    ("docs/agents.md", "code"): f"{DOCS} test_agents_know_every_exit_code",
    ("docs/agents.md", "command"): (
        f"{DOCS} test_agents_are_told_what_every_command_changes_and_which_have_a_document"
    ),
    ("docs/rooms.md", "floor"): f"{DOCS} test_the_rooms_are_drawn_as_they_are_checked",
    ("docs/rooms.md", "you want to"): f"{DOCS} test_the_modules_to_begin_with_exist",
    ("docs/how-to/environments.md", "step"): (
        "unit/test_environment_keys.py test_modules_conda_and_setup_in_this_order"
    ),
    ("docs/how-to/environments.md", "value"): (
        "unit/test_environment_keys.py test_an_interpreter_by_path_prefix_or_name"
    ),
    ("docs/how-to/laptop.md", "what you see"): (
        "unit/test_far.py test_the_page_has_each_remedy_and_command"
    ),
    ("docs/how-to/preemption.md", "what happens"): (
        "faults/test_preemption.py test_what_a_preempted_job_receives"
    ),
    ("docs/how-to/submitit.md", "option"): (
        "unit/test_submitit_words.py test_slurm_gets_every_option_as_it_is"
    ),
    ("docs/reference/cli.md", "option"): f"{DOCS} test_every_option_of_a_command_is_explained",
    ("docs/reference/cli.md", "code"): f"{DOCS} test_exit_codes_are_those_of_the_error_tree",
    ("docs/reference/emulator.md", "in `hpcsweep/emulator/`"): (
        f"{EMULATOR} test_every_file_is_on_the_page"
    ),
    ("docs/reference/emulator.md", "what"): f"{EMULATOR} test_options",
    ("docs/reference/errors.md", "class"): (
        "unit/test_errors.py test_the_page_of_errors_has_the_whole_tree"
    ),
    ("docs/reference/files.md", "path"): (
        "integration/test_pages.py test_a_page_shows_the_real_output"
    ),
    ("docs/reference/journal.md", "field"): f"{DOCS} test_every_field_of_a_record_is_explained",
    ("docs/reference/journal.md", "kind"): f"{DOCS} test_every_kind_of_record_is_explained",
    ("docs/reference/manifest.md", "key"): f"{DOCS} test_every_key_of_a_manifest_is_explained",
    ("docs/reference/manifest.md", "form"): SOURCES,
    ("docs/reference/manifest.md", "argument"): (
        f"{DOCS} test_every_placeholder_and_every_argument_is_explained"
    ),
    ("docs/reference/manifest.md", "placeholder"): (
        f"{DOCS} test_every_placeholder_and_every_argument_is_explained"
    ),
    ("docs/reference/manifest.md", "of one case"): (
        "unit/test_isolation.py test_cases_share_their_modules_and_nothing_else"
    ),
    ("docs/reference/manifest.md", "what"): "unit/test_sizing.py test_time",
    ("docs/reference/slurm-versions.md", "what"): (
        "contract/test_slurm_contract.py test_answers_as_recorded"
    ),
    ("docs/reference/sources.md", "Python"): SOURCES,
    ("docs/reference/sources.md", "manifest"): SOURCES,
    ("docs/reference/sources.md", "method"): (
        "unit/test_sources_docs.py test_every_method_is_on_the_page"
    ),
    ("docs/reference/states.md", "status"): f"{DOCS} test_every_status_is_explained",
    ("docs/reference/states.md", "reason"): f"{DOCS} test_every_reason_is_explained",
    ("docs/reference/states.md", "Slurm's state"): f"{DOCS} test_every_state_of_slurm_is_listed",
}
# Tables without anything that code has.
IN_WORDS = {
    ("README.md", "page"): "links",
    ("docs/index.md", "you want to"): "links",
    ("docs/how-to/index.md", "run my code"): "links",
    ("docs/how-to/index.md", "at the cluster"): "links",
    ("docs/how-to/index.md", "read results"): "links",
    ("docs/tutorial/first-sweep.md", "question"): "links",
    ("docs/rooms.md", "measure"): "figures of two days, which stay",
    ("docs/style.md", "before"): "examples of English",
    ("docs/explanation/design.md", "word"): "meanings of words",
    ("docs/how-to/cache.md", "entropic"): "a comparison with another library",
    ("docs/reference/journal.md", "who ingests"): "who calls whom",
    ("docs/reference/logbook.md", ""): "when provenance is determined",
    ("docs/reference/states.md", "file"): "lines of a site's configuration",
    ("docs/reference/sweep-index.md", "`store:`"): "forms of a URL",
    **{
        ("docs/coming-from/index.md", tool): "a comparison with another tool"
        for tool in ("submitit", "Hydra", "Snakemake", "Nextflow", "parallel", "HyperQueue", "W&B")
    },
}
RUNS = get_args(get_args(Runs)[0])
# What the first columns name: all of it, and nothing else. By page and titles.
NAMED: dict[tuple[str, Head], Iterable[str]] = {
    ("README.md", ("`--cluster`", "where the cases run")): [
        *(kind.rstrip(":") for kind in CLUSTERS),
        AUTO,
    ],
    ("docs/how-to/cache.md", ("field of a record", "meaning")): {
        name for name in hs.Base.__annotations__ if name[0] != "_"
    },
    ("docs/how-to/cache.md", ("method", "what it does")): (
        name for name, value in vars(hs.Store).items() if name[0] != "_" and callable(value)
    ),
    ("docs/how-to/disks.md", ("`runs`", "files")): set(RUNS) - {"auto"},
    ("docs/how-to/search.md", ("key", "value", "if it is missing")): SearchKeys.model_fields,
    ("docs/reference/cli.md", ("kind", "the target")): init.KINDS,
    ("docs/reference/cli.md", ("TOOL", "SOURCE", "becomes")): import_manifest.TOOLS,
    ("docs/reference/cli.md", ("kind", "what is drawn")): NEEDED,
    ("docs/reference/emulator.md", ("kind", "effect", "opportunities")): chance.KINDS,
    ("docs/reference/logbook.md", ("status in `metadata.json`", "meaning")): [
        "initialized",
        *(Status.COMPLETE, Status.FAILED, Status.INTERRUPTED),
    ],
    ("docs/reference/manifest.md", ("key", "value", "what it does")): [
        "slots",
        *(name for name in UserManifest.model_fields if name.endswith("_per_case")),
    ],
    ("docs/reference/manifest.md", ("`mode`", "what is sent", "when it runs", "chunks")): MODES,
    ("docs/reference/manifest.md", ("key", "instead of")): LimitKeys.model_fields,
    ("docs/reference/sweep-index.md", ("table", "one row for")): schema.metadata.tables,
}
WORKER = ("exit code of the worker", "meaning")
REDUCED = ("argument, or placeholder of a command", "value")
# What a test below compares.
HERE: dict[tuple[str, Head], str] = {
    (name, titles): f"unit/test_page_tables.py {test}"
    for name, titles, test in (
        (
            "docs/how-to/pending.md",
            ("reason", "meaning", "what to do"),
            "test_every_reason_of_a_waiting_task_is_one",
        ),
        ("docs/how-to/pbs.md", ("below `slurm:`", "for qsub"), "test_every_option_that_qsub_has"),
        (
            "docs/how-to/report.md",
            ("page", "what it shows"),
            "test_every_page_of_a_report_is_explained",
        ),
        ("docs/reference/python.md", ("verb", "returns"), "test_what_verbs_return"),
        ("docs/reference/python.md", ("error", "cause"), "test_the_errors_of_python_are_there"),
        (
            "docs/reference/logbook.md",
            ("call", "what it does"),
            "test_methods_of_a_logbook_are_there",
        ),
        ("docs/reference/sources.md", ("read", "result"), "test_ways_to_read_a_source_are_there"),
        ("docs/how-to/many-cases.md", ("key", "why"), "test_keys_for_many_cases_are_there"),
        (
            "docs/reference/sources.md",
            ("suffix", "file", "needs"),
            "test_every_suffix_of_a_table_is_listed",
        ),
        (
            "docs/reference/sources.md",
            ("all cells of the column", "values"),
            "test_the_type_of_a_column_is_that_of_all_its_cells",
        ),
        ("docs/reference/states.md", WORKER, "test_exit_codes_of_the_worker"),
        ("docs/reference/manifest.md", REDUCED, "test_arguments_of_reduce"),
        ("docs/reference/cli.md", ("shell", "file", "also"), "test_shells_with_completion"),
    )
}


def page(name: str) -> str:
    return (REPOSITORY / name).read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_table_has_its_test(path: Path) -> None:
    name = str(path.relative_to(REPOSITORY))
    for head, _ in tables(path.read_text()):
        first = (name, head[0])
        test = HERE.get((name, head)) or ELSEWHERE.get(first, "")
        compared = (name, head) in NAMED or exists(test)
        assert compared != (first in IN_WORDS), f"{head}: name its test"


def test_every_row_is_of_a_table_that_is_there() -> None:
    there = {
        (str(path.relative_to(REPOSITORY)), head)
        for path in PAGES
        for head, _ in tables(path.read_text())
    }
    assert NAMED.keys() | HERE.keys() <= there
    assert ELSEWHERE.keys() | IN_WORDS.keys() <= {(name, head[0]) for name, head in there}


@pytest.mark.parametrize(("name", "titles"), NAMED, ids=str)
def test_the_first_column_names_all_that_there_is(name: str, titles: Head) -> None:
    named = [word for row in rows(page(name), *titles) for word in quoted(row[0])]
    # One name may have several forms: `delete(params)`, `delete(hash=id)`.
    assert sorted(set(named)) == sorted(NAMED[name, titles])


def test_every_reason_of_a_waiting_task_is_one() -> None:
    for reasons, _, remedy in rows(
        page("docs/how-to/pending.md"), "reason", "meaning", "what to do"
    ):
        for reason in quoted(reasons):
            assert reason in REASONS or "of PBS" in reasons
            assert passes(reason) or meaning(reason)
            # A task that never starts is not waited for.
            if "will never start" in meaning(reason):
                assert "submit --replace" in remedy


def test_every_option_that_qsub_has() -> None:
    values = {"time": "10", "mem": "1G", "mem-per-cpu": "1G", "gres": "gpu:2", "exclusive": ""}
    words = {"mail-user": "a@b.org", "mail-type": "END", "partition": "q", "account": "physics"}
    for options, words_of_qsub in rows(page("docs/how-to/pbs.md"), "below `slurm:`", "for qsub"):
        if "resources of your site" in options or "--throttle" in options:
            continue
        refused = "refused by name" in words_of_qsub
        for option in quoted(options):
            given = {option: (values | words).get(option, "2")}
            if refused:
                with pytest.raises(InputError, match=option):
                    qsub_options(given)
            else:
                flags = set(re.findall(r"`(-\w)", words_of_qsub)) or {"-l"}
                assert flags & set(qsub_options(given))


def test_every_page_of_a_report_is_explained() -> None:
    named = [row[0] for row in rows(page("docs/how-to/report.md"), "page", "what it shows")]
    assert named == [f"*{one.title}*" for one in REPORT_PAGES]


def test_what_verbs_return() -> None:
    for verbs, returned in rows(page("docs/reference/python.md"), "verb", "returns"):
        kinds: set[str] = set()
        for verb in re.findall(r"`(?:hs\.)?(\w+)\(", verbs):
            function = getattr(hs.Sweep, verb, None) or getattr(hs, verb)
            kinds |= set(re.findall(r"[A-Z]\w+", str(function.__annotations__["return"])))
        assert kinds & set(hs.__all__) == set(quoted(returned)) - {"print"}, verbs


def test_the_errors_of_python_are_there() -> None:
    for name, _ in rows(page("docs/reference/python.md"), "error", "cause"):
        assert issubclass(getattr(errors, name.strip("`")), hs.HpcsweepError)


def test_methods_of_a_logbook_are_there() -> None:
    known = {*dir(hs.Logbook), "Logbook", "log", "save", "load", "checkpoint.save"}
    for calls, _ in rows(page("docs/reference/logbook.md"), "call", "what it does"):
        assert {name.partition(".")[0] for name in quoted(calls)} <= known


def test_ways_to_read_a_source_are_there() -> None:
    for calls, _ in rows(page("docs/reference/sources.md"), "read", "result"):
        for name in re.findall(r"`source\.(\w+)", calls):
            assert hasattr(hs.ParameterSource, name)


def test_keys_for_many_cases_are_there() -> None:
    for key, _ in rows(page("docs/how-to/many-cases.md"), "key", "why"):
        assert quoted(key)[0] in UserManifest.model_fields


def test_every_suffix_of_a_table_is_listed(tmp_path: Path) -> None:
    listed = rows(page("docs/reference/sources.md"), "suffix", "file", "needs")
    (tmp_path / "cases.odd").touch()
    with pytest.raises(SourceError) as caught:
        hs.table(str(tmp_path / "cases.odd"))
    known, compressed = caught.value.next_step.partition(";")[0].split(", and ")
    assert [suffix for row in listed for suffix in quoted(row[0])] == re.findall(r"\.\w+", known)
    assert compressed.endswith(" with .gz")


def test_the_type_of_a_column_is_that_of_all_its_cells(tmp_path: Path) -> None:
    kinds = {"ints": int, "floats": float, "booleans": bool, "texts": str}
    for cells, values in rows(
        page("docs/reference/sources.md"), "all cells of the column", "values"
    ):
        shown = re.findall(r"`([^`]+)`", cells)
        # Texts are so each by itself, the others together.
        columns = [[one] for one in shown] if values == "texts" else [shown]
        for column in columns:
            path = tmp_path / "cases.csv"
            path.write_text("i,x\n" + "".join(f"{i},{one}\n" for i, one in enumerate(column)))
            read = [case.params["x"] for case in hs.table(str(path))]
            assert {type(value) for value in read} == {kinds[values]}, column


def test_exit_codes_of_the_worker() -> None:
    codes = [row[0] for row in rows(page("docs/reference/states.md"), *WORKER)]
    known = {0, errors.SweepError.exit_code, EXIT_UNWRITTEN, EXIT_REFUSED, EXIT_STOPPED}
    assert list(map(int, codes)) == sorted(known)


def test_arguments_of_reduce() -> None:
    named = [quoted(row[0]) for row in rows(page("docs/reference/manifest.md"), *REDUCED)]
    assert [name for (name, *more) in named if not more] == sorted(GIVEN, reverse=True)


def test_shells_with_completion() -> None:
    (shells,) = (
        one.type.choices for one in completion.command.params if isinstance(one.type, click.Choice)
    )
    listed = rows(page("docs/reference/cli.md"), "shell", "file", "also")
    assert [row[0] for row in listed] == list(shells)
