"""A scoring job that is killed, or whose disk is full, goes on to the very bytes of one that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("resource", reason="needs a Unix")

#: Images after which the jobs are killed, while the rows of the next are being written; each goes on where the one
#: before was.
PLACES = {"csv": [4, 16, 36], "jsonl": [20]}
#: Runs in a process of its own, because it forks: jobs that kill themselves, and one whose file may not grow.
CODE = """
import json, os, resource, signal, sys
sys.path.insert(0, {tests!r})
import torch
from mean_colour import MeanColour
from ferzoo.errors import FerzooError
from ferzoo.predict import scoring
from ferzoo.predict.predictor import Predictor
from ferzoo.predict.scoring_journal import Output

# What it imports is there before the forks.
Predictor(MeanColour(), detect=False)
torch.set_num_threads(1)


def run(out, limit=None, kill_after=None):
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if kill_after:
        append, scoring.COMMIT = Output._append, 0.0

        def torn(self, data):
            if self.state.images < kill_after:
                return append(self, data)
            append(self, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        Output._append = torn
    try:
        scoring.score({source!r}, out, MeanColour(), detect=False, batch_size=4, workers=2, resume=True)
    except FerzooError as error:
        print(error, flush=True)
        os._exit(3)
    os._exit(0)


def ended(out, **options):
    pid = os.fork()
    if not pid:
        run(out, **options)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed(out, after):
    assert ended(out, kill_after=after) == -signal.SIGKILL
    with open(out + ".progress") as file:
        state = json.load(file)["state"]
    assert os.path.getsize(out) > state["size"]
    return state["images"]


for suffix in ("csv", "jsonl"):
    whole, out, full = ("{folder}/" + name + "." + suffix for name in ("whole", "killed", "full"))
    codes = [ended(whole)]
    places = [killed(out, after) for after in {places}[suffix]]
    codes += [ended(out), ended(full, limit=1500), ended(full)]
    print(json.dumps({{"suffix": suffix, "codes": codes, "places": places}}))
"""


def test_killed_jobs_and_full_disks(tmp_path: Path) -> None:
    source = tmp_path / "crops"
    source.mkdir()
    for i in range(50):
        Image.new("RGB", (8, 8), (3 * i, 255 - 2 * i, i)).save(source / f"{i:02}.png")
    (source / "30.png").write_bytes(b"damaged")
    code = CODE.format(tests=str(Path(__file__).parent), source=str(source), folder=str(tmp_path), places=PLACES)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    results = [json.loads(line) for line in told if line.startswith("{")]
    assert [result["suffix"] for result in results] == ["csv", "jsonl"]
    for result in results:
        assert result["codes"] == [0, 0, 3, 0]
        assert result["places"] == PLACES[result["suffix"]]
        whole, killed, full = (
            (tmp_path / f"{name}.{result['suffix']}").read_bytes() for name in ("whole", "killed", "full")
        )
        assert whole == killed == full and whole.count(b"\n") == 50 + (result["suffix"] == "csv")
    refused = [line for line in told if not line.startswith("{")]
    assert len(refused) == 2 and all("cannot be written: File too large. Nothing is lost" in line for line in refused)
