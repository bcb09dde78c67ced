"""A check of `#pragma HLS`, which no open compiler reads: to g++ a misspelled directive is as good as a right one.

Directives, options and values are those that the library uses, in the spelling of UG1399 for 2021.1 and newer
(`type=complete`, `mode=axis`); one that is not in the table is a finding, until somebody has looked it up. Whether a
directive is wise, or can be fulfilled, only the vendor's tool can say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mep_hw.fpga.hls.scopes import Kind, Name, Pragma
from mep_hw.fpga.hls.scopes import pragmas as found_in

WHOLE = re.compile(r"\d+|[A-Za-z_][\w:]*")  # a number, or a constant's name
FLAG = re.compile("")
ANY_NAME = re.compile(r"[A-Za-z_]\w*")


def _one_of(*values: str) -> re.Pattern[str]:
    return re.compile("|".join(values))


@dataclass(frozen=True)
class Rule:
    """Options (FLAG: without a value), those that must be there, and the scopes a directive may stand in."""

    options: Mapping[str, re.Pattern[str]]
    required: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ("function", "loop", "block")
    names: Mapping[str, str] = field(default_factory=lambda: {"variable": "any"})  # array, static, parameter, any


_PARTS = {"variable": ANY_NAME, "type": _one_of("complete", "block", "cyclic"), "dim": WHOLE, "factor": WHOLE}
_MEMORIES = _one_of("ram_1p", "ram_1wnr", "ram_2p", "ram_s2p", "ram_t2p", "rom_1p", "rom_2p", "rom_np")
RULES = {
    "INTERFACE": Rule(
        {
            "mode": _one_of("axis", "s_axilite"),
            "port": ANY_NAME,
            "bundle": ANY_NAME,
            "register_mode": _one_of("forward", "reverse", "both", "off"),
        },
        ("mode", "port"),
        ("function",),
        {"port": "parameter"},
    ),
    "ARRAY_PARTITION": Rule(_PARTS, ("variable", "type", "dim"), names={"variable": "array"}),
    "ARRAY_RESHAPE": Rule(_PARTS, ("variable", "type", "dim"), names={"variable": "array"}),
    "BIND_STORAGE": Rule(
        {"variable": ANY_NAME, "type": _MEMORIES, "impl": _one_of("bram", "lutram", "uram", "auto"), "latency": WHOLE},
        ("variable", "type"),
        names={"variable": "array"},
    ),
    "PIPELINE": Rule({"II": WHOLE, "style": _one_of("stp", "flp", "frp"), "off": FLAG}, (), ("function", "loop")),
    "UNROLL": Rule({"factor": WHOLE, "off": _one_of("true")}, (), ("loop",)),
    "DEPENDENCE": Rule(
        {
            "variable": ANY_NAME,
            "type": _one_of("inter", "intra"),
            "direction": _one_of("RAW", "WAR", "WAW"),
            "distance": WHOLE,
            "dependent": _one_of("true", "false"),
        },
        ("variable", "type", "dependent"),
    ),
    "INLINE": Rule({"off": FLAG, "recursive": FLAG}, (), ("function",)),
    "RESET": Rule({"variable": ANY_NAME, "off": FLAG}, ("variable",), names={"variable": "static"}),
}


@dataclass(frozen=True)
class Finding:
    """A pragma that breaks a rule."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def check(source: str, file: str) -> list[Finding]:
    """What is wrong with the HLS pragmas of a C++ file; other pragmas are left alone.

    Args:
        file: its name, for the findings.
    """
    return [Finding(file, pragma.line, text) for pragma in found_in(source) for text in _wrong(pragma)]


def count(source: str) -> int:
    """HLS pragmas of a file."""
    return sum(_is_hls(pragma) for pragma in found_in(source))


def _is_hls(pragma: Pragma) -> bool:
    return bool(re.match(r"HLS\b", pragma.text, re.IGNORECASE))


def _wrong(pragma: Pragma) -> list[str]:
    if not _is_hls(pragma):
        return []
    directive, *words = [*re.sub(r"\s*=\s*", "=", pragma.text[3:]).split(), ""]
    rule = RULES.get(directive.upper())
    if rule is None:
        return [f"unknown directive '{directive}'; known: {', '.join(RULES)}"]
    given, wrong = dict[str, str](), list[str]()
    for word in filter(None, words):
        key, equals, value = word.partition("=")
        pattern = rule.options.get(key)
        if pattern is None:
            wrong.append(f"{directive} has no option '{key}'; known: {', '.join(rule.options)}")
        elif key in given:
            wrong.append(f"{directive} {key} is given twice")
        elif (pattern is FLAG) == bool(equals) or not pattern.fullmatch(value):
            wrong.append(f"{directive} {word}: must be {_expected(key, pattern)}")
        else:
            given[key] = value
    wrong += [f"{directive} needs {key}=" for key in rule.required if key not in given and not _named(key, words)]
    if pragma.kind not in rule.kinds:
        wrong.append(f"{directive} stands in a {pragma.kind}; allowed: {', '.join(rule.kinds)}")
    for key, what in rule.names.items():
        if key in given:
            wrong += _misnamed(pragma, given[key], what)
    return wrong + _together(pragma, directive.upper(), given)


def _named(key: str, words: list[str]) -> bool:
    """Whether an option is there, if only with a wrong value, which is a finding of its own."""
    return any(word.partition("=")[0] == key for word in words)


def _expected(key: str, pattern: re.Pattern[str]) -> str:
    if pattern is FLAG:
        return f"'{key}' without a value"
    if pattern is WHOLE:
        return "a number or a constant"
    return "a name" if pattern is ANY_NAME else f"one of {pattern.pattern.replace('|', ', ')}"


def _misnamed(pragma: Pragma, name: str, what: str) -> list[str]:
    found = pragma.find(name)
    if what == "parameter":
        return [] if name == "return" or (found and found.parameter) else [f"'{name}' is no parameter of the function"]
    if found is None:
        return [f"no variable '{name}' is visible here"]
    if what == "array" and not found.dimensions:
        return [f"'{name}' is no array"]
    return [f"'{name}' is not static"] if what == "static" and not found.static else []


def _together(pragma: Pragma, directive: str, given: Mapping[str, str]) -> list[str]:
    """Rules between the options of one pragma."""
    wrong, variable = list[str](), pragma.find(given.get("variable", ""))
    if directive.startswith("ARRAY_") and "type" in given:
        if (given["type"] == "complete") == ("factor" in given):
            wrong.append(f"{directive} type={given['type']} {'takes no' if 'factor' in given else 'needs'} factor=")
    if isinstance(variable, Name) and variable.dimensions and given.get("dim", "").isdigit():
        if int(given["dim"]) > variable.dimensions:
            wrong.append(f"dim={given['dim']}, but '{given['variable']}' has {variable.dimensions}")
    if directive == "DEPENDENCE" and "distance" in given and given.get("dependent") != "true":
        wrong.append("DEPENDENCE distance= is for dependent=true")
    wrong += [
        f"{directive} {key}=0: must be 1 or more" for key in ("II", "factor", "distance") if given.get(key) == "0"
    ]
    return wrong
