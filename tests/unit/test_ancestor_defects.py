"""The 27 recorded defects of the ancestor, and the tests that show that each is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = {
    "a complete run without metrics is complete": "experiment.a_run_reports_its_own_status",
    "a failed run with metrics is failed": "experiment.a_run_reports_its_own_status",
    "more metrics widen the table": "experiment.columns_are_the_union",
    "columns go by name": "experiment.columns_are_the_union",
    "other params are another run": (
        "experiment.a_hash_follows_only_where_other_params_have_the_id"
    ),
    "a long value has an id": "experiment.long_values_have_an_id",
    "params may have any name": "experiment.params_of_any_name",
    "values of numpy and others are params": "logbook_alone.params_are_read_as_they_were_given",
    "what failed is tried again": "experiment.a_failed_run_begins_again",
    "a run that was ended is interrupted": (
        "experiment.a_run_that_was_ended_has_its_row_and_begins_again"
    ),
    "runs hold no descriptor": "logbook_alone.open_runs_hold_no_descriptor",
    "equal ids have their own logs": "logbook_alone.two_runs_of_one_name_have_their_own_logs",
    "overwriting keeps nothing": "logbook_alone.overwriting_leaves_nothing_of_the_earlier_run",
    "one of many processes creates the run": (
        "logbook_alone.one_of_many_processes_creates_the_run"
    ),
    "one header whoever begins": "experiment.one_header_whoever_begins",
    "no field of the metadata is lost": "logbook_alone.concurrent_fields_of_the_metadata_are_kept",
    "what cannot be written leaves what there was": (
        "logbook_alone.a_value_that_is_no_json_changes_nothing"
    ),
    "one row per run": "experiment.one_row_per_run_after_several_ends",
    "types survive the table": "experiment.types_survive",
    "readers read what there is": "logbook_readers.a_reader_returns_what_was_written",
    "names of arrays are free": "logbook_alone.names_of_arrays_are_free",
    "exit zero is no failure": "logbook_alone.a_block_sets_the_status_of_its_run",
    "a traceback is kept, and lines are lines": (
        "logbook_alone.an_exception_is_kept_with_its_traceback"
    ),
    "JSON is JSON": "logbook_alone.json_is_json",
    "nothing leaves the run directory": "logbook.no_name_leaves_the_run_directory",
    "params are read by name": "logbook_alone.params_are_a_mapping_and_a_call",
    "a run by its id touches no other": "logbook_readers.a_run_by_its_id_touches_no_other",
}


@pytest.mark.parametrize("test", sorted(set(TESTS.values())))
def test_the_test_of_a_defect_exists(test: str) -> None:
    module, _, name = test.partition(".")
    assert f"def test_{name}(" in Path(__file__).with_name(f"test_{module}.py").read_text()
