"""Equations as MathML, which browsers set without a script, so that the site works offline."""

from __future__ import annotations

import html
import re

#: What pymdownx.arithmatex leaves of an equation: its LaTeX between \( \) or \[ \].
EQUATION = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.S)

#: A function as the converter writes it, with the bracket that follows: spaced like a letter, or like an operator.
FUNCTION = re.compile(r"<(m[io])>(?P<name>[A-Za-z]{2,})</\1>(?P<bracket>(?:<mo[^>]*>\()?)")
#: A word that the converter writes letter by letter.
UPRIGHT = re.compile(r'(?:<mi mathvariant="normal">.</mi>)+')


def with_mathml(page: str) -> str:
    """A page's HTML with its equations in MathML."""
    return EQUATION.sub(_set, page)


def _set(match: re.Match[str]) -> str:
    tag, latex = match["tag"], html.unescape(match["latex"])
    return f'<{tag} class="arithmatex">{mathml(latex, block=tag == "div")}</{tag}>'


def mathml(latex: str, block: bool = False) -> str:
    """An equation in MathML.

    Args:
        latex: The equation.
        block: Whether it stands on a line of its own.

    Raises:
        ValueError: If it holds something that the converter does not know.
    """
    from latex2mathml.converter import convert

    # As characters, but for the one that HTML would take for a tag.
    text = convert(latex, display="block" if block else "inline").replace("&#x0003C;", "&amp;lt;")
    text = html.unescape(text)
    if "\\" in text:
        raise ValueError(f"latex2mathml cannot convert all of {latex!r}: {text}")
    text = FUNCTION.sub(_function, text)
    text = UPRIGHT.sub(lambda match: f"<mi>{''.join(re.findall(r'>(.)<', match[0]))}</mi>", text)
    # Norm bars do not grow with what stands beside them; a minus after an equals sign or a bracket is a sign.
    text = text.replace("<mo>‖</mo>", '<mo stretchy="false">‖</mo>')
    return re.sub(r"([=(]</mo>)<mo>−</mo>", r'\1<mo form="prefix">−</mo>', text)


def _function(match: re.Match[str]) -> str:
    """A function's name: a thin space before it, and one after it where no bracket follows."""
    after = "0em" if match["bracket"] else "0.17em"
    return f'<mo lspace="0.17em" rspace="{after}">{match["name"]}</mo>{match["bracket"]}'
