"""Every link of the built site: does the page, file or anchor exist that it points to?

mkdocs looks at the links that pages write in Markdown; this looks at all that is in the HTML and the style sheets,
pictures and the anchors of the reference among them. ``python docs/doc_tools/links.py SITE`` prints the addresses
outside; nothing fetches them.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes that hold an address; the demo's script reads the last.
ADDRESSES = ("href", "src", "data-source")
#: An address among the pictures of a `srcset`, and one in CSS.
PICTURE = re.compile(r"([^\s,]\S*[^\s,])(?:\s[^,]*)?(?:,|$)")
URL = re.compile(r"""\burl\(\s*(["']?)(.*?)\1\s*\)""", re.S)


class Page(HTMLParser):
    """The addresses and the anchors of a page."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.style = ""
        self.feed(text)
        self.close()
        self.links.update(address for _, address in URL.findall(self.style))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag points to, and what it is called."""
        values = dict(attrs)
        self.anchors.update(filter(None, (values.get("id"), values.get("name") if tag == "a" else None)))
        self.links.update(filter(None, map(values.get, ADDRESSES)))
        self.links.update(PICTURE.findall(values.get("srcset") or ""))
        self.style += f"{values.get('style') or ''}\n"

    def handle_data(self, data: str) -> None:
        """Note what a style sheet says."""
        if self.cdata_elem == "style":
            self.style += data


def read(site: Path) -> dict[Path, Page]:
    """Every page and style sheet of a built site by its file."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path in sorted(site.rglob("*.css")):
        pages[path] = Page(f"<style>{path.read_text(encoding='utf-8')}</style>")
    return pages


def broken(site: Path) -> list[str]:
    """The links of a built site that lead nowhere inside it, each with its page and the reason.

    Args:
        site: The folder that mkdocs wrote.
    """
    pages, out = read(site), []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are absolute: it is shown for any address
            continue
        for link in sorted(page.links):
            reason = _broken(link, path, pages, site)
            if reason:
                out.append(f"{path.relative_to(site).as_posix()}: {link}: {reason}")
    return out


def _broken(link: str, path: Path, pages: dict[Path, Page], site: Path) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    if parts.path.startswith("/"):
        return "absolute, it breaks where the site lies in a folder"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site.resolve()) and target != path:
        return "outside of the site"
    if not target.is_file():
        return "no such file"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _anchors(target, path, pages):
        return "no such anchor"
    return ""


def _anchors(target: Path, path: Path, pages: dict[Path, Page]) -> set[str]:
    page = pages[path] if target == path else next(p for f, p in pages.items() if f.resolve() == target)
    return page.anchors


def external(site: Path) -> dict[str, list[str]]:
    """Every address outside of the site, with the pages that name it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, page in read(site).items():
        for link in page.links:
            if urlsplit(link).scheme in ("http", "https"):
                found[link].append(path.relative_to(site).as_posix())
    return dict(sorted(found.items()))


if __name__ == "__main__":
    for address, where in external(Path(sys.argv[1])).items():
        print(address, ", ".join(where), sep="\t")
