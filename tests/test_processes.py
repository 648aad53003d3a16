"""Two processes share a batch: the same losses as one, one writer, and no end in a hang."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ippy.train import Stopped

from .stopping import stop_after

RUNS = Path(__file__).parent / "runs"
BOUND = 120  # seconds within which whatever happens must have happened

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs torchrun and signals"),
    pytest.mark.usefixtures("ctrl_c_is_heard"),
]


def launch(script, folder, **environment):
    """Start a script in two processes; they and their launcher form a group of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    quiet = {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    return subprocess.Popen(
        [*command, str(RUNS / script), str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env=os.environ | quiet | environment, start_new_session=True,
    )  # fmt: skip


def ended(job):
    """Wait for a job and return its exit status and what it said."""
    try:
        said = job.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        job.kill()
        raise
    return job.returncode, *said


def begin_alone(tiny, target, monkeypatch):
    """Begin the tiny run in this process, and stop it after step 20."""
    stop_after(monkeypatch, 20)
    with pytest.raises(Stopped):
        tiny.train(target)
    monkeypatch.undo()


def test_two_processes_do_what_one_does(tiny, course, monkeypatch):
    alone = tiny.train(course / "alone" / "m.pth")[1]
    begin_alone(tiny, course / "begun" / "m.pth", monkeypatch)
    status, out, err = ended(launch("shared.py", course, IPPY_COURSE=str(course)))
    assert status == 0, err
    for name in ("together", "begun"):
        lines = [json.loads(line) for line in out.splitlines() if line.startswith(f'{{"{name}"')]
        assert len(lines) == 2 and lines[0][name]["loss"] == lines[1][name]["loss"]
        result = lines[0][name]
        assert result["loss"] == pytest.approx(alone.loss, rel=1e-4)
        assert result["step"] == alone.step and result["device"].startswith("2 processes, cpu")
        written = [path.name for path in (course / name).iterdir() if path.name[0] != "."]
        assert sorted(written) == ["m.pth", "manifest.json"]

    assert out.count("Training CNN") == 2 and out.count("CNN is finished") == 1
    assert sorted(re.findall(r"status (\d)", out)) == list("000022")  # lines may run together
    assert err.count("2 processes can't share a batch of 3 slices equally") == 1
    entry = json.loads((course / "weights" / "manifest.json").read_text(encoding="utf-8"))["CNN"]
    assert entry["recipe"]["batch_size"] == 2 and entry["test"]["images"] == 1


@pytest.fixture
def endless(tmp_path):
    """Two processes in the middle of a run: the job, the ids of its processes, the target."""
    job = launch("long.py", tmp_path)
    state, begun = tmp_path / "m.run.pth", time.monotonic()
    while not state.exists() and job.poll() is None and time.monotonic() < begun + BOUND:
        time.sleep(0.05)
    assert state.exists(), job.communicate(timeout=BOUND)[1]
    yield job, [int((tmp_path / rank).read_text(encoding="utf-8")) for rank in "01"], state
    if job.poll() is None:
        os.killpg(job.pid, signal.SIGKILL)
    job.communicate(timeout=BOUND)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_job(endless, victim):
    job, pids, state = endless
    os.kill(pids[victim], signal.SIGKILL)
    status, _, err = ended(job)
    assert status != 0 and "SIGKILL" in err
    assert torch.load(state, weights_only=True)["state"]["step"] > 0


def test_ctrl_c_stops_all_processes_after_the_same_step(endless):
    job, _, state = endless
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does
    status, _, err = ended(job)
    steps = re.findall(r"Stopped: stopped after step (\d+) of", err)
    assert status != 0 and len(steps) == 2 and len(set(steps)) == 1
    assert torch.load(state, weights_only=True)["state"]["step"] == int(steps[0])
