"""The pages in docs/ say what the code does: every name of one is in the other."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import click
import pytest

from hpcsweep import errors, journal, settings, target, yamltext
from hpcsweep.cli import commands, main
from hpcsweep.cli.examples import examples_of
from hpcsweep.cluster import states
from hpcsweep.manifest import slurm_options, target_spec
from hpcsweep.manifest.model import UserManifest
from hpcsweep.manifest.user import load_manifest
from hpcsweep.records import Outcome, Reason, Status
from hpcsweep.settings import Profile, Settings
from hpcsweep.sources import RESERVED_NAMES
from tests.support import rooms
from tests.support.doc_files import write_doc_files
from tests.support.page_tables import plain, rows

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
RUNGS, REFUSALS = "hpcsweep/state/rungs.py", "hpcsweep/cluster/slurm/refusals.py"
MADE_BY_COMMON = {"--profile", "--set", "--outputs", "--verbose", "--log-file"}
SELECTING = {"--cases", "--where", "--status", "--last"}
ALL = [
    command
    for name in commands.COMMANDS
    if (command := main.get_command(click.Context(main), name)) is not None
]
GROUPS = [command for command in ALL if isinstance(command, click.Group)]
IN_GROUPS = {
    id(command): f"{group.name} {command.name}"
    for group in GROUPS
    for command in group.commands.values()
}
COMMANDS = [
    *(one for one in ALL if not one.hidden and one not in GROUPS),
    *(command for group in GROUPS for command in group.commands.values()),
]


def page(name: str) -> str:
    return (DOCS / name).read_text()


# --- all pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", [REPOSITORY / "README.md", DOCS / "reference/cli.md"])
def test_exit_codes_are_those_of_the_error_tree(path: Path) -> None:
    text = path.read_text()
    branches = {"HpcsweepError": 1}
    for name, value in vars(errors).items():
        if isinstance(value, type) and "exit_code" in vars(value):
            branches[name] = vars(value)["exit_code"]
    told = {plain(error): int(code) for code, error, _ in rows(text, "code", "error", "when")}
    assert {name: code for name, code in told.items() if name} == branches


def test_the_readme_and_the_reference_say_the_same_of_exit_codes() -> None:
    titles = ("code", "error", "when")
    readme = rows((REPOSITORY / "README.md").read_text(), *titles)
    assert [row for row in rows(page("reference/cli.md"), *titles) if row not in readme] == [
        row for row in rows(page("reference/cli.md"), *titles) if row[0] == "141"
    ]


# Messages in sentences: those in blocks are printed by their commands. By page, the code that
# has the words.
MESSAGES = [
    ("reference/cli.md", "averaged over", "hpcsweep/tables/plot.py"),
    ("how-to/report.md", "Averaged over ", "hpcsweep/report/assets/columns.js"),
    ("how-to/search.md", "promoted found no checkpoint and began from the start", RUNGS),
    ("how-to/laptop.md", "No longer connected", "hpcsweep/cli/on_host.py"),
    ("how-to/laptop.md", "the connection broke while", "hpcsweep/far/commands.py"),
    ("how-to/laptop.md", "at each command", "hpcsweep/far/directory.py"),
    ("reference/manifest.md", "Requested operation not supported on this system", REFUSALS),
    ("reference/manifest.md", "Stale file handle", "hpcsweep/state/failing_nodes.py"),
    ("reference/manifest.md", "job requeued in held state", "hpcsweep/cluster/reasons.py"),
]


@pytest.mark.parametrize(("name", "message", "code"), MESSAGES)
def test_a_message_in_a_sentence_is_of_the_code(name: str, message: str, code: str) -> None:
    assert message in " ".join(page(name).split())
    assert message in (REPOSITORY / code).read_text()


# --- design.md -----------------------------------------------------------------------------------


def test_comments_refer_to_existing_invariants() -> None:
    text = "\n".join(path.read_text() for path in (REPOSITORY / "hpcsweep").rglob("*.py"))
    mentions = re.findall(r"invariants? (\d+)(?: (?:and|to) (\d+))?", text)
    invariants = {number for pair in mentions for number in pair if number}
    told = set(re.findall(r"^(\d+)\. ", page("explanation/design.md"), re.MULTILINE))
    assert invariants <= told
    sections = set(re.findall(r"DESIGN section (\d+)", text))
    assert sections <= set(re.findall(r"^## (\d+)\. ", page("explanation/design.md"), re.MULTILINE))
    assert invariants
    assert sections


# --- decisions.md --------------------------------------------------------------------------------


def test_each_decision_is_a_paragraph() -> None:
    """A merge may join the paragraphs that two branches appended."""
    text = page("decisions.md")
    starts = re.findall(r"(.?.?)(\*\*20\d\d-\d\d-\d\d\.[^\n]{0,40})", text, re.DOTALL)
    assert starts
    assert [start for before, start in starts if before != "\n\n"] == []


# --- rooms.md ------------------------------------------------------------------------------------


def test_the_rooms_are_drawn_as_they_are_checked() -> None:
    _, made, _ = rooms.parts(rooms.PAGE.read_text())
    assert made == rooms.drawn(), "run: python -m tests.support.rooms"


def test_the_modules_to_begin_with_exist() -> None:
    table = page("rooms.md").partition("\n## Where to begin\n")[2].partition("\n## ")[0]
    # Templates are beside the package.
    named = set(re.findall(r"`([\w/.-]+\.(?:py|j2))`", table))
    roots = (REPOSITORY / "hpcsweep", REPOSITORY)
    assert [one for one in named if not any((root / one).exists() for root in roots)] == []
    assert len(named) > 20


# --- states.md -----------------------------------------------------------------------------------


def test_every_status_is_explained() -> None:
    told = rows(page("reference/states.md"), "status", "meaning", "what `submit` does with it")
    assert [plain(row[0]) for row in told] == [status.value for status in Status]


def test_every_reason_is_explained() -> None:
    told = [
        (plain(row[0]), plain(row[1]))
        for row in rows(page("reference/states.md"), "reason", "status", "meaning")
    ]
    assert told == [(reason.value, reason.status.value) for reason in Reason]


def test_the_drawn_changes_of_state_are_those_of_the_table() -> None:
    text = page("reference/states.md")
    arrows = re.findall(r"^    (\S+) --> (\w+)(?:: (.*))?$", text, re.MULTILINE)
    assert {name for start, end, _ in arrows for name in (start, end)} == {"[*]", *Status}
    # Of the three final ones only a submission leads away, and only as the table says.
    sent = {
        plain(row[0]): plain(row[2])
        for row in rows(text, "status", "meaning", "what `submit` does with it")
    }
    for status in ("complete", "failed", "interrupted"):
        ((_, end, how),) = [arrow for arrow in arrows if arrow[0] == status]
        assert end == "pending"
        named = re.search(r"--rerun (\w+)", sent[status])
        assert named is None or named[1] in how


def test_every_state_of_slurm_is_listed() -> None:
    told = rows(page("reference/states.md"), "Slurm's state", "the task", "its cases", "reason")
    assert [list(map(plain, row)) for row in told] == [
        [state, life.value, status.value, reason.value if reason else ""]
        for state, (life, status, reason) in states.TABLE.items()
    ]


# --- journal.md ----------------------------------------------------------------------------------


def test_every_kind_of_record_is_explained() -> None:
    told = rows(page("reference/journal.md"), "kind", "written when")
    assert {plain(row[0]) for row in told} == journal.KINDS


def test_the_records_that_are_shown_are_whole() -> None:
    shown = re.findall(r"^[0-9a-f]{8} \{.*$", page("reference/journal.md"), re.MULTILINE)
    records = [journal.decode(line.encode()) for line in shown]
    assert [record and record["kind"] for record in records] == ["task", "begin", "end", "end"]


def test_every_field_of_a_record_is_explained() -> None:
    everything: dict[str, Any] = {field.name: "1" for field in dataclasses.fields(Outcome)}
    whole = Outcome(**everything | {"status": Status.FAILED, "reason": Reason.ERROR})
    shown = re.findall(r"^[0-9a-f]{8} \{.*$", page("reference/journal.md"), re.MULTILINE)
    used = set(journal.outcome_json(whole))
    used |= {key for line in shown for key in journal.decode(line.encode()) or {}} - {"crc"}
    cells = [row[0] for row in rows(page("reference/journal.md"), "field", "in", "meaning")]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == used


def test_the_name_of_a_journal_is_as_shown() -> None:
    assert journal.journal_name(17, 1, "0b7e6a51f3c2d948") in page("reference/journal.md")


# --- manifest.md ---------------------------------------------------------------------------------


def test_every_key_of_a_manifest_is_explained() -> None:
    told = rows(page("reference/manifest.md"), "key", "value", "if it is missing")
    assert [plain(row[0]) for row in told] == list(UserManifest.model_fields)


def test_every_placeholder_and_every_argument_is_explained() -> None:
    text = page("reference/manifest.md")
    placeholders = [
        plain(row[0]).strip("{}") for row in rows(text, "placeholder", "what it becomes")
    ]
    assert set(placeholders) == {"a parameter's name", *target_spec.PLACEHOLDERS}
    arguments = {plain(row[0]) for row in rows(text, "argument", "what it gets")}
    assert arguments == {"a parameter's name", "**rest", *target.GIVEN}


def test_names_and_options_that_are_refused_are_listed() -> None:
    text = page("reference/manifest.md")
    _, _, after = text.partition("No\nparameter can be called")
    assert set(re.findall(r"`(\w+)`", after.partition(".")[0])) == RESERVED_NAMES
    _, _, after = text.partition("therefore refuses:")
    assert set(re.findall(r"`([a-z-]+)`", after.partition(".")[0])) == set(slurm_options.REFUSED)


def test_every_setting_is_explained_with_its_default() -> None:
    told = {
        plain(key): plain(default)
        for key, default, _ in rows(page("reference/manifest.md"), "key", "default", "meaning")
    }
    defaults = dataclasses.asdict(Settings())
    assert told == {
        key: f"{value:g}" if isinstance(value, float) else value or "none"
        for key, value in defaults.items()
    }


def yaml_blocks(text: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(
    "block", [block for path in PAGES for block in yaml_blocks(path.read_text())]
)
def test_yaml_blocks_of_the_docs_are_valid(block: str, tmp_path: Path) -> None:
    value = yamltext.document(block, "block").value
    if "profiles" in value:
        home = tmp_path / "hpcsweep"
        home.mkdir()
        (home / "config.yaml").write_text(block)
        for profile in value["profiles"]:
            _, found = settings.load(profile, {}, {"XDG_CONFIG_HOME": str(tmp_path)})
            assert isinstance(found, Profile)
        return
    for key in {"target", "reduce"} & value.keys():
        (tmp_path / value[key].partition(":")[0]).touch()
    write_doc_files(tmp_path)
    (tmp_path / "manifest.yaml").write_text(block)
    manifest, source = load_manifest(tmp_path / "manifest.yaml")
    assert manifest.name == value["name"]
    assert source.n_cases > 1


# --- cli.md --------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """The section of every command by the words after `###`."""
    pieces = re.split(r"^(?:### `(.*)`|## .*)\n", page("reference/cli.md"), flags=re.MULTILINE)
    return {head: body for head, body in zip(pieces[1::2], pieces[2::2], strict=True) if head}


def usage(command: click.Command) -> str:
    context = click.Context(command, info_name=command.name)
    name = IN_GROUPS.get(id(command), command.name or "")
    return " ".join([name, *command.collect_usage_pieces(context)[1:]])


def test_every_command_has_its_section() -> None:
    assert set(sections()) == {usage(command) for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_of_a_command_is_explained(command: click.Command) -> None:
    section = sections()[usage(command)]
    own = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    names = {name for option in own for name in option.opts if name.startswith("--")}
    explained = set(re.findall(r"--[a-z][a-z-]*", section))
    assert explained - SELECTING == names - MADE_BY_COMMON - SELECTING
    for option in own:
        if isinstance(option.type, click.Choice):
            assert f"{option.opts[0]} {'|'.join(option.type.choices)}`" in section.replace("\\", "")


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS], ids=lambda command: command.name)
def test_every_command_has_an_example(command: click.Command) -> None:
    found = examples_of(command.epilog)
    assert found, "write epilog=examples(…) into the decorator of the command"
    name = IN_GROUPS.get(id(command), command.name)
    assert [one for one in found if f"hpcsweep {name}" not in one] == []


def test_selections_are_explained_once() -> None:
    section = page("reference/cli.md").partition("\n## Selecting cases\n")[2].partition("\n## ")[0]
    told = rows(page("reference/cli.md"), "option", "the cases")
    assert {plain(row[0]).split()[0] for row in told} == SELECTING
    selecting = set()
    for command in COMMANDS:
        names = {name for option in command.params for name in option.opts}
        if names & SELECTING:
            assert names >= SELECTING
            selecting.add(command.name)
            assert "(#selecting-cases)" in sections()[usage(command)]
    first = section.partition(" take these options")[0]
    assert set(re.findall(r"`([a-z]+)`", first)) == selecting


def test_the_common_options_are_explained_once() -> None:
    before = page("reference/cli.md").partition("\n## ")[0]
    assert set(re.findall(r"--[a-z][a-z-]*", before)) == MADE_BY_COMMON | {
        "--help",
        "--version",
        "--on",
    }
    for command in COMMANDS:
        names = {name for option in command.params for name in option.opts}
        own = command.name in {"completion", "import", "init", "schema"} or id(command) in IN_GROUPS
        assert names >= MADE_BY_COMMON or own


# --- agents.md -----------------------------------------------------------------------------------


def test_agents_are_told_what_every_command_changes_and_which_have_a_document() -> None:
    told: dict[str, bool] = {}
    for names, effect, document in rows(page("agents.md"), "command", "effect", "with `--json`"):
        assert re.match(r"reads|writes files|sends|takes away", effect)
        told |= dict.fromkeys(re.findall(r"`([a-z ]+)`", names), bool(document))
    assert told == {
        IN_GROUPS.get(id(command), command.name or ""): any(
            "--json" in option.opts for option in command.params
        )
        for command in COMMANDS
    }


def test_agents_know_every_exit_code() -> None:
    codes = [int(row[0]) for row in rows(page("agents.md"), "code", "meaning", "try again?")]
    known = {one.exit_code for one in vars(errors).values() if hasattr(one, "exit_code")}
    assert codes == sorted(known | {0, 2})
