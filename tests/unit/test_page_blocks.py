"""Every block and figure of the documentation is run, or compared, by a named test."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.command_lines import PAGES, REPOSITORY
from tests.support.console_blocks import fenced

FOLLOWED = "integration/test_pages.py test_a_page_shows_the_real_output"
FIGURES = "integration/test_page_figures.py test_a_figure_is_drawn_by_its_command"
ON_A_SWEEP = "integration/test_page_figures.py test_a_command_on_a_sweep_runs"
INSTALLED = "integration/test_wheel.py test_the_wheel_installs_the_command"
README = "integration/test_readme.py test_console_blocks_of_the_readme_show_the_real_output"
RECORDS = "unit/test_docs.py test_the_records_that_are_shown_are_whole"
EXECUTOR = (
    "integration/test_executor.py "
    "test_the_page_shows_what_happens_with_programs_for_other_executors"
)
DOOR = "integration/test_python_door.py test_console_blocks_of_the_readme_show_the_real_output"
SHELL = (
    "integration/test_python_door.py test_a_shell_does_with_any_layout_what_it_did_with_directories"
)
DATABASE = (
    "integration/test_postgres_sweep.py "
    "test_a_sweep_moves_to_another_database_with_its_next_submission"
)
PROGRAMS = "integration/test_page_programs.py"
# On any page.
BY_LANGUAGE = {
    "console": FOLLOWED,
    "yaml": "unit/test_docs.py test_yaml_blocks_of_the_docs_are_valid",
}
# By page and language, in the order of the blocks; a single one is for all of them. Files that a
# reader writes belong to the commands of their page.
BY_PAGE: dict[tuple[str, str], tuple[str, ...]] = {
    ("README.md", "console"): (README,),
    ("README.md", "python"): (
        "integration/test_readme.py test_the_files_that_are_shown_are_those_of_init",
        README,
    ),
    ("README.md", "text"): ("", README),
    ("CONTRIBUTING.md", "console"): ("unit/test_forge.py test_every_target_that_is_named_exists",),
    ("CONTRIBUTING.md", "python"): (
        "unit/test_commands.py test_a_command_is_one_module_and_one_line",
        "unit/test_source_registry.py test_a_new_source_plans_and_runs",
        "integration/test_new_cluster.py test_a_sweep_on_a_cluster_of_a_new_kind",
    ),
    ("docs/index.md", "sh"): (INSTALLED,),
    ("docs/tutorial/first-sweep.md", "sh"): (INSTALLED,),
    ("docs/coming-from/index.md", "python"): (
        f"{PROGRAMS} test_a_program_for_submitit_runs_with_either",
        f"{PROGRAMS} test_programs_for_notata_and_entropic",
        f"{PROGRAMS} test_programs_for_notata_and_entropic",
    ),
    ("docs/coming-from/index.md", "sh"): (
        f"{PROGRAMS} test_imports_from_other_tools_are_manifests",
        f"{PROGRAMS} test_the_manifest_runs_what_gnu_parallel_runs",
        f"{PROGRAMS} test_imports_from_other_tools_are_manifests",
    ),
    ("docs/how-to/cache.md", "python"): (f"{PROGRAMS} test_the_cache_finds_what_it_computed",),
    ("docs/how-to/cache.md", "text"): (f"{PROGRAMS} test_the_cache_finds_what_it_computed",),
    ("docs/how-to/disks.md", "sh"): (f"{PROGRAMS} test_a_profile_puts_sweeps_on_scratch",),
    ("docs/how-to/executor.md", "python"): (EXECUTOR,),
    ("docs/how-to/executor.md", "pycon"): (EXECUTOR,),
    ("docs/how-to/figures.md", "sh"): (FIGURES,),
    ("docs/how-to/laptop.md", "sh"): (
        "integration/test_on_host.py test_install_makes_an_environment_there",
        "integration/test_on_host.py test_a_submit_that_was_cut_off_goes_on",
    ),
    ("docs/how-to/move.md", "sh"): (
        "unit/test_whole_sweeps.py test_a_copy_to_another_host",
        "integration/test_whole_sweeps.py test_a_sweep_goes_on_under_its_new_name_and_as_a_copy",
    ),
    ("docs/how-to/pbs.md", "sh"): (
        "integration/test_pbs.py test_a_sweep_with_retries_goes_to_its_end_by_closing_jobs",
    ),
    ("docs/how-to/pbs.md", "text"): (
        "unit/test_pbs.py test_the_keys_of_slurm_in_the_words_of_qsub",
        "integration/test_pbs.py test_the_queue_says_why_tasks_do_not_start",
    ),
    ("docs/how-to/pending.md", "sh"): (ON_A_SWEEP,),
    ("docs/how-to/postgresql.md", "text"): ("",),
    ("docs/how-to/postgresql.md", "sh"): (DATABASE,),
    ("docs/how-to/preemption.md", "python"): (
        f"{PROGRAMS} test_a_function_with_a_checkpoint_goes_on",
    ),
    ("docs/how-to/read-results.md", "r"): (f"{PROGRAMS} test_r_reads_the_table",),
    ("docs/how-to/report.md", "sh"): (
        ON_A_SWEEP,
        ON_A_SWEEP,
        "integration/test_view.py test_the_command_prints_its_address_and_ends_by_ctrl_c_with_0",
    ),
    ("docs/how-to/search.md", "sh"): (INSTALLED,),
    ("docs/how-to/search.md", "python"): (f"{PROGRAMS} test_a_sampler_of_ones_own",),
    ("docs/how-to/submitit.md", "sh"): (
        "integration/test_environments.py test_submitit_runs_it_too",
    ),
    ("docs/how-to/tables.md", "console"): (
        "integration/test_tables_page.py test_console_blocks_show_the_real_output",
    ),
    ("docs/how-to/tables.md", "python"): (
        "integration/test_tables_page.py test_console_blocks_show_the_real_output",
    ),
    ("docs/how-to/test-with-slurm.md", "sh"): (INSTALLED,),
    ("docs/how-to/training.md", "python"): (f"{PROGRAMS} test_training_goes_on_at_the_last_epoch",),
    ("docs/reference/cli.md", "console"): (
        "unit/test_foreign.py test_the_example_of_the_documentation",
        SHELL,
    ),
    ("docs/reference/cli.md", "bash"): (
        "integration/test_parsable.py test_standard_output_has_the_job_ids_alone",
    ),
    ("docs/reference/cli.md", "text"): (
        "unit/test_efficiency.py test_the_example_of_the_reference_is_what_is_printed",
    ),
    ("docs/reference/emulator.md", "sh"): (
        "integration/test_emulator_command.py test_eval_of_env_and_clusters_side_by_side",
    ),
    ("docs/reference/emulator.md", "python"): (f"{PROGRAMS} test_the_emulated_slurm_in_python",),
    ("docs/reference/errors.md", "python"): (
        f"{PROGRAMS} test_a_script_decides_by_the_class_of_an_error",
    ),
    ("docs/reference/journal.md", "text"): (
        "unit/test_docs.py test_the_name_of_a_journal_is_as_shown",
        RECORDS,
        "property/test_journal_merge.py test_ranks_order_records_as_invariant_7_requires",
    ),
    ("docs/reference/logbook.md", "python"): (
        f"{PROGRAMS} test_logbook_and_its_reader",
        f"{PROGRAMS} test_logbook_and_its_reader",
        f"{PROGRAMS} test_a_function_with_a_checkpoint_goes_on",
        f"{PROGRAMS} test_logbook_and_its_reader",
    ),
    ("docs/reference/logbook.md", "text"): (
        f"{PROGRAMS} test_logbook_and_its_reader",
        "unit/test_logbook_packs.py test_the_journal_has_the_location_of_a_run",
    ),
    ("docs/reference/manifest.md", "text"): (
        "",
        "integration/test_examples.py test_two_stages_find_the_deeper_valley",
        "faults/test_submitting_again.py test_a_grown_grid_keeps_what_is_finished",
    ),
    ("docs/reference/python.md", "python"): (DOOR,),
    ("docs/reference/python.md", "pycon"): (DOOR,),
    ("docs/reference/sources.md", "python"): (
        "unit/test_sources_docs.py test_python_examples_run",
    ),
    ("docs/reference/states.md", "mermaid"): (
        "unit/test_docs.py test_the_drawn_changes_of_state_are_those_of_the_table",
    ),
    ("docs/reference/sweep-index.md", "text"): (
        "unit/test_database.py test_the_page_shows_what_a_start_on_a_node_prints",
    ),
    ("docs/reference/sweep-index.md", "sql"): (
        "contract/test_index_schema.py test_the_query_of_the_page",
    ),
    ("docs/rooms.md", "mermaid"): (
        "unit/test_docs.py test_the_rooms_are_drawn_as_they_are_checked",
    ),
}
# The blocks above without a test: their position among those of the language, and why.
NOT_RUN = {
    ("README.md", "text", 0): "draws the order of steps",
    ("docs/how-to/postgresql.md", "text", 0): "is the service file of a site, with a password",
    ("docs/reference/manifest.md", "text", 0): "is for an editor",
}
FIGURE = re.compile(r"!\[[^\]]*\]\(([^)]*)\)")
FIGURES_BY_FOLDER = {
    "docs/how-to/figures": FIGURES,
    "docs/how-to/report": "integration/test_report_pictures.py test_pictures_look_like_the_report",
}


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests of a file."""
    tree = ast.parse((REPOSITORY / "tests" / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def exists(test: str) -> bool:
    file, _, name = test.partition(" ")
    return (REPOSITORY / "tests" / file).is_file() and name in names_in(file)


def languages(page: Path) -> dict[str, int]:
    """How many blocks a page has of each language, without the files that a reader writes."""
    count: dict[str, int] = {}
    for block in fenced(page.read_text()):
        if not block.name:
            count[block.language] = count.get(block.language, 0) + 1
    return count


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_its_test(page: Path) -> None:
    name = str(page.relative_to(REPOSITORY))
    for language, count in languages(page).items():
        tests = BY_PAGE.get((name, language)) or (BY_LANGUAGE.get(language, ""),)
        assert len(tests) in {1, count}, f"{count} blocks of {language}"
        for position, test in enumerate(tests):
            unrun = (name, language, position) in NOT_RUN
            assert unrun or exists(test), f"{language} {position}: name its test in BY_PAGE"


def test_every_row_is_of_blocks_that_are_there() -> None:
    there = {
        (str(page.relative_to(REPOSITORY)), language): count
        for page in PAGES
        for language, count in languages(page).items()
    }
    assert set(BY_PAGE) <= set(there)
    assert all(position < there[page, language] for page, language, position in NOT_RUN)


def test_every_figure_has_its_test() -> None:
    shown = {
        (page.parent / path).relative_to(REPOSITORY)
        for page in PAGES
        for path in FIGURE.findall(page.read_text())
    }
    kept = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "docs").rglob("*.png")}
    assert shown == kept
    assert {str(path.parent) for path in shown} == set(FIGURES_BY_FOLDER)
    assert all(map(exists, FIGURES_BY_FOLDER.values()))
