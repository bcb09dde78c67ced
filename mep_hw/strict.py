"""YAML and JSON as cards, models and settings use them: the plain parsers, without their traps.

A key given twice is an error (both parsers keep the last one silently), and `1e-3` is a number in YAML, too (YAML 1.1
wants `1.0e-3` and reads the other as text). The remaining habits of YAML 1.1 stay: an unquoted `on`, `no` or `yes` is a
boolean. NaN and infinity are left to whoever checks the values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # the base class refuses what cannot be a key
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_json(text: str) -> object:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON, or a key given twice.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key '{key}' is given twice")
        found[key] = value
    return found


def parse_yaml(text: str) -> object:
    """The value of one YAML document.

    Raises:
        yaml.YAMLError: not YAML, more than one document, or a key given twice; with line and column where known.
    """
    return yaml.load(text, Loader=_Loader)
