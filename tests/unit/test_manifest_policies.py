"""The keys of a manifest that say what a sweep does by itself."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.model import json_schema
from hpcsweep.manifest.policies import Notify, Policies, Reduce, Retry, StopAfter
from hpcsweep.manifest.user import load_manifest
from hpcsweep.records import Reason
from tests.support.manifests import GOOD, Load, Write, load, mistakes, write

__all__ = ["load", "mistakes", "write"]  # fixtures are found by their names

CURL = ("curl", "-d", "@-", "https://x.org/hook")
ASKED = 'slurm: {mem: 2G, time: "00:30:00"}\n'


def policies(load: Load, text: str) -> Policies:
    return Policies.from_json(load(GOOD + text).policies)


def test_every_key_arrives(load: Load) -> None:
    found = policies(
        load,
        "retry: {max_attempts: 4, on: [out_of_memory, error], scale: {mem: 2, time: 3.5}, "
        'max: {mem: 64G, time: "24:00:00"}}\nclosing: {partition: service, mem: 500}\n',
    )
    assert found == Policies(
        retry=Retry(
            max_attempts=4,
            on=frozenset({Reason.OUT_OF_MEMORY, Reason.ERROR}),
            scale={"mem": 2.0, "time": 3.5},
            most={"mem": 64 << 30, "time": 86400},
        ),
        closing={"partition": "service", "mem": "500"},
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("me@x.org", Notify(mail="me@x.org")),
        ("[./tell.sh, --short]", Notify(command=("./tell.sh", "--short"))),
        ('[curl, -d, "@-", "https://x.org/hook"]', Notify(command=tuple(CURL))),
    ],
)
def test_who_is_notified(load: Load, written: str, expected: Notify) -> None:
    found = policies(load, f"notify: {written}")
    assert found.notify == expected
    assert found.closes


def test_a_profile_says_who_is_notified(write: Write) -> None:
    manifest, _ = load_manifest(write(f"{GOOD}notify: me@x.org"), profile={"notify": ["tell"]})
    assert Policies.from_json(manifest.policies).notify == Notify(command=("tell",))


def test_a_number_alone_is_the_count_of_attempts(load: Load) -> None:
    assert policies(load, "retry: 5").retry == Retry(max_attempts=5)
    assert policies(load, "retry: {}").retry == Retry()


@pytest.mark.parametrize(
    ("written", "expected", "threshold"),
    [
        ("20", StopAfter(failures=20), 20),
        ('"5%"', StopAfter(share=0.05), 50),
        ("0.01%", StopAfter(share=0.0001), 1),
        ("100 %", StopAfter(share=1.0), 1000),
        (
            '{failures: "2.5%", of: equal, then: hold}',
            StopAfter(share=0.025, equal=True, then="hold"),
            25,
        ),
    ],
)
def test_stops(load: Load, written: str, expected: StopAfter, threshold: int) -> None:
    found = policies(load, f"stop_after: {written}").stop_after
    assert found == expected
    assert found.threshold(1000) == threshold
    assert policies(load, f"stop_after: {written}").closes


@pytest.mark.parametrize(
    ("written", "seconds"), [("40", 40.0), ("0.25", 0.25), ('"01:30:00"', 5400.0)]
)
def test_how_long_a_case_takes(load: Load, written: str, seconds: float) -> None:
    assert policies(load, f"case_seconds: {written}").case_seconds == seconds


def test_no_closing_jobs(load: Load) -> None:
    assert policies(load, "closing: false").closing is None
    assert policies(load, "closing: {}").closing == {}
    assert policies(load, "").closing == {}


@pytest.mark.parametrize(("written", "canary"), [("", None), ("canary: 0", 0), ("canary: 2", 2)])
def test_how_many_cases_go_first(load: Load, written: str, canary: int | None) -> None:
    assert policies(load, written).canary == canary


@pytest.mark.parametrize(
    ("written", "requeue"), [("", None), ("requeue: true", True), ("requeue: false", False)]
)
def test_whether_tasks_are_requeued(load: Load, written: str, requeue: bool | None) -> None:
    assert policies(load, written).requeue is requeue


@pytest.mark.parametrize("written", ["USR1", "SIGUSR1"])
def test_how_a_command_is_told_to_save(load: Load, written: str) -> None:
    text = GOOD.replace("target: osc.py:simulate", 'command: [echo, "{omega}", "{dt}"]')
    found = load(f"{text}checkpoint_signal: {written}")
    assert Policies.from_json(found.policies).checkpoint_signal == "USR1"


def test_a_manifest_without_them_is_frozen_as_before(load: Load) -> None:
    assert load(GOOD).policies == {}
    assert load(GOOD).fingerprint != load(f"{GOOD}retry: 3").fingerprint


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("requeue: often", "requeue: is the text 'often'. Write true or false."),
        ("requeue: expedite", "requeue: is the text 'expedite'. Write true or false."),
        (
            "requeue: false\nslurm: {requeue: expedite}",
            "requeue: is false, but slurm.requeue is expedite",
        ),
        ("checkpoint_signal: KILL", "checkpoint_signal: is the text 'KILL'. Write USR1 or USR2"),
        ("checkpoint_signal: 10", "checkpoint_signal: is the number 10. Write USR1 or USR2"),
        ("checkpoint_signal: USR1", "checkpoint_signal: is only for a command."),
        ("retry: 1", "retry.max_attempts: is the number 1. Write 2 or more, or remove `retry`."),
        ("retry: yes please", "retry.max_attempts: is the text 'yes please'."),
        ("retry: {attempts: 3}", "retry.attempts: unknown key. Did you mean 'max_attempts'?"),
        ("retry: {on: oom}", "retry.on: is the text 'oom', not a list."),
        ("retry: {on: [out_of_mem]}", "retry.on[0]: is the text 'out_of_mem'. Did you mean "),
        # A retry of what the user cancelled would be against the user's will.
        ("retry: {on: [cancelled]}", "retry.on[0]: is the text 'cancelled'."),
        ("retry: {scale: 2}", "retry.scale: is the number 2, not a mapping."),
        ("retry: {scale: {mem: 0.5}}", "retry.scale.mem: is the number 0.5. Write a factor from"),
        ("retry: {scale: {cpus: 2}}", "retry.scale.cpus: unknown key. Known are mem, time."),
        ("retry: {max: {mem: lots}}", "retry.max.mem: is the text 'lots', not an amount of"),
        ("retry: {max: {time: soon}}", "retry.max.time: is the text 'soon', not a time limit."),
        ("stop_after: 0", "stop_after.failures: is the number 0. Write a count such as 20, or a"),
        ("stop_after: 0%", "stop_after.failures: is the text '0%'."),
        ("stop_after: 101%", "stop_after.failures: is the text '101%'."),
        ("stop_after: yes", "stop_after.failures: is the text 'yes'."),
        ("stop_after: {of: all}", "stop_after: the key 'failures' is missing. Write, for"),
        ("stop_after: {failures: 3, of: some}", "stop_after.of: is the text 'some'."),
        ("stop_after: {failures: 3, then: stop}", "stop_after.then: is the text 'stop'."),
        ("stop_after: {failures: 3, than: hold}", "stop_after.than: unknown key. Did you mean"),
        ("closing: {patition: x}", "closing.patition: "),
        ("closing: true", "closing: is true, not a mapping. Write `option: value` below it, or"),
        ("closing: none", "closing: is the text 'none', not a mapping."),
        ("canary: -1", "canary: is the number -1. Write how many cases go first, for example 5"),
        ("canary: 1.5", "canary: is the number 1.5."),
        ("canary: some", "canary: is the text 'some'."),
        ("canary: 3", "canary: is 3, and there are 2 cases."),
        ("case_seconds: 0", "case_seconds: is 0 seconds. Write seconds above 0, or HH:MM:SS."),
        ("case_seconds: -1", "case_seconds: is -1 seconds."),
        ("case_seconds: .inf", "case_seconds: is inf seconds."),
        ("case_seconds: soon", "case_seconds: is the text 'soon', not a time."),
        ("closing: {array: 0-3}", "closing.array: "),
        ("closing: {mem: false}", "closing.mem: is false, not an amount of memory. Remove it: a "),
        ("notify: me", "notify: is the text 'me', which is no e-mail address. Write an address,"),
        ("notify: -Sx@y.org", "notify: is the text '-Sx@y.org', which is no e-mail address."),
        ('notify: "a@b.org c@d.org"', "notify: is the text 'a@b.org c@d.org', which is no"),
        ('notify: "|sh@x"', "notify: is the text '|sh@x', which is no"),
        ("notify: []", "notify: is a list, neither an e-mail address nor a command."),
        ("notify: {mail: a@b}", "notify: is a mapping, neither an e-mail address nor a command."),
        ("notify: [curl, 3]", "notify: has the element the number 3, which is no text."),
        ("notify: [curl, --token=abcdefgh1]", "notify[1]: holds what looks like a secret"),
        ("notify: [curl, -u, me:pass1234]", "notify[2]: holds what looks like a secret"),
        ('notify: [curl, "https://me:pw1@x.org"]', "notify[1]: holds what looks like a secret"),
        ('notify: [curl, "https://x.org?api_key=k1"]', "notify[1]: holds what looks like a secret"),
    ],
)
def test_wrong_values(mistakes: Callable[..., list[str]], written: str, expected: str) -> None:
    (found,) = mistakes(f"{GOOD}{written}\n")
    assert found.startswith(f"m.yaml:4: {expected}")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{scale: {mem: 1}}", "retry.scale.mem: is 1, so a retry after out_of_memory would end"),
        ("{scale: {time: 1.0}}", "retry.scale.time: is 1, so a retry after timeout would end"),
        ("{max: {mem: 2G}}", "retry.max.mem: is not above slurm.mem, 2G, so a retry after"),
        ("{max: {time: 29}}", "retry.max.time: is not above slurm.time, 00:30:00, so a retry"),
    ],
)
def test_a_policy_that_can_never_help(
    mistakes: Callable[..., list[str]], written: str, expected: str
) -> None:
    (found,) = mistakes(f"{GOOD}{ASKED}retry: {written}\n")
    assert found.startswith(f"m.yaml:5: {expected}")


def test_it_may_help_where_the_reason_is_not_retried(load: Load) -> None:
    found = policies(load, f"{ASKED}retry: {{on: [timeout], scale: {{mem: 1}}, max: {{mem: 1G}}}}")
    assert found.retry is not None
    assert found.retry.on == {Reason.TIMEOUT}


def test_the_schema_has_no_reference_that_leads_nowhere() -> None:
    text = json.dumps(json_schema()["properties"]["retry"])
    assert "$ref" not in text
    assert "out_of_memory" in text


def test_a_reduce_is_a_function_or_a_command(load: Load) -> None:
    found = policies(load, "reduce: numpy:sum\nreduce_when: settled\nreduce_slurm: {mem: 4G}\n")
    assert found.reduce == Reduce(
        target=Target(module="numpy", function="sum"), when="settled", options={"mem": "4G"}
    )
    assert found.closes
    found = policies(load, "reduce: [wc, -l, '{table}']\n")
    assert found.reduce == Reduce(target=Target(argv=("wc", "-l", "{table}")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reduce: nowhere.py:combine", "there is no file 'nowhere.py'"),
        ("reduce: cat table", "names no function"),
        ("reduce: [cat, '{tabel}']", "unknown placeholder {tabel}. Did you mean {table}?"),
        ("reduce_when: settled", "needs a reduce, and the manifest has none"),
        ("reduce_slurm: {mem: 1G}", "needs a reduce, and the manifest has none"),
        ("reduce: [cat]\nreduce_when: done", "is the text 'done'. Write complete or settled."),
        ("reduce: [cat]\nreduce_slurm: {memm: 1G}", "reduce_slurm.memm"),
        ("closing: {mem: 1G, mem-per-cpu: 1G}", "closing.mem-per-cpu: excludes mem (m.yaml:"),
        ("reduce: [curl, -u, 'me:word']", "reduce[2]: holds what looks like a secret"),
    ],
)
def test_mistakes_about_a_reduce(mistakes: Callable[..., list[str]], text: str, said: str) -> None:
    assert said in "\n".join(mistakes(GOOD + text))
