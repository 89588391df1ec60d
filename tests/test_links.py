"""The check of the built site's links finds what is broken, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_tools import links


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "guide").mkdir()
    (tmp_path / "style.css").write_text("")
    (tmp_path / "index.html").write_text(
        '<link href="style.css"><h2 id="here">x</h2><a href="#here">1</a><a href="guide/">2</a>'
        '<a href="guide/#caf%C3%A9">3</a><a href="https://example.org/a?b#c">4</a><a href="mailto:a@b.c">5</a>'
    )
    (tmp_path / "guide" / "index.html").write_text('<p id="café"></p><a href="..">1</a><img src="../style.css">')
    (tmp_path / "404.html").write_text('<a href="/anything">1</a>')
    return tmp_path


def test_a_sound_site_has_no_broken_link(site: Path) -> None:
    assert links.broken(site) == []


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ('<a href="#there">', "no such anchor"),
        ('<a href="guide/#there">', "no such anchor"),
        ('<a href="guides/">', "no such file"),
        ('<img src="picture.png">', "no such file"),
        ('<img srcset="style.css 1x, picture.png 2x">', "picture.png: no such file"),
        ('<button data-source="picture.png">', "no such file"),
        ('<p style="background: url(picture.png)">', "no such file"),
        ("<style>p { background: url( 'picture.png' ) }</style>", "picture.png: no such file"),
        ('<a href="/guide/">', "absolute"),
        ('<a href="../../etc/">', "outside of the site"),
    ],
)
def test_each_kind_of_broken_link_is_found(site: Path, link: str, reason: str) -> None:
    page = site / "index.html"
    page.write_text(page.read_text() + link)
    [found] = links.broken(site)
    assert found.startswith("index.html: ") and reason in found


def test_style_sheets_are_read(site: Path) -> None:
    (site / "guide" / "more.css").write_text('a { background: url("data:image/svg+xml,<svg/>"), url(../style.css) }')
    assert links.broken(site) == []
    (site / "style.css").write_text("a { background: url(guide/more.css), url(picture.png) }")
    assert links.broken(site) == ["style.css: picture.png: no such file"]


def test_addresses_outside_are_listed_with_their_pages(site: Path) -> None:
    assert links.external(site) == {"https://example.org/a?b#c": ["index.html"]}
