"""Columns as SQL writes them."""

from __future__ import annotations

from bedplate.catalog import Column, SequenceOptions
from bedplate.operations.migrate.draft.names import quoted

# How each setting that ALTER COLUMN knows goes back to the type's own.
_UNSET = {
    "SET STORAGE": "SET STORAGE DEFAULT",
    "SET COMPRESSION": "SET COMPRESSION default",
    "SET STATISTICS": "SET STATISTICS -1",
}


def clause(column: Column, *, with_default: bool = True) -> str:
    """Return a column as CREATE TABLE and ADD COLUMN take it."""
    parts = [quoted(column.name), column.type]
    parts += [f"COLLATE {column.collation}"] if column.collation else []
    if column.generated:
        parts.append(f"GENERATED ALWAYS AS ({column.default}) {column.generated.upper()}")
    elif column.identity:
        parts.append(f"GENERATED {column.identity.upper()} AS IDENTITY")
        parts += [f"({column.counter.text})"] if column.counter and column.counter.text else []
    elif column.default is not None and with_default:
        parts.append(f"DEFAULT {column.default}")
    parts += [] if column.nullable or column.identity else ["NOT NULL"]
    return " ".join(parts)


def counting(options: SequenceOptions, prefix: str = "") -> str:
    """Return every option of a sequence, as ALTER SEQUENCE takes it; ALTER COLUMN with SET."""
    words = (
        f"INCREMENT BY {options.increment}",
        f"MINVALUE {options.minimum}",
        f"MAXVALUE {options.maximum}",
        f"START WITH {options.start}",
        f"CACHE {options.cache}",
        "CYCLE" if options.cycle else "NO CYCLE",
    )
    return " ".join(f"{prefix}{word}" for word in words)


def unset(setting: str) -> str:
    """Return what takes a setting back."""
    for begin, way in _UNSET.items():
        if setting.startswith(begin):
            return way
    names = setting.removeprefix("SET (").removesuffix(")").split(", ")
    return f"RESET ({', '.join(name.partition('=')[0].strip() for name in names)})"
