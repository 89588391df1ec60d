"""YAML as people write recipes: with YAML 1.2's numbers, and no key twice."""

from __future__ import annotations

import re
import reprlib
from typing import Any

__all__ = ["parse_yaml"]

#: What PyYAML, which reads YAML 1.1, takes for numbers and dates beside those of 1.2: 010, 1_000, 1:30, 2026-01-31;
#: and =, to which it gives a tag that it cannot read.
_OLDER = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp", "value"))
_WHOLE = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_NUMBER = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_BASES = {"0o": 8, "0x": 16}


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, plain types alone.

    Args:
        text: YAML 1.1 with the numbers of YAML 1.2, where ``1e-3`` is one and ``010`` is 10; a date is text.

    Raises:
        yaml.YAMLError: If it is no YAML, a value does not fit its tag, or a mapping has a key twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in found if tag not in _OLDER]
            for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen: dict[Any, str] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                # Another spelling is the same key: 0 and 0x0, true and yes. What << brings comes later.
                merge = key.tag == "tag:yaml.org,2002:merge"
                name = (key.tag,) if merge else self.construct_object(key, deep=True)
                if name in seen:
                    before = "" if seen[name] == key.value else f", as {seen[name]} before"
                    raise yaml.composer.ComposerError(
                        None, None, f"the key {key.value} is there twice{before}", key.start_mark
                    )
                seen[name] = key.value
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            # PyYAML's own, each kind by another tag.
            except (ValueError, LookupError, AttributeError, OverflowError) as error:
                kind = node.tag.rpartition(":")[2]
                raise yaml.constructor.ConstructorError(
                    None, None, f"{reprlib.repr(node.value)} cannot be read as !!{kind}", node.start_mark
                ) from error

    def whole(loader: Any, node: Any) -> int:
        value = loader.construct_scalar(node)
        return int(value, _BASES.get(value[:2], 10))

    Loader.add_constructor("tag:yaml.org,2002:int", whole)
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", _WHOLE, list("-+0123456789"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
    return yaml.load(text, Loader)
