"""When huge pages are worth asking for, and who says so."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from ferzoo.cli.train import _advise
from ferzoo.train import memory

GIVEN, ASKED = "always [madvise] never", "glibc.malloc.hugetlb=1"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system that gives huge pages to those who ask, of which nobody has asked."""
    kernel = tmp_path / "enabled"
    kernel.write_text(f"{GIVEN}\n", encoding="ascii")
    monkeypatch.setattr(memory, "_KERNEL", kernel)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.35"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    return kernel


@pytest.mark.parametrize(
    ("kernel", "library", "tunables", "advised"),
    [
        (GIVEN, ("glibc", "2.35"), "", True),
        (GIVEN, ("glibc", "2.41"), "glibc.malloc.arena_max=1", True),
        (GIVEN, ("glibc", "2.35"), f"glibc.malloc.arena_max=1:{ASKED}", False),
        (GIVEN, ("glibc", "2.35"), "glibc.malloc.hugetlb=2", False),
        (GIVEN, ("glibc", "2.35"), "glibc.malloc.hugetlb=0", True),
        (GIVEN, ("glibc", "2.34"), "", False),
        (GIVEN, ("", ""), "", False),
        ("[always] madvise never", ("glibc", "2.35"), "", False),
        ("always madvise [never]", ("glibc", "2.35"), "", False),
        (None, ("glibc", "2.35"), "", False),
    ],
)
def test_when_it_is_advised(
    kernel: str | None,
    library: tuple[str, str],
    tunables: str,
    advised: bool,
    system: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system.unlink() if kernel is None else system.write_text(kernel, encoding="ascii")
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    others = f"{tunables}:" if tunables else ""
    expected = f"this CPU trains faster in huge pages: set GLIBC_TUNABLES={others}{ASKED} in the environment"
    assert memory.advice() == (expected if advised else "")
    assert memory.asked_for() == (ASKED in tunables or "hugetlb=2" in tunables)


@pytest.mark.parametrize(
    ("device", "rank", "said"), [("cpu", "0", True), ("auto", "0", True), ("cuda", "0", False), ("auto", "1", False)]
)
@pytest.mark.usefixtures("system")
def test_who_says_so(
    device: str, rank: str, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    _advise(device)
    assert capsys.readouterr().err.startswith("ferzoo train: this CPU trains faster in huge pages") == said
