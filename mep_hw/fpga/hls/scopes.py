"""A reading of C++ that is just deep enough for pragmas: which scopes a line is in, and which names are visible there.

It follows braces, parameters and declarations of code as this package writes it: one declaration a statement begins
with its type, template arguments stand close to their name (`a<b>`, while a comparison has spaces), no macros that open
scopes. It is no parser: what else is wrong in the code, a compiler finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["file", "namespace", "type", "function", "loop", "block", "values"]

_TOKEN = re.compile(r"#pragma[^\n]*|\n|[A-Za-z_]\w*|\d[\w.]*|::|\S")
_NOT_TYPES = {"return", "using", "typedef", "goto", "case", "delete", "else", "throw", "break", "continue", "enum"}
_LABEL = re.compile(r"^(?:\w+ : )+(?=for|while|do)")


@dataclass(frozen=True)
class Name:
    """A variable or parameter."""

    dimensions: int
    static: bool
    parameter: bool


@dataclass
class Scope:
    kind: Kind
    names: dict[str, Name] = field(default_factory=dict[str, Name])


@dataclass(frozen=True)
class Pragma:
    """One pragma, its line, and the scopes around it, outermost first, with the names declared before it."""

    line: int
    text: str
    scopes: tuple[Scope, ...]

    @property
    def kind(self) -> Kind:
        return self.scopes[-1].kind

    def find(self, name: str) -> Name | None:
        """What the name means here."""
        return next((scope.names[name] for scope in reversed(self.scopes) if name in scope.names), None)


def pragmas(source: str) -> Iterator[Pragma]:
    """All pragmas of a file, in order."""
    scopes, head, depth, line = [Scope("file")], list[str](), 0, 1
    for token in _TOKEN.findall(_plain(source)):
        if token == "\n":
            line += 1
        elif token.startswith("#pragma"):
            copies = tuple(Scope(scope.kind, dict(scope.names)) for scope in scopes)
            yield Pragma(line, token.removeprefix("#pragma").strip(), copies)
        elif token == "{" and depth == 0:
            opened = _opened(" ".join(head), scopes[-1].kind, head)
            if opened.kind == "values":
                scopes[-1].names.update(_declared(" ".join(head)))
            scopes.append(opened)
            head = []
        elif token == "}" and depth == 0 and len(scopes) > 1:
            closed = scopes.pop()
            head = ["="] if closed.kind == "values" else []  # more of the same statement may follow
        elif token == ";" and depth == 0:
            scopes[-1].names.update(_declared(" ".join(head)))
            head = []
        else:
            depth += (token == "(") - (token == ")")
            head.append(token)


def _plain(source: str) -> str:
    """Without comments, strings and other preprocessor lines; lines keep their numbers."""
    source = re.sub(r"/\*.*?\*/", lambda found: "\n" * found.group().count("\n"), source, flags=re.DOTALL)
    source = re.sub(r"//[^\n]*", "", source)
    source = re.sub(r"(?:[^\n]*\\\n)+[^\n]*", _joined, source)
    source = re.sub(r"^[ \t]*#(?!pragma)[^\n]*", "", source, flags=re.MULTILINE)
    source = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', source)
    while (shorter := re.sub(r"(\w)<[^<>;{}]*>", r"\1", source)) != source:
        source = shorter
    return source


def _joined(found: re.Match[str]) -> str:
    """Lines that end with a backslash as one, and as many empty ones behind it."""
    return re.sub(r"\\\n", " ", found.group()) + "\n" * found.group().count("\\\n")


def _opened(head: str, around: Kind, tokens: list[str]) -> Scope:
    """The scope that a brace behind `head` opens."""
    head = _LABEL.sub("", head)
    first = head.split(" ", 1)[0]
    if around == "values" or head.endswith(("=", ",", "return")):
        return Scope("values")
    if first in ("namespace", "extern"):
        return Scope("namespace")
    if around in ("file", "namespace", "type"):
        found = re.search(r"\(", head)
        return Scope("function", _parameters(head)) if found else Scope("type")
    if first in ("for", "while", "do"):
        inside = re.search(r"\( ([^;]*) ;", head)
        return Scope("loop", _declared(inside.group(1)) if inside else {})
    return Scope("block")


def _parameters(head: str) -> dict[str, Name]:
    """Of the first parentheses of a function's head."""
    start = head.index("(")
    inside = head[start + 1 :].split(")", 1)[0]
    found = dict[str, Name]()
    for part in inside.split(","):
        name = re.search(r"(\w+) ?((?:\[[^\]]*\] ?)*)$", part.strip())
        if name:
            found[name.group(1)] = Name(name.group(2).count("["), False, True)
    return found


def _declared(statement: str) -> dict[str, Name]:
    """Variables that a statement declares."""
    statement = _LABEL.sub("", statement)
    words = statement.split(" ")
    if words[0] in _NOT_TYPES or words[0] in ("", "=") or "template" in words[:1]:
        return {}
    found = re.match(r"((?:\w+|::|\*|&|)(?: |$))+?(?=\w+ ?(?:\[|=|,|\(|$))", statement + " ")
    if found is None or not found.group().strip():
        return {}
    static, names = "static" in words, dict[str, Name]()
    for part in re.sub(r"\([^()]*\)", "", statement[found.end() :]).split(" , "):
        name = re.match(r"(\w+) ?((?:\[[^\]]*\] ?)*)", part.strip())
        if name:
            names[name.group(1)] = Name(name.group(2).count("["), static, False)
    return names
