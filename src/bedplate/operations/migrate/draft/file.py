"""A revision's file: its name, and its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bedplate.kernel.errors import FolderNotWritable, UsageError
from bedplate.kernel.footprint import NOTHING, Footprint
from bedplate.kernel.lines import Line

SLUG_CHARACTERS_MAX = 50
LINE_CHARACTERS = 96
PYTHON = ("#", "lines.", "if ")
ROLE = "{role:"
# A colon before a word would be a parameter to Alembic's execute; a % to the driver.
_NOT_PLAIN = re.compile(r"(?<!:):\w|%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A revision before it is a file, to follow `before`; `notes` say what it cannot decide.

    `up` and `down` are statements; an entry that begins with one of PYTHON is Python's.
    """

    line: Line
    name: str
    before: str | None
    message: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    touches: Footprint = NOTHING
    transactional: bool = True
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the file goes."""
        return self.line.folder / f"{self.name}.py"

    @property
    def text(self) -> str:
        """The file's text."""
        return _text(self)

    def write(self) -> Path:
        """Write the file, which must not be there; raises UsageError or FolderNotWritable."""
        text = self.text
        try:
            with self.path.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            raise UsageError(
                f"{self.path} is there already.", "Choose another message; nothing was written."
            ) from None
        except OSError as error:
            raise FolderNotWritable(
                f"{self.path} cannot be written: {error.strerror}.", "Make the folder writable."
            ) from None
        return self.path


def next_name(line: Line, message: str) -> str:
    """Return the name of the line's next revision; raises UsageError for a message of no letter."""
    slug = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")[:SLUG_CHARACTERS_MAX].strip("_")
    if not slug:
        raise UsageError(
            f"The message {message!r} has no letter to name a file by.",
            "Say what changes in a few words: -m 'items have a weight'.",
        )
    head = re.match(r"\d+", line.head or "0")
    return f"{int(head[0] if head else 0) + 1:04d}_{slug}"


def _text(draft: Draft) -> str:
    body = [
        "def upgrade() -> None:",
        '    """Bring it about."""',
        *_body(draft.up),
        "",
        "",
        "def downgrade() -> None:",
        '    """Take it back."""',
        *_body(draft.down),
        "",
    ]
    code = "\n".join(body)
    declared = _declared(draft.touches)
    head = [f'"""{_sentence(draft.message)}"""', "", "from __future__ import annotations", ""]
    head += ["from alembic import op", ""] if "op.execute(" in code else []
    ours = ["from bedplate.kernel import lines"] if "lines." in code else []
    ours += ["from bedplate.kernel.footprint import Footprint"] if declared else []
    head += [*ours, ""] if ours else []
    before = "None" if draft.before is None else f'"{draft.before}"'
    head += [f'revision = "{draft.name}"', f"down_revision = {before}"]
    head += [] if draft.transactional else ["transactional = False"]
    head += [*declared, "", ""]
    return "\n".join([*head, code])


def _sentence(message: str) -> str:
    said = " ".join(message.split()).replace('"', "'").replace("\\", "/")
    said = said[:1].upper() + said[1:]
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _declared(touches: Footprint) -> list[str]:
    fields = [
        f"    {name}=({', '.join(_quoted(each) for each in names)},),"
        for name in ("rows", "rewritten", "shape", "behaviour")
        if (names := list(getattr(touches, name)))
    ]
    return ["touches = Footprint(", *fields, ")"] if fields else []


def _is_plain(entry: str) -> bool:
    return not (entry.startswith(PYTHON) or ROLE in entry or _NOT_PLAIN.search(entry))


def _body(entries: Sequence[str]) -> list[str]:
    """The body of a function; `pass` is not needed, for the docstring is one."""
    found: list[str] = []
    for entry in entries:
        if entry.startswith(PYTHON):
            found += [f"    {line}" for line in entry.splitlines()]
            continue
        call = "op.execute" if _is_plain(entry) else "lines.current().execute"
        found.append(_called(call, entry))
    return found


def _called(call: str, statement: str) -> str:
    begin, end = (f"{call}(" if ROLE not in statement else "lines.execute(", ")")
    if "\n" not in statement:
        short = f"    {begin}{_quoted(statement)}{end}"
        if len(short) <= LINE_CHARACTERS:
            return short
    text = statement.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'    {begin}\n        """\n{text}\n"""\n    {end}'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if '"' not in text or "'" in text else f"'{text}'"
