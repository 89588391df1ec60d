"""Kill a real training run with SIGKILL at random moments, resume it each time, and compare with an unbroken one.

Run `python tests/train/kill_and_resume.py --times 20`; the suite does it once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

EPOCHS = 6


def write_faces(folder: Path) -> None:
    """Eight classes of noise in the layout of an image folder."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("validation", 2)):
        for label in range(8):
            place = folder / split / f"class{label}"
            place.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(place / f"{i}.png")


def command(data: Path, out: Path, resume: bool) -> list[str]:
    """A short run with everything that has a state: centres, average, momentum, schedule."""
    settings = [
        "model=test_resnet", "dataset=folder", f"data={data}", f"out={out}", f"epochs={EPOCHS}", "batch_size=8",
        "sizes={0: 32}", "loss=ce + 0.1*cosine_harmony + 0.01*center", "ema=0.9", "mixup=0.2", "sched=cosine",
        "threads=1", "device=cpu",
    ]  # fmt: skip
    return [sys.executable, "-m", "ferzoo.cli.main", "train", *settings, *(["--resume"] if resume else [])]


def run(data: Path, out: Path, resume: bool = False) -> None:
    """Train to the end.

    Raises:
        RuntimeError: If the run fails; holds what it printed.
    """
    done = subprocess.run(command(data, out, resume), capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)


def kill(data: Path, out: Path, after: float) -> bool:
    """Start or resume a run and kill it some seconds after its first finished epoch of this start.

    Args:
        data: The faces.
        out: The run's folder.
        after: Seconds.

    Returns:
        Whether the run was still going on.
    """
    state = out / "state.pt"
    before = state.stat().st_mtime_ns if state.exists() else 0
    process = subprocess.Popen(command(data, out, state.exists()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.01)
    time.sleep(after)
    going = process.poll() is None
    if going:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return going


def different(one: Path, other: Path) -> list[str]:
    """Names of the tensors in which two runs differ, in any bit."""
    out = []
    states = [torch.load(folder / "state.pt", weights_only=True) for folder in (one, other)]
    parts = [
        *(tuple(s[key] for s in states) for key in ("model", "ema")),
        tuple(s["objective"]["loss"] for s in states),
        (load_file(one / "model.safetensors"), load_file(other / "model.safetensors")),
    ]
    for ours, theirs in parts:
        assert ours.keys() == theirs.keys()
        out += [name for name in ours if not torch.equal(ours[name], theirs[name])]
    return out


def main() -> int:
    """Kill and resume as often as asked; 0 where every run ended in the same bits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    choose = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_faces(root / "faces")
        run(root / "faces", root / "whole")
        for i in range(args.times):
            out, kills = root / f"run{i}", 0
            # Twice in each run: at a random moment of an epoch, then of a later one.
            for _ in range(2):
                kills += kill(root / "faces", out, choose.uniform(0, 0.5))
            run(root / "faces", out, resume=True)
            wrong = different(root / "whole", out)
            left = [path.name for path in out.iterdir() if path.name.startswith(".")]
            print(f"run {i + 1}: killed {kills} times, {len(wrong)} tensors differ, left behind: {left or 'nothing'}")
            if wrong or left:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
