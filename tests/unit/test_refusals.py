"""Which complaints of sbatch are refusals: those on record, and nothing else."""

from __future__ import annotations

import pytest

from hpcsweep.cluster.slurm.refusals import Verdict, is_waiting, lacks_room, next_step, verdict
from tests.support.contract import VERSIONS, read_all
from tests.support.transcripts import TRANSCRIPTS, Block, blocks

UNREACHABLE = "Unable to contact slurm controller (connect failure)"
UNSUPPORTED = "Requested operation not supported on this system"
FULL = "Slurm temporarily unable to accept job, sleeping and retrying"
RECORDED = [
    block
    for path in sorted(TRANSCRIPTS.glob("0*.txt"))
    for block in blocks(path.stem)
    if block.rc
    and block.rc != 124
    and block.err
    and "sbatch" in block.command
    and block.err[-1].startswith(("sbatch: ", "allocation failure: ", "Try "))
]
# Slurm 20.11 to 26.05 (slurm_errno.c): the answer was lost, or either side may have said it.
DOUBTFUL = [
    "Unexpected message received",
    "Communication connection failure",
    "Message send failure",
    "Message receive failure",
    "Communication shutdown failure",
    "Incompatible versions of client and server code",
    "Protocol authentication error",
    "Insane message length",
    "Connection timed out reading",
    "Unable to contact slurm controller (receive failure)",
    UNREACHABLE,
    "Rate limit exceeded, please retry momentarily",
    "Socket timed out on send/recv operation",
    "Zero Bytes were transmitted or received",
    "Header lengths are longer than data received",
    "Slurm backup controller in standby mode",
    "Slurm internal error, contact system administrator",
    "I/O error writing script/environment to file",
    "No error",
    "Resource temporarily unavailable",
    "Connection refused",
    "Invalid partition name",
    "Unbekannter Fehler",
]


@pytest.mark.parametrize("block", RECORDED, ids=lambda block: block.command[:60])
def test_every_recorded_refusal_is_one(block: Block) -> None:
    said = "\n".join(block.err)
    wanted = Verdict.UNKNOWN if UNREACHABLE in said else Verdict.REFUSED
    assert verdict(said) is wanted, said


def refusals_of(version: str) -> list[str]:
    """What sbatch of that version printed whenever it refused a job of the contract."""
    answers = [answer for case in read_all(version) for _, answer in case.steps]
    errors = [[line[2:] for line in answer if line.startswith("! ")] for answer in answers]
    return [
        "\n".join(lines)
        for lines in errors
        if lines and lines[0].startswith("sbatch: ") and "arning" not in lines[0]
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_refusal_of_the_contract_is_one(version: str) -> None:
    said = refusals_of(version)
    assert len(said) > 40
    assert [text for text in said if verdict(text) is not Verdict.REFUSED] == []


def test_many_refusals_are_recorded() -> None:
    assert len(RECORDED) > 40


@pytest.mark.parametrize("text", DOUBTFUL)
def test_messages_about_an_accepted_array_are_no_refusal(text: str) -> None:
    assert verdict(f"sbatch: error: Batch job submission failed: {text}") is Verdict.UNKNOWN
    assert verdict(f"sbatch: error: {text}") is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Batch job submission failed:",
        "Invalid partition name specified",
        "fork: Resource temporarily unavailable",
        "sbatch: command not found",
        "Your project has no hours left.",
        # The refusal of one attempt, and then another end.
        f"sbatch: error: {FULL}\nsbatch: error: Batch job submission failed: {UNREACHABLE}",
        (
            "sbatch: error: Batch job submission failed: Invalid qos specification\n"
            "sbatch: error: Batch job submission failed: Message receive failure"
        ),
    ],
)
def test_an_unknown_message_is_no_refusal(said: str) -> None:
    assert verdict(said) is Verdict.UNKNOWN


def test_a_plugin_that_gives_no_code() -> None:
    """Slurm 22.05 with job_submit/lua: `slurm.log_user(…)`, `return slurm.ERROR`."""
    said = "sbatch: error: Name an account.\nsbatch: error: Batch job submission failed: %s\n"
    assert verdict(said % "Unspecified error") is Verdict.UNSPECIFIED
    assert verdict(said % "Access/permission denied") is Verdict.REFUSED
    assert verdict("allocation failure: Unspecified error") is Verdict.UNSPECIFIED


def test_a_full_queue() -> None:
    """06-limits.txt; 26.05 has words of its own for it."""
    old = f"sbatch: error: {FULL}\nsbatch: error: Batch job submission failed: %s"
    for said in (
        old % "Resource temporarily unavailable",
        (
            "sbatch: error: Slurm job queue full, sleeping and retrying\n"
            "sbatch: error: Batch job submission failed: MaxJobCount limit reached"
        ),
    ):
        assert verdict(said) is Verdict.REFUSED
        assert "queue is full" in next_step(said)
        assert lacks_room(said)
        assert is_waiting(said.splitlines()[0])
        assert not is_waiting(said.splitlines()[1])


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("QOSMaxSubmitJobPerUserLimit", ("counts array tasks", "larger `chunk:`")),
        ("QOSGrpSubmitJobsLimit", ("counts array tasks", "larger `chunk:`")),
        ("AssocMaxSubmitJobLimit", ("counts array tasks", "larger `chunk:`")),
        ("AssocGrpSubmitJobsLimit", ("counts array tasks", "larger `chunk:`")),
        ("QOSMaxWallDurationPerJobLimit", ("more than QOSMaxWallDurationPerJobLimit", "qos")),
        ("QOSMaxCpuPerUserLimit", ("more than QOSMaxCpuPerUserLimit", "`slurm:`")),
        ("some words of a plugin", ("counts array tasks",)),
    ],
)
def test_the_advice_is_about_the_limit(limit: str, words: tuple[str, ...]) -> None:
    said = (
        f"sbatch: error: {limit}\nsbatch: error: Batch job submission failed: Job violates "
        "accounting/QOS policy (job submit limit, user's size and/or time limits)"
    )
    # As it comes from sbatch, and in the one line that is told.
    for form in (said, said.replace("sbatch: error: ", "").replace("\n", "; ")):
        assert verdict(form) is Verdict.REFUSED
        assert [word for word in words if word not in next_step(form)] == []
        assert lacks_room(form) is ("counts array tasks" in words)


def test_an_array_that_is_too_large_is_not_blamed_on_options() -> None:
    said = "sbatch: error: Batch job submission failed: Invalid job array specification"
    assert "`chunk:`" in next_step(said)
    assert not lacks_room(said)
    assert next_step("sbatch: error: Batch job submission failed: Invalid qos specification") == ""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        # 22.05 and 24.11; 26.05 without enable_expedited_requeue.
        (
            "sbatch: option '--requeue' doesn't allow an argument",
            "older than 25.11",
        ),
        (
            f"sbatch: error: Batch job submission failed: {UNSUPPORTED}",
            "has not switched it on",
        ),
    ],
)
def test_a_cluster_without_expedited_requeues(said: str, words: str) -> None:
    assert verdict(said) is Verdict.REFUSED
    assert words in next_step(said)
    assert "requeue: expedite" in next_step(said)
