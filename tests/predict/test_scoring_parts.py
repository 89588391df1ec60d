"""A source in several files: what is not begun may change, and so may the file that was damaged, but no other."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from mean_colour import MeanColour
from PIL import Image
from test_scoring_sources import write_tar

from ferzoo.errors import DataError, FerzooError
from ferzoo.predict.scoring import Summary, score


def noise(number: int) -> bytes:
    """A picture that does not fit into a block of a tar file."""
    data = io.BytesIO()
    Image.effect_noise((40, 40), 50 + number).convert("RGB").save(data, "png")
    return data.getvalue()


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Three archives of ten crops, the second of which is cut off."""
    paths = [
        write_tar(tmp_path / f"s{n}.tar", [(f"{n}{i}.png", noise(10 * n + i)) for i in range(10)]) for n in range(3)
    ]
    (tmp_path / "whole.tar").write_bytes(paths[1].read_bytes())
    paths[1].write_bytes(paths[1].read_bytes()[: paths[1].stat().st_size * 3 // 4])
    return paths


def go(source: Any, out: Path, **changed: Any) -> Summary:
    return score(source, out, MeanColour(), **{"detect": False, "batch_size": 4, "workers": 2, **changed})


def names(out: Path) -> list[str]:
    if out.suffix == ".csv":
        with out.open(encoding="utf-8", newline="") as file:
            return [Path(row["file"]).stem for row in csv.DictReader(file)]
    return [Path(json.loads(line)["file"]).stem for line in out.read_text(encoding="utf-8").splitlines()]


def state(out: Path) -> dict[str, Any]:
    return json.loads(out.with_name(f"{out.name}.progress").read_text())["state"]


NUMBERS = [f"{n}{i}" for n in range(3) for i in range(10)]


@pytest.mark.parametrize("mended", [True, False])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_damaged_shard_is_replaced_or_left_out(shards: list[Path], tmp_path: Path, suffix: str, mended: bool) -> None:
    out = tmp_path / f"r{suffix}"
    with pytest.raises(DataError, match=r"s1\.tar cannot be read after .*, or leave it out\. Then go on with --resume"):
        go(shards, out)
    done = state(out)
    # A group has images of two shards.
    assert done["broken"] and done["part"] == 1 and 10 < done["images"] < 20
    with pytest.raises(DataError, match=r"s1\.tar cannot be read after"):
        go(shards, out, resume=True)
    assert state(out) == {**done, "seconds": state(out)["seconds"]}
    with pytest.raises(FerzooError, match=r"the source is another .*: .*|To begin anew delete it and r\."):
        go(shards[1:], out, resume=True)
    if mended:
        shards[1].write_bytes((tmp_path / "whole.tar").read_bytes())
    else:
        del shards[1]
    finished = go(shards, out, resume=True)
    assert names(out) == (NUMBERS if mended else NUMBERS[:10] + NUMBERS[20:])
    assert finished.resumed == 10 and finished.images == finished.rows == finished.faces == len(names(out))
    go(shards, whole := tmp_path / f"whole{suffix}")
    assert out.read_bytes() == whole.read_bytes()


def test_what_is_not_begun_may_change(shards: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "r.csv"

    def stop(what: str, images: int, total: int) -> None:
        if images >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(shards, out, progress=stop)
    assert state(out)["part"] == 0 and not state(out)["broken"]
    for other in ([shards[2], shards[0]], shards[1:], [tmp_path / "whole.tar"]):
        with pytest.raises(FerzooError, match=r"the source is another .*\. To begin anew delete it and r.csv.progress"):
            go(other, out, resume=True)
    assert go([shards[0], shards[2]], out, resume=True).resumed == 8
    assert names(out) == NUMBERS[:10] + NUMBERS[20:]
    # What is finished has all its parts, and no more.
    with pytest.raises(FerzooError, match="the source is another"):
        go([shards[0], shards[2], tmp_path / "whole.tar"], out, resume=True)
    assert go([shards[0], shards[2]], out, resume=True).images == 20


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("content", [b"", b"no tar"])
def test_a_job_that_fails_before_its_first_row_leaves_nothing(tmp_path: Path, suffix: str, content: bytes) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="comes with the extra train")
    (tmp_path / "s.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read after 0 samples: it is no tar file.*, or leave it out\.$"):
        go(tmp_path / "s.tar", tmp_path / f"r{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]
    write_tar(tmp_path / "s.tar", [("00.png", noise(0))])
    assert go(tmp_path / "s.tar", tmp_path / f"r{suffix}").images == 1


def test_a_job_of_the_version_before_goes_on(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(noise(i))
    source, out = str(tmp_path / "*.png"), tmp_path / "rows.csv"
    go(source, out)
    journal = tmp_path / "rows.csv.progress"
    content = json.loads(journal.read_text())
    del content["job"]["source"]["parts"], content["state"]["broken"]
    content.pop("part", None)
    journal.write_text(json.dumps(content))
    assert go(source, out, resume=True).resumed == 3
    content["job"]["source"]["sha256"] = "0" * 64
    journal.write_text(json.dumps(content))
    with pytest.raises(FerzooError, match="the source is another"):
        go(source, out, resume=True)
    journal.write_text(json.dumps({**content, "version": 9, "state": {"unknown": 1}}))
    with pytest.raises(FerzooError, match="is of another version of ferzoo"):
        go(source, out, resume=True)
