"""YAML as cards use it: PyYAML's safe loader, without two of its traps.

A key given twice is an error (PyYAML keeps the last one silently), and `1e-3` is a number (YAML 1.1 wants `1.0e-3` and
reads the other as text). The remaining YAML 1.1 habits stay: an unquoted `on`, `no` or `yes` is a boolean.
"""

from __future__ import annotations

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


def parse(text: str) -> object:
    """The value of one YAML document.

    Raises:
        yaml.YAMLError: not YAML, more than one document, or a key given twice; with line and column where known.
    """
    return yaml.load(text, Loader=_Loader)
