"""The ancestors' pages: their programs run with only the import changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hpcsweep as hs
from hpcsweep import compat

SWEEP = """
from {home} import Logbook
import numpy as np
import itertools

omegas = [1.0, 2.0, 3.0]
dts = [1e-2, 1e-3]

for omega, dt in itertools.product(omegas, dts):
    run_id = f"omega{{omega}}_dt{{dt}}"
    params = {{"omega": omega, "dt": dt, "steps": 1000}}

    with Logbook(run_id, params=params) as log:
        x, v = 1.0, 0.0
        xs = np.empty(params["steps"])

        for n in range(params["steps"]):
            a = -omega**2 * x
            x += v*dt + 0.5*a*dt*dt
            a_new = -omega**2 * x
            v += 0.5*(a + a_new)*dt
            xs[n] = x

        log.{array}("x", xs)
        log.{json}("final_state", {{"x": float(x), "v": float(v)}})
        energy = 0.5 * (v**2 + (omega * x)**2)
        log.{json}("final_metrics", {{"E": float(energy)}})
"""

RESUME = """
import json
from pathlib import Path

for path in Path("outputs").glob("log_*"):
    meta = path / "metadata.json"
    if not meta.exists():
        continue
    status = json.loads(meta.read_text()).get("status")
    if status != "complete":
        print(f"Will re-run: {path.name}")
"""

RUNS = [f"log_omega{omega}_dt{dt}" for omega in (1.0, 2.0, 3.0) for dt in (0.001, 0.01)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(program: str) -> None:
    exec(compile(program, "page", "exec"), {"__name__": "page"})  # noqa: S102  # it is ours


def check_runs() -> None:
    outputs = Path("outputs")
    assert sorted(path.name for path in outputs.glob("log_*")) == RUNS
    # jq '.E' outputs/log_*/artifacts/final_metrics.json
    found = [
        json.loads(path.read_text()) for path in outputs.glob("*/artifacts/final_metrics.json")
    ]
    assert len(found) == len(RUNS)
    assert all(one["E"] == pytest.approx(round(one["E"] * 2) / 2, rel=0.05) for one in found)


def test_parameter_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    run(SWEEP.format(home="hpcsweep", array="array", json="json"))
    check_runs()
    assert np.load("outputs/log_omega1.0_dt0.01/data/x.npy").shape == (1000,)
    meta = Path("outputs/log_omega2.0_dt0.01/metadata.json")
    meta.write_text(meta.read_text().replace('"complete"', '"failed"'))
    run(RESUME)
    assert capsys.readouterr().out == "Will re-run: log_omega2.0_dt0.01\n"


def test_parameter_sweeps_with_the_names_of_0_1() -> None:
    run(SWEEP.format(home="hpcsweep.compat", array="save_numpy", json="save_json"))
    check_runs()
    with np.load("outputs/log_omega1.0_dt0.01/data/x.npz") as found:
        assert found["data"].shape == (1000,)


def test_a_logbook_has_no_names_of_0_1() -> None:
    known = {name for name in vars(compat.Logbook) if not name.startswith("_")}
    assert {name for name in known if hasattr(hs.Logbook, name)} == {"elapsed"}


def test_an_experiment_of_0_1_has_runs_of_0_1() -> None:
    log = compat.Experiment("e").add(omega=1.0)
    assert isinstance(log, compat.Logbook)
    log.save_json("c", {"y": 1})
    log.mark_complete()
    assert json.loads((log.path / "artifacts/c.json").read_text()) == {"y": 1}


def test_all_names_of_0_1() -> None:
    from hpcsweep.compat import Logbook  # noqa: PLC0415  # as the page does

    log = Logbook("a", params={"omega": 1.0}, overwrite=True, preallocate=False)
    assert log.current_status() == "initialized"
    assert log.elapsed() >= 0
    assert float(log.elapsed) >= 0
    log.save_params({"dt": 1.0})
    assert dict(log.params) == {"dt": 1.0}
    log.log("hello")
    log.save_arrays("b", category="extra", x=[1])
    log.save_json("c", {"y": 1}, category="diagnostics")
    log.save_text(name="d", text="text")
    log.info(msg="keywords are theirs, too")
    log.save_bytes("e.bin", b"\0", category="raw")
    log.save_pickle("f", [1])
    log.artifact_path("deep", "g.txt").write_text("g")
    assert log.exists("deep/g.txt")
    assert log.exists("deep")
    assert not log.exists("deep/none.txt")
    assert not log.exists("nowhere/none.txt")
    assert log.artifact_path("nowhere", "h.txt", create=False) == log.path / "nowhere" / "h.txt"
    assert not (log.path / "nowhere").exists()
    log.mark_complete()
    files = {str(one.relative_to(log.path)) for one in log.path.rglob("*") if one.is_file()}
    assert files == {
        "extra/b.npz",
        "diagnostics/c.json",
        "artifacts/d.txt",
        "raw/e.bin",
        "artifacts/f.pkl",
        "deep/g.txt",
        "log.txt",
        "metadata.json",
        "params.yaml",
    }
    assert (log.path / "plots").is_dir()


EXPERIMENT = """
from hpcsweep import Experiment

exp = Experiment("oscillator_sweep")

for omega in [1.0, 2.0]:
    for dt in [1e-3, 2e-3]:
        log = exp.add(omega=omega, dt=dt, steps=10_000, skip_existing=True)

        if log is None:
            continue  # skip if this run already exists

        with log:
            ...
            log.json("metrics", {"final_energy": 0.993})

log = exp.add(omega=3.0, dt=1e-3, steps=5000)

try:
    ...
    log.json("metrics", {"final_energy": 0.998})
    log.mark_complete()  # explicitly mark success
except Exception as e:
    log.mark_failed(str(e))

df = exp.to_dataframe()
complete = df[df["status"] == "complete"]
print(complete[["omega", "dt", "final_energy"]])
"""


def test_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    run(EXPERIMENT)
    assert sorted(path.name for path in Path("outputs/oscillator_sweep/runs").glob("log_*")) == [
        "log_oscillator_sweep_dt_0.001_omega_1_steps_10000",
        "log_oscillator_sweep_dt_0.001_omega_2_steps_10000",
        "log_oscillator_sweep_dt_0.001_omega_3_steps_5000",
        "log_oscillator_sweep_dt_0.002_omega_1_steps_10000",
        "log_oscillator_sweep_dt_0.002_omega_2_steps_10000",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["omega", "dt", "final_energy"]
    assert len(lines) == 6
    head = Path("outputs/oscillator_sweep/index.csv").read_text().splitlines()[0]
    assert head == "run_id,dt,omega,steps,status,metrics_status,final_energy"
    with pytest.raises(FileExistsError):  # the last run is there, and is not skipped
        run(EXPERIMENT)
