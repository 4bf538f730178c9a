"""SQL as tokens: enough of PostgreSQL's lexer to tell words from what stands in quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "name", "string", "number", "symbol"]

_DOLLAR = re.compile(r"\$([A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$")
_WORD = re.compile(r"[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*")
_NUMBER = re.compile(r"\d[\w.]*|\.\d[\w.]*")
_SPACE = re.compile(r"\s+")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
# What stands before a quote and changes how it is read: escapes, bits, national and Unicode.
_PREFIXED = re.compile(r"[eE]'|[bBxXnN]'|[uU]&['\"]")


class SqlUnreadable(ValueError):
    """A quote or a comment has no end."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `value` is a word in upper case, or a quoted name or text without its quotes.

    `start` and `end` are its place in the text it was read from.
    """

    kind: Kind
    value: str
    start: int
    end: int

    @property
    def identifier(self) -> str | None:
        """The name it stands for as PostgreSQL stores it, or None for what is no name."""
        return {"word": self.value.lower(), "name": self.value}.get(self.kind)


def tokens(text: str) -> tuple[Token, ...]:
    """Read a text; comments and white space are left out. Raises SqlUnreadable."""
    return tuple(_tokens(text))


def statements(text: str) -> tuple[tuple[Token, ...], ...]:
    """Read a text and cut it at its semicolons, but for those of a function's own body."""
    found: list[tuple[Token, ...]] = []
    current: list[Token] = []
    depth = 0
    for token in _tokens(text):
        if token.value == ";" and token.kind == "symbol" and depth == 0:
            found.append(tuple(current))
            current = []
            continue
        current.append(token)
        if token.kind == "word":
            atomic = token.value == "ATOMIC" and len(current) > 1 and current[-2].value == "BEGIN"
            if atomic or (depth and token.value == "CASE"):
                depth += 1
            elif depth and token.value == "END":
                depth -= 1
    return tuple(each for each in (*found, tuple(current)) if each)


def matches(found: Sequence[Token], at: int, *words: str) -> bool:
    """Tell whether these words, unquoted, stand at a place; a symbol is written as itself."""
    part = found[at : at + len(words)]
    return len(part) == len(words) and all(
        token.kind in ("word", "symbol") and token.value == word
        for token, word in zip(part, words, strict=True)
    )


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if space := _SPACE.match(text, at):
            at = space.end()
        elif text.startswith("--", at):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif text.startswith("/*", at):
            at = _comment_end(text, at)
        else:
            token = _token(text, at)
            yield token
            at = token.end


def _token(text: str, at: int) -> Token:
    if prefixed := _PREFIXED.match(text, at):
        quote = prefixed.end() - 1
        escapes = text[at] in "eE"
        value, end = _quoted(text, quote, escapes=escapes)
        return Token("string" if text[quote] == "'" else "name", value, at, end)
    if text[at] in "'\"":
        value, end = _quoted(text, at, escapes=False)
        return Token("string" if text[at] == "'" else "name", value, at, end)
    if dollar := _DOLLAR.match(text, at):
        end = text.find(dollar.group(), dollar.end())
        if end < 0:
            raise SqlUnreadable(f"{dollar.group()} is never closed")
        return Token("string", text[dollar.end() : end], at, end + len(dollar.group()))
    if word := _WORD.match(text, at):
        return Token("word", word.group().upper(), at, word.end())
    if number := _NUMBER.match(text, at):
        return Token("number", number.group(), at, number.end())
    return Token("symbol", text[at], at, at + 1)


def _quoted(text: str, at: int, *, escapes: bool) -> tuple[str, int]:
    quote = text[at]
    value: list[str] = []
    here = at + 1
    while here < len(text):
        if escapes and text[here] == "\\":
            value.append(text[here : here + 2])
            here += 2
        elif text[here] != quote:
            value.append(text[here])
            here += 1
        elif text.startswith(quote, here + 1):
            value.append(quote)
            here += 2
        else:
            return "".join(value), here + 1
    raise SqlUnreadable(f"a {quote} is never closed")


def _comment_end(text: str, at: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise SqlUnreadable("a comment is never closed")
