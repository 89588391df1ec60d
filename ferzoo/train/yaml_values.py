"""YAML as people write recipes: with YAML 1.2's numbers."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["parse_yaml"]

#: Numbers with an exponent, which YAML 1.1 takes for text without a point and a sign: 1e-3.
_EXPONENT = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+\Z")


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, plain types alone.

    Args:
        text: YAML 1.1, but that ``1e-3`` is a number wherever it stands.

    Raises:
        yaml.YAMLError: If it is no YAML.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    return yaml.load(text, Loader)
