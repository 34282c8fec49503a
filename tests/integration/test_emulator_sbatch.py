"""sbatch's words and exit codes, as Slurm 22.05.8 has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulated import Emulated

FAILED = "sbatch: error: Batch job submission failed: "
NO_NODE = FAILED + "Requested node configuration is not available\n"
TRY = 'Try "sbatch --help" for more information\n'
TOO_LONG = FAILED + "Pathname of a file, directory or other parameter too long\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    with Emulated(tmp_path_factory.mktemp("sbatch") / "state") as one:
        (one.work / "ok.sh").write_text("#!/bin/sh\ntrue\n")
        yield one


@pytest.mark.parametrize(
    ("options", "code", "stderr"),
    [
        ("--frobnicate", 255, "sbatch: unrecognized option '--frobnicate'\n" + TRY),
        ("-Z", 255, "sbatch: invalid option -- 'Z'\n" + TRY),
        (
            "--ti=5",
            255,
            "sbatch: option '--ti' is ambiguous; possibilities: '--time' '--time-min'\n" + TRY,
        ),
        ("--hold=3", 255, "sbatch: option '--hold' doesn't allow an argument\n" + TRY),
        ("-t abc", 255, "sbatch: error: Invalid --time specification\n"),
        ("-t 5m", 255, "sbatch: error: Invalid --time specification\n"),
        ("-t 1:2:3:4", 255, "sbatch: error: Invalid --time specification\n"),
        ("-t 1-0-0", 255, "sbatch: error: Invalid --time specification\n"),
        ("--mem=abc", 255, "sbatch: error: Invalid --mem specification\n"),
        ("--mem=1.5G", 255, "sbatch: error: Invalid --mem specification\n"),
        ("--mem=500B", 255, "sbatch: error: Invalid --mem specification\n"),
        ("--open-mode=foo", 255, "sbatch: error: Invalid --open-mode specification\n"),
        ("--signal=FOO@5", 255, "sbatch: error: Invalid --signal specification\n"),
        ("--signal=USR1@70000", 255, "sbatch: error: Invalid --signal specification\n"),
        ("--signal=B:", 255, "sbatch: error: Invalid --signal specification\n"),
        (
            "--begin=garbage",
            255,
            (
                "Invalid time specification (pos=0): garbage\n"
                "sbatch: error: Invalid --begin specification\n"
            ),
        ),
        ("-c 0", 1, 'sbatch: error: Invalid numeric value "0" for --cpus-per-task.\n'),
        ("-c x", 1, 'sbatch: error: Invalid numeric value "x" for --cpus-per-task.\n'),
        ("-n 0", 1, 'sbatch: error: Invalid numeric value "0" for --ntasks.\n'),
        (
            "-p nope",
            1,
            "sbatch: error: invalid partition specified: nope\n"
            + FAILED
            + "Invalid partition name specified\n",
        ),
        (
            "--mem=4001",
            1,
            "sbatch: error: Memory specification can not be satisfied\n" + NO_NODE,
        ),
        ("-c 5", 1, "sbatch: error: CPU count per node can not be satisfied\n" + NO_NODE),
        ("--gres=gpu:1", 1, "sbatch: error: Invalid generic resource (gres) specification\n"),
        ("--gpus=1", 1, "sbatch: error: Invalid generic resource (gres) specification\n"),
        (
            "--mem=1G --mem-per-cpu=500",
            1,
            "sbatch: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.\n",
        ),
        ("-C feat", 1, FAILED + "Invalid feature specification\n"),
        ("--reservation=x", 1, FAILED + "Requested reservation is invalid\n"),
        ("-L lic", 1, FAILED + "Invalid license specification\n"),
        ("-d afterok:abc", 1, FAILED + "Job dependency problem\n"),
        ("-d bogus:1", 1, FAILED + "Job dependency problem\n"),
        ("--array=5-2", 1, FAILED + "Invalid job array specification\n"),
        ("--array=1001", 1, FAILED + "Invalid job array specification\n"),
        ("--array=" + "1," * 2048 + "1", 1, TOO_LONG),
        ("-J " + "x" * 1025, 1, TOO_LONG),
        (
            "--overcommit",
            1,
            "sbatch: error: hpcsweep emulator: option --overcommit is not emulated\n",
        ),
    ],
)
def test_refused_options(cluster: Emulated, options: str, code: int, stderr: str) -> None:
    done = cluster.run("sbatch", *options.split(), "ok.sh")
    assert (done.returncode, done.stderr, done.stdout) == (code, stderr, "")


def test_a_job_is_kept_or_refused_whatever_directive_asks(cluster: Emulated) -> None:
    script = "#!/bin/sh\n#SBATCH --bogus\ntrue\n"
    done = cluster.run("sbatch", stdin=script)
    assert (done.returncode, done.stderr) == (255, "sbatch: unrecognized option '--bogus'\n" + TRY)
    done = cluster.run("sbatch", "ok.sh", SBATCH_CONTAINER="x")
    expected = "sbatch: error: hpcsweep emulator: variable SBATCH_CONTAINER is not emulated\n"
    assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.parametrize(
    ("script", "stderr"),
    [
        (
            "true\n",
            (
                "sbatch: error: This does not look like a batch script.  The first\n"
                "sbatch: error: line must start with #! followed by the path to an interpreter.\n"
                "sbatch: error: For instance: #!/bin/sh\n"
            ),
        ),
        ("", "sbatch: error: Batch script is empty!\n"),
        ("\n \n", "sbatch: error: Batch script contains only whitespace!\n"),
        (
            "#!/bin/sh\r\ntrue\r\n",
            (
                "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n"
                "sbatch: error: instead of expected UNIX line breaks (\\n).\n"
            ),
        ),
    ],
)
def test_refused_scripts(cluster: Emulated, script: str, stderr: str) -> None:
    path = cluster.work / "bad.sh"
    path.write_bytes(script.encode())
    done = cluster.run("sbatch", "bad.sh")
    assert (done.returncode, done.stderr) == (1, stderr)


def test_a_script_that_is_not_there(cluster: Emulated) -> None:
    done = cluster.run("sbatch", "/nonexistent.sh")
    assert done.stderr == "sbatch: error: Unable to open file /nonexistent.sh\n"
    assert cluster.run("sbatch", "/tmp").stderr == "sbatch: error: Batch script is empty!\n"
    done = cluster.run("sbatch", "--wrap", "true", "ok.sh")
    expected = "sbatch: error: Script arguments not permitted with --wrap option\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_submit_prints_the_id_on_success(cluster: Emulated) -> None:
    assert cluster.out("sbatch", "--version") == "slurm-wlm 22.05.8\n"
    assert cluster.out("sbatch", "-Q", "ok.sh") == ""
    said = cluster.out("sbatch", "ok.sh")
    job = int(said.removeprefix("Submitted batch job "))
    assert cluster.submit("--array=0-1", "ok.sh") == job + 1


@pytest.mark.parametrize(
    ("script", "options", "variables", "shown"),
    [
        ("#SBATCH -J foo -t 7 # trailing", "", {}, "foo|7:00|1"),
        ('#SBATCH -J "two words" -c 2', "", {}, "two words|UNLIMITED|2"),
        ("\n# comment\n\n#SBATCH -J late\n # x\n#SBATCH -t 9", "", {}, "late|9:00|1"),
        (
            "##SBATCH -J no\n #SBATCH -t 9\n#SBATCH  -c 2\n#sbatch -J no",
            "",
            {},
            "sbatch|UNLIMITED|2",
        ),
        ("true\n#SBATCH -J no", "", {}, "sbatch|UNLIMITED|1"),
        ("#SBATCH -J a", "", {"SBATCH_JOB_NAME": "env"}, "env|UNLIMITED|1"),
        ("#SBATCH -t 5", "-t 22", {"SBATCH_TIMELIMIT": "33"}, "sbatch|22:00|1"),
        ("", "-t 1:30", {}, "sbatch|2:00|1"),
        ("", "-t 1-2:3:4", {}, "sbatch|1-02:04:00|1"),
        ("", "-t 0:30", {}, "sbatch|1:00|1"),
        ("", "-t 0", {"SBATCH_COMMENT": "no effect"}, "sbatch|UNLIMITED|1"),
    ],
)
def test_where_options_come_from(
    cluster: Emulated, script: str, options: str, variables: dict[str, str], shown: str
) -> None:
    text = f"#!/bin/sh\n{script}\ntrue\n"
    done = cluster.run("sbatch", "--parsable", "-H", *options.split(), stdin=text, **variables)
    job = done.stdout.strip()
    assert cluster.out("squeue", "-h", "-j", job, "-o", "%j|%l|%C") == f"{shown}\n"
    cluster.out("scancel", job)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("0-3", "_[0-3]"),
        ("1-9:2", "_[1,3,5,7,9]"),
        ("0-15%4", "_[0-15%4]"),
        ("0-3%2,7", "_[0-3,7%2]"),
        ("%3", "_[0%3]"),
        ("", ""),
        (",", ""),
        ("7", "_[7]"),
    ],
)
def test_arrays_in_the_queue(cluster: Emulated, given: str, shown: str) -> None:
    job = cluster.submit("-H", f"--array={given}", "ok.sh")
    assert cluster.out("squeue", "-h", "-j", str(job), "-o", "%i") == f"{job}{shown}\n"
    cluster.out("scancel", str(job))


def test_more_jobs_than_the_cluster_holds(tmp_path: Path) -> None:
    # The real one asks again for two minutes, so only its first line is waited for.
    with Emulated(tmp_path / "full", max_job_count=3) as full:
        full.submit("-H", "--array=0-2", "--wrap", "true")
        script = 'timeout 1 sbatch -H --wrap true; echo "$?"'
        done = full.run("sh", "-c", script)
        said = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
        assert (done.stdout, done.stderr) == ("124\n", said)
