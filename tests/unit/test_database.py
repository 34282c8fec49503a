"""A private PostgreSQL without a server: its files, and the messages about it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.cli import main
from hpcsweep.database import configuration, control, find, programs, server, service_file
from hpcsweep.database.control import ServerState, ServerStatus
from hpcsweep.database.directory import DatabaseDirectory, ServerRecord
from hpcsweep.database.options import job_options
from hpcsweep.errors import Damaged, InputError, StoreError
from hpcsweep.liveness import pid_namespace, this_process
from hpcsweep.settings import Profile, Settings
from hpcsweep.sources import grid
from tests.support.console_blocks import blocks, commands, looks_like
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

PAGE = Path(__file__).parents[2] / "docs/reference/sweep-index.md"
NO_PROFILE = Profile({}, lambda _: "")

# --- the service file ----------------------------------------------------------------------------

THEIRS = "# mine\n[lab]\nhost=db.example\n# a remark\n\n  [ other ]\nport=1\n"


def test_a_section_is_replaced_and_all_else_stays() -> None:
    first = service_file.with_section(THEIRS, "pg", ["host=/a", "port=1"])
    assert first == f"{THEIRS}[pg]\nhost=/a\nport=1\n"
    again = service_file.with_section(first + "[last]\nport=9\n", "pg", ["host=/b"])
    assert again == f"{THEIRS}[pg]\nhost=/b\n\n[last]\nport=9\n"
    assert service_file.section(again, "pg") == ["host=/b"]
    assert service_file.section(again, "lab") == ["host=db.example", "# a remark"]
    assert service_file.section(again, "nosuch") is None
    assert service_file.with_section("", "pg", ["host=/a"]) == "[pg]\nhost=/a\n"


@given(st.text(alphabet="[]ab=# \n\t\r\x85", max_size=60), st.sampled_from(["a", "b", "ab"]))
def test_any_file_keeps_its_other_lines(text: str, name: str) -> None:
    wanted = ["host=here"]
    made = service_file.with_section(text, name, wanted)
    assert service_file.section(made, name) == wanted
    assert service_file.with_section(made, name, wanted) == made
    own = service_file.section(text, name) or []
    others = [line for line in text.split("\n") if line.strip() not in {"", *own, f"[{name}]"}]
    assert [line for line in others if line not in made.split("\n")] == []


def test_a_section_is_published_beside_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "dotfiles"
    real.write_text(THEIRS)
    path = tmp_path / "services"
    path.symlink_to(real)
    monkeypatch.setenv("PGSERVICEFILE", str(path))
    service_file.publish("pg", tmp_path / "db", ["host=/a"])
    service_file.publish("pg", tmp_path / "db", ["host=/b"])
    assert path.is_symlink()
    assert real.read_text() == f"{THEIRS}[pg]\n# hpcsweep db: {tmp_path}/db\nhost=/b\n"
    assert real.stat().st_mode & 0o777 == 0o600
    assert service_file.owner("pg") == f"{tmp_path}/db"
    for name, said in (("lab", "another one"), ("pg", f"that of {tmp_path}/db")):
        with pytest.raises(StoreError, match=f"is {said} already") as caught:
            service_file.publish(name, tmp_path / "second", ["host=/c"])
        assert "--service" in caught.value.next_step
    assert "host=/c" not in real.read_text()


# --- what the server is told ---------------------------------------------------------------------


def test_a_server_has_a_socket_or_tls() -> None:
    files = {"certificate": Path("/d/server.crt"), "key": Path("/d/server.key")}
    odd = '/it\'s a \\ "path"'
    by_socket = configuration.server_settings(socket_directory=odd, port=5432, **files)
    assert "listen_addresses = ''\n" in by_socket
    assert 'unix_socket_directories = \'"/it\'\'s a \\\\ ""path"""\'\n' in by_socket
    assert "ssl" not in by_socket
    assert configuration.access_rules(odd) == "local all all scram-sha-256\n"
    by_tls = configuration.server_settings(socket_directory="", port=15000, **files)
    assert "unix_socket_directories = ''\n" in by_tls
    assert "ssl = 'on'\n" in by_tls
    assert "ssl_key_file = '/d/server.key'\n" in by_tls
    assert configuration.access_rules("") == "hostssl all all all scram-sha-256\n"


def test_the_path_of_a_socket_is_measured_in_bytes() -> None:
    longest = "x" * (configuration.SOCKET_PATH_MAX - len("//.s.PGSQL.5432"))
    assert configuration.fits_socket(Path(f"/{longest}"))
    assert not configuration.fits_socket(Path(f"/x{longest}"))
    assert not configuration.fits_socket(Path(f"/é{longest[1:]}"))


def test_no_room_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    directory = DatabaseDirectory.create(deep, "pg")
    made = Path(server.make_socket_directory(directory))
    assert made.parent == Path(os.environ["TMPDIR"])
    assert made.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(StoreError, match="at most 107 bytes") as caught:
        server.make_socket_directory(directory)
    assert "TMPDIR" in caught.value.next_step


def test_options_of_a_job() -> None:
    profile = Profile({"slurm": {"partition": "long", "mem": "2G"}}, lambda path: f"config:{path}")
    sets = {"slurm.mem-per-cpu": "1G", "slurm.time": 60, "settings.grace_s": 1}
    options = job_options(profile, sets, ())
    assert options == {"partition": "long", "mem-per-cpu": "1G", "time": "60"}
    argv = ["/a b/python", "x"]
    assert configuration.job_script(options, argv).splitlines() == [
        "#!/bin/bash",
        "#SBATCH --partition=long",
        "#SBATCH --mem-per-cpu=1G",
        "#SBATCH --time=60",
        "#SBATCH --no-requeue",
        "#SBATCH --signal=B:TERM@60",
        "exec '/a b/python' x",
    ]
    for wrong in ({"slurm.array": "1"}, {"slurm.time": "soon"}, {"slurm.nosuch": "1"}):
        with pytest.raises(InputError, match="slurm: ") as caught:
            job_options(NO_PROFILE, wrong, ())
        assert caught.value.where == f"--set {next(iter(wrong))}"


# --- the programs --------------------------------------------------------------------------------


def install(directory: Path, version: str) -> None:
    """Programs that say which PostgreSQL they are."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (directory / name).chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without PostgreSQL."""
    monkeypatch.setattr(programs, "USUAL_PLACES", (f"{tmp_path}/usr/*/bin",))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path


def test_where_no_postgresql_is_installed(bare: Path) -> None:
    with pytest.raises(StoreError, match="PostgreSQL is not installed here") as caught:
        programs.find_programs()
    for way in ("module avail postgresql", "conda install", "apt install"):
        assert way in caught.value.next_step
    # And nothing was written.
    with pytest.raises(StoreError, match=r"root|not installed"):
        control.open_or_create(bare / "db", None)
    assert not (bare / "db").exists()


def test_the_users_own_comes_first_and_the_version_decides(bare: Path) -> None:
    broken = bare / "bin/pg_config"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    install(bare / "usr/9/bin", "9.6.24")
    install(bare / "usr/17/bin", "17.2 (Debian 17.2-1)")
    assert programs.find_programs().version == 17
    install(bare / "prefix/bin", "16.1")
    assert programs.find_programs().directory == bare / "prefix/bin"
    install(bare / "module/bin", "15.5")
    os.environ["PATH"] = f"{bare}/module/bin"
    assert programs.find_programs().version == 15
    assert programs.find_programs(17).directory == bare / "usr/17/bin"
    with pytest.raises(StoreError, match="are of PostgreSQL 14, and here is 9, 15, 16, 17"):
        programs.find_programs(14)


def test_the_cause_is_read_from_the_log() -> None:
    log = (
        "2026-01-01 LOG:  starting\n"
        "2026-01-01 FATAL:  could not write: No space left on device\n2026-01-01 LOG:  down\n"
    )
    assert programs.complaint(log) == "could not write: No space left on device"
    assert "make room" in programs.remedy(log)
    assert programs.complaint("a\nlast words\n\n") == "last words"
    assert programs.complaint("") == "it said nothing"
    assert programs.remedy("") == ""


# --- the directory and its record ----------------------------------------------------------------


def record(**changes: object) -> ServerRecord:
    """The record of a server that this host started."""
    here = this_process()
    found: dict[str, object] = {
        "host": here["host"],
        "boot_id": here["boot_id"],
        "pid_namespace": pid_namespace(),
        "port": 5432,
        "socket": "",
        "started": 1.0,
        "job": None,
    }
    return found | changes  # type: ignore[return-value]  # what is wrong on purpose, too


JOB = {"id": "1", "cluster": {"kind": "slurm", "name": "x", "state_dir": ""}}
TABLE = {
    "no server": (None, ServerState.STOPPED),
    "a server that is gone": (record(), ServerState.STOPPED),
    "before this host was started again": (record(boot_id="other"), ServerState.STOPPED),
    "another host": (record(host="elsewhere", boot_id="other"), ServerState.UNKNOWN),
    "another container": (record(host="elsewhere", pid_namespace="other"), ServerState.UNKNOWN),
    "a job where there is no Slurm": (record(job=JOB), ServerState.UNKNOWN),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_a_record_says(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    directory = DatabaseDirectory.create(tmp_path / "db", "pg")
    found, state = TABLE[case]
    if found is not None:
        directory.write_record(found)
        assert directory.record() == found
    seen = control.poll(directory, Settings())
    assert seen.state is state
    if state is ServerState.UNKNOWN:
        for call in (control.stop, control.start_here):
            with pytest.raises(StoreError, match="not known whether its server runs") as caught:
                call(directory, Settings())
            assert caught.value.next_step
        assert directory.record() == found


def test_a_process_that_reuses_the_id_is_not_the_server(tmp_path: Path) -> None:
    directory = DatabaseDirectory.create(tmp_path / "db", "pg")
    directory.data.mkdir()
    lock = directory.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n")
    assert server.postmaster(directory) is None
    argv = ["sh", "-c", "read line", "postgres", "-D", str(directory.data)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as running:
        lock.write_text(f"{running.pid}\n")
        wait_until(lambda: server.postmaster(directory) == running.pid, 60, "its command line")
        running.communicate(b"\n")
    assert server.postmaster(directory) is None


def test_the_lock_of_a_server_that_we_did_not_start_stays(tmp_path: Path) -> None:
    directory = DatabaseDirectory.create(tmp_path / "db", "pg")
    directory.data.mkdir()
    lock = directory.data / "postmaster.pid"
    lock.write_text("1\n")
    assert control.stop(directory, Settings()) is False
    assert lock.exists()
    directory.write_record(record(socket=str(directory.path)))
    (directory.path / ".s.PGSQL.5432.lock").touch()
    assert control.stop(directory, Settings()) is False
    assert {one.name for one in directory.path.iterdir()} == {"database.json", ".claims", "data"}
    assert not lock.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"host": 1}', '{"port": 99999999}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    directory = DatabaseDirectory.create(tmp_path / "db", "pg")
    (directory.path / "server.json").write_text(text)
    with pytest.raises(Damaged, match=r"server\.json: is damaged: ") as caught:
        control.poll(directory, Settings())
    assert "--rebuild" in caught.value.next_step


def test_what_cannot_become_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(programs, "find_programs", lambda: None)
    (tmp_path / ".pg_service.conf").write_text("[lab]\nhost=db.example\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    wrong = {
        tmp_path: "something else",
        tmp_path / "a,b": "a comma",
        tmp_path / "lab": "the service 'lab' is another one already",
        tmp_path / "-": "cannot be the name of a service",
    }
    for path, said in wrong.items():
        with pytest.raises((StoreError, InputError), match=said) as caught:
            control.open_or_create(path, None)
        assert caught.value.next_step
    assert [one.name for one in tmp_path.iterdir()] == [".pg_service.conf"]
    made = control.open_or_create(tmp_path / "db", "mine")
    assert made.path.stat().st_mode & 0o777 == 0o700
    assert control.open_or_create(tmp_path / "db", None).service == "mine"
    with pytest.raises(StoreError, match="the service of this database is 'mine'"):
        control.open_or_create(tmp_path / "db", "other")


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_root_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["db", "start", str(tmp_path / "db")])
    assert result.exit_code == StoreError.exit_code
    assert "PostgreSQL refuses to run as root" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_page_shows_what_a_start_on_a_node_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (block for _, block in blocks(PAGE.read_text()) if block.startswith("$ hpcsweep db"))
    ((line, shown),) = commands(block)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    path = DatabaseDirectory.create(tmp_path / "sweeps-db", "sweeps-db").path
    started = ServerStatus(
        state=ServerState.RUNNING, record=record(host="node17", job=JOB | {"id": "4711"})
    )
    monkeypatch.setattr(control, "start_on_node", lambda *_: started)
    arguments = ["--cluster=emulated", *shlex.split(line.replace("~/sweeps-db", str(path)))[3:]]
    done = CliRunner().invoke(main, ["db", "start", *arguments], catch_exceptions=False)
    assert looks_like(shown, done.stdout.replace(str(path), "/home/me/sweeps-db"))


def test_a_network_file_system_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    DatabaseDirectory.create(tmp_path / "db", "mine")
    monkeypatch.setattr(control, "start_here", lambda *_: ServerStatus(state=ServerState.RUNNING))
    monkeypatch.setattr("hpcsweep.store.filesystem.filesystem_type", lambda *_: "lustre")
    result = CliRunner().invoke(main, ["db", "start", str(tmp_path / "db")])
    assert result.exit_code == 0
    assert "store: postgresql:///?service=mine\n" in result.stdout
    assert "db is on lustre. PostgreSQL needs hard mounts there" in result.stderr
    assert "ingest SWEEP --rebuild" in " ".join(result.stderr.split())


def test_a_start_leads_clients_to_the_server_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    directory = DatabaseDirectory.create(tmp_path / "db", "mine")
    directory.write_record(record(socket=str(directory.path)))
    monkeypatch.setattr(server, "postmaster", lambda _: 1)
    assert control.start_here(directory, Settings()).state is ServerState.RUNNING
    text = (tmp_path / ".pg_service.conf").read_text()
    assert service_file.section(text, "mine") == [
        f"# hpcsweep db: {directory.path}",
        f"host={directory.path}",
        "port=5432",
        "dbname=postgres",
        "user=hpcsweep",
        f"passfile={directory.password_file}",
    ]


def test_which_database_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    directory = DatabaseDirectory.create(tmp_path / "db", "mine")
    assert find.find_database("db", ".").path == directory.path
    store = "postgresql:///?service=mine"
    made = MadeSweep(tmp_path, grid(x=[1]), store=store)
    made.plan()
    with pytest.raises(StoreError, match="service 'mine' is not that of a database"):
        find.find_database(str(made.path), ".")
    service_file.publish("mine", directory.path, ["host=/a"])
    assert find.find_database(str(made.path), ".").path == directory.path
    for changed, said in (("sqlite", "is a file"), ("postgresql://db/x", "no service names")):
        made.freeze(grid(x=[1, 2]), store=changed)
        made.plan()
        with pytest.raises(StoreError, match=said):
            find.find_database(str(made.path), ".")
    with pytest.raises(StoreError, match="neither a database nor a sweep 'nosuch'"):
        find.find_database("nosuch", ".")
