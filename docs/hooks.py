"""What mkdocs calls: tables made from the code, so that no figure is typed by hand, and equations as MathML.

When the site is built, a line ``<!-- table: NAME -->`` becomes the table NAME. README.md passes through no build:
``python docs/hooks.py README.md`` rewrites what stands there between that line and ``<!-- end of table -->``.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # mkdocs and the tests load this file by its path

from doc_tools import (  # noqa: E402
    ablation,
    bench,
    code,
    datasets,
    demo,
    explain,
    extras,
    from_scratch,
    gallery,
    links,
    losses,
    mathml,
    models,
    training_rate,
    weights,
)

MARKER = re.compile(r"^<!-- table: (?P<name>[^>]+?) -->$", re.M)
FILLED = re.compile(r"^(?P<marker><!-- table: (?P<name>[^>]+?) -->)\n.*?^<!-- end of table -->$", re.M | re.S)
TABLES: dict[str, Callable[..., str]] = {
    **ablation.TABLES,
    **bench.TABLES,
    **code.TABLES,
    **datasets.TABLES,
    **demo.TABLES,
    **explain.TABLES,
    **extras.TABLES,
    **from_scratch.TABLES,
    **gallery.TABLES,
    **losses.TABLES,
    **models.TABLES,
    **training_rate.TABLES,
    **weights.TABLES,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in a page's tables; mkdocs calls it."""
    return MARKER.sub(lambda match: table(match["name"]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Set a page's equations, and leave out the docstring of a constructor that says nothing; mkdocs calls it."""
    return mathml.with_mathml(html.replace("<p>See the class.</p>", ""))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """State what the page of the demo may load; mkdocs calls it."""
    return demo.with_policy(output) if page.file.src_uri == demo.PAGE else output


def on_post_build(config: Any, **_: Any) -> None:
    """Put the networks of the demo beside its page, and look at every link; mkdocs calls it.

    A link that is broken is a warning, which fails a strict build.
    """
    site = Path(config["site_dir"])
    demo.build(site)
    for link in links.broken(site):
        logging.getLogger("mkdocs.hooks.links").warning("Broken link in %s", link)


def fill(text: str) -> str:
    """Rewrite the tables of a file between their markers."""
    return FILLED.sub(lambda m: f"{m['marker']}\n{table(m['name'])}\n<!-- end of table -->", text)


def table(name: str) -> str:
    """The table of a marker.

    Args:
        name: A key of `TABLES`, and after it the argument where it takes one.

    Raises:
        KeyError: If there is no such table.
    """
    key, _, argument = name.partition(" ")
    make = TABLES[key]
    return make(argument) if argument else make()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        path = Path(argument)
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
