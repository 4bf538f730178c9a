"""The project's settings: read once, validated once, frozen, handed down.

The only file that sees the environment. The environment beats `.env`, which beats
`bedplate.toml`; both files lie in the project's folder.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from bedplate.kernel.bindings import QUALIFIED_NAME, TABLE_POLICIES, Binding, TablePolicy
from bedplate.kernel.errors import SettingsError
from bedplate.kernel.sources import MILLISECONDS, Parse, Source, between, flag, unknown, whole

FILE = "bedplate.toml"
DOTENV = ".env"
POSTGRES_MAJORS = (16, 18)
DEFAULT_MAJOR = 18
DEFAULT_MODULES = ("auth", "credits")
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
MODULE_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSettings:
    """Where tests run: a given server, or (without a URL) an embedded one."""

    __test__ = False  # pytest would otherwise collect the class by its name

    database_url: str | None = field(default=None, repr=False)
    postgres_major: int = DEFAULT_MAJOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a project fixes; units are in the names, limits in `KEYS`."""

    folder: Path
    database_url: str | None = field(default=None, repr=False)
    database_owner_url: str | None = field(default=None, repr=False)
    modules: tuple[str, ...] = DEFAULT_MODULES
    bind: Mapping[str, Binding] = field(default_factory=dict[str, Binding])
    tables: Mapping[str, TablePolicy] = field(default_factory=dict[str, TablePolicy])
    pool_size_max: int = 10
    pool_wait_timeout_ms: int = 5_000
    connect_timeout_ms: int = 5_000
    statement_timeout_ms: int = 30_000
    lock_timeout_ms: int = 5_000
    idle_in_transaction_timeout_ms: int = 60_000
    slow_statement_ms: int = 1_000
    rows_max: int = 10_000
    transaction_pooler: bool | None = None
    postgres_major: int = DEFAULT_MAJOR
    health_port: int = 7377
    work_concurrency: int = 4
    work_lease_ms: int = 30_000
    work_grace_ms: int = 10_000
    backup_folder: Path = Path(".bedplate/backups")
    test: TestSettings = field(default_factory=TestSettings)
    sections: Mapping[str, Mapping[str, Source]] = field(
        default_factory=dict[str, Mapping[str, Source]], repr=False
    )
    """What is written for each enabled module, as it stands there; the registry reads it."""

    @property
    def backups(self) -> Path:
        """Where backups lie: `backup_folder`, which counts from the project's folder."""
        return self.folder / self.backup_folder.expanduser()


def _major(source: Source) -> int:
    major = whole(source, 1, 99)
    if major not in POSTGRES_MAJORS:
        raise source.refuse(
            "is not a version the embedded server has",
            f"Write one of {', '.join(map(str, POSTGRES_MAJORS))}, or set DATABASE_URL.",
        )
    return major


def _modules(source: Source) -> tuple[str, ...]:
    value = source.value
    if isinstance(value, str) and source.place != FILE:
        value = [name.strip() for name in value.split(",") if name.strip()]
    advice = 'Write a list of names, such as modules = ["auth", "shop.invoices"].'
    if not isinstance(value, list):
        raise source.refuse("is not a list of module names", advice)
    names = cast("list[object]", value)
    for name in names:
        if not isinstance(name, str) or not MODULE_NAME.fullmatch(name):
            raise source.refuse(f"holds {name!r}, which is no module name", advice)
        if names.count(name) > 1:
            raise source.refuse(f"names {name} twice", "Name each module once.")
    return tuple(cast("list[str]", names))


def _url(source: Source) -> str:
    advice = "Write postgresql://user:password@host:5432/database."
    value = source.value
    if not isinstance(value, str):
        raise source.refuse("is not text", advice, show=False)
    scheme, separator, rest = value.strip().partition("://")
    if not separator:
        raise source.refuse("is not a URL", advice, show=False)
    if scheme.lower() not in SCHEMES:
        raise source.refuse(f"has the scheme {scheme}://, not postgresql://", advice, show=False)
    url = f"postgresql://{rest}"
    encode = f"{advice} Percent-encode special characters in the password (@ is %40, / is %2F)."
    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError as error:
        # libpq quotes the offending part, which may be the password; only the name of a
        # query parameter is safe to repeat.
        found = re.match(r'invalid URI query parameter: "(\w+)"', str(error))
        why = f"has the unknown parameter {found[1]}" if found else "cannot be read by libpq"
        hint = "Take it out of the URL." if found else encode
        raise source.refuse(why, hint, show=False) from None
    # A bare / or @ in a password moves the rest of it to where the port or the host belongs.
    ports = str(parts.get("port") or "").split(",")
    if not all(port == "" or re.fullmatch(r"\d{1,5}", port) for port in ports):
        raise source.refuse("has a port that is no number", encode, show=False)
    if "@" in str(parts.get("host") or ""):
        raise source.refuse("has an @ too many", encode, show=False)
    return url


def _path(source: Source) -> Path:
    if not isinstance(source.value, str) or not source.value.strip() or "\0" in source.value:
        raise source.refuse("is not a path", 'Write a folder, such as "/var/backups/shop".')
    return Path(source.value.strip())


KEYS: dict[str, Parse] = {
    "database_url": _url,
    "database_owner_url": _url,
    "modules": _modules,
    "pool_size_max": between(1, 1_000),
    "pool_wait_timeout_ms": MILLISECONDS,
    "connect_timeout_ms": MILLISECONDS,
    "statement_timeout_ms": MILLISECONDS,
    "lock_timeout_ms": MILLISECONDS,
    "idle_in_transaction_timeout_ms": MILLISECONDS,
    "slow_statement_ms": MILLISECONDS,
    "rows_max": between(1, 10_000_000),
    "transaction_pooler": flag,
    "postgres_major": _major,
    "health_port": between(1, 65_535),
    "work_concurrency": between(1, 1_000),
    "work_lease_ms": between(100, 86_400_000),
    "work_grace_ms": MILLISECONDS,
    "backup_folder": _path,
}
TEST_KEYS: dict[str, Parse] = {"database_url": _url, "postgres_major": _major}
BIND_KEYS = ("table", "key", "key_type", "columns", "writable")
# The two that hosts share between tools keep the name every tool knows.
ENVIRONMENT: dict[str, str] = {
    **{f"BEDPLATE_{key.upper()}": key for key in KEYS},
    **{f"BEDPLATE_TEST_{key.upper()}": f"test.{key}" for key in TEST_KEYS},
    "DATABASE_URL": "database_url",
    "DATABASE_OWNER_URL": "database_owner_url",
}
for _name in ("BEDPLATE_DATABASE_URL", "BEDPLATE_DATABASE_OWNER_URL"):
    del ENVIRONMENT[_name]


def _table(value: object, key: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SettingsError(f"{key} in {FILE} is not a table.", f"Write [{key}] above its keys.")
    return cast("dict[str, object]", value)


def _read_file(folder: Path) -> dict[str, object]:
    path = folder / FILE
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The parser reports a line and a column, never the line's text.
        raise SettingsError(f"{path} is not TOML: {error}.", "Correct that line.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.", "Allow it.") from None


def _read_dotenv(folder: Path) -> dict[str, str]:
    path = folder / DOTENV
    if not path.is_file():
        return {}
    try:
        # Without interpolation a password may hold `$`, and nothing outside the file counts.
        values = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(
            f"{path} cannot be read.", "Make it a readable UTF-8 file, or remove it."
        ) from None
    return {key: value for key, value in values.items() if value is not None}


def _from_environment(variables: Mapping[str, str], place: str) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for name, value in variables.items():
        if name in ENVIRONMENT:
            found[ENVIRONMENT[name]] = Source(name, place, value)
        elif name.startswith("BEDPLATE_"):
            found[name] = Source(name, place, value)
    return found


def _from_file(content: Mapping[str, object]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for key, value in content.items():
        if key == "test":
            for inner, inner_value in _table(value, "test").items():
                if inner not in TEST_KEYS:
                    raise unknown(inner, f"[test] of {FILE}", TEST_KEYS)
                found[f"test.{inner}"] = Source(f"test.{inner}", FILE, inner_value)
        elif key not in ("bind", "tables"):
            found[key] = Source(key, FILE, value)
    return found


def _sections(
    modules: Iterable[str], sources: Mapping[str, Source]
) -> dict[str, dict[str, Source]]:
    """Sort what is none of our keys by the module it is for: [delivery], BEDPLATE_DELIVERY_…

    Raises SettingsError for what is for no enabled module.
    """
    found: dict[str, dict[str, Source]] = {name.rpartition(".")[2]: {} for name in modules}
    for key, source in sources.items():
        if source.place == FILE:
            if key not in found:
                raise unknown(key, FILE, (*KEYS, "bind", "tables", "test"))
            for inner, value in _table(source.value, key).items():
                found[key][inner] = Source(f"{key}.{inner}", FILE, value)
            continue
        rest = key.removeprefix("BEDPLATE_").lower()
        name = next((each for each in found if rest.startswith(f"{each}_")), None)
        if name is None:
            raise unknown(key, source.place, ENVIRONMENT)
        inner = rest.removeprefix(f"{name}_")
        found[name].pop(inner, None)
        if str(source.value).strip():
            found[name][inner] = source
    return {name: written for name, written in found.items() if written}


def _bindings(content: Mapping[str, object]) -> dict[str, Binding]:
    bound: dict[str, Binding] = {}
    for name, value in _table(content.get("bind", {}), "bind").items():
        section = f"bind.{name}"
        fields = _table(value, section)
        for key, given in fields.items():
            if key not in BIND_KEYS:
                raise unknown(key, f"[{section}] of {FILE}", BIND_KEYS)
            source = Source(f"{section}.{key}", FILE, given)
            if key == "writable":
                flag(source)
            elif key == "columns":
                for column in _table(given, f"{section}.columns").values():
                    if not isinstance(column, str):
                        raise source.refuse("maps to something not text", "Write column names.")
            elif not isinstance(given, str):
                raise source.refuse("is not text", "Write it in quotes.")
        if "table" not in fields:
            raise SettingsError(
                f"[{section}] in {FILE} has no table.", 'Add table = "schema.table".'
            )
        bound[name] = Binding(**cast("dict[str, Any]", fields))
    return bound


def _policies(content: Mapping[str, object]) -> dict[str, TablePolicy]:
    found: dict[str, TablePolicy] = {}
    for name, value in _table(content.get("tables", {}), "tables").items():
        section = f'tables."{name}"'
        if not QUALIFIED_NAME.fullmatch(name):
            raise SettingsError(
                f"[{section}] in {FILE} names no schema.table.",
                'Quote the whole name: [tables."public.users"].',
            )
        fields = _table(value, section)
        for key in fields:
            if key != "policy":
                raise unknown(key, f"[{section}] of {FILE}", ("policy",))
        source = Source(f"{section}.policy", FILE, fields.get("policy"))
        known: dict[str, TablePolicy] = {str(each): each for each in TABLE_POLICIES}
        policy = known.get(str(source.value))
        if policy is None:
            raise source.refuse("is no policy", f"Write one of {', '.join(TABLE_POLICIES)}.")
        found[name] = policy
    return found


def project_folder(start: Path) -> Path:
    """Return the folder of the nearest `bedplate.toml` upward, else `start` itself."""
    start = start.absolute()
    return next((place for place in (start, *start.parents) if (place / FILE).is_file()), start)


def load(folder: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and validate the settings of `folder` (without one: the nearest project's).

    `environ` stands in for the process's environment. An empty variable means "not set" and
    still hides what lower places say, so `DATABASE_URL= bedplate up` uses the embedded server.
    Raises `SettingsError` naming the key, the place and what to write; never a password.
    """
    place = folder.absolute() if folder is not None else project_folder(Path.cwd())
    content = _read_file(place)
    sources = {
        **_from_file(content),
        **_from_environment(_read_dotenv(place), DOTENV),
        **_from_environment(os.environ if environ is None else environ, "the environment"),
    }
    values: dict[str, Any] = {}
    tests: dict[str, Any] = {}
    others: dict[str, Source] = {}
    for key, source in sources.items():
        if key not in KEYS and not key.startswith("test."):
            others[key] = source
            continue
        if source.place != FILE and not str(source.value).strip():
            continue
        if key.startswith("test."):
            inner = key.removeprefix("test.")
            tests[inner] = TEST_KEYS[inner](source)
        else:
            values[key] = KEYS[key](source)
    if "database_owner_url" in values and "database_url" not in values:
        raise SettingsError(
            "DATABASE_OWNER_URL is set without DATABASE_URL.",
            "Set both, or neither to use the embedded server.",
        )
    return Settings(
        folder=place,
        bind=_bindings(content),
        tables=_policies(content),
        test=TestSettings(**tests),
        sections=_sections(values.get("modules", DEFAULT_MODULES), others),
        **values,
    )


def environment() -> dict[str, str]:
    """Return a copy of the process's environment, to hand to a program that needs it."""
    return dict(os.environ)


def redact(text: str) -> str:
    """Hide every password of a URL or a connection string; never fails."""
    text = re.sub(r"(://[^:@/\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"(?i)\b((?:ssl)?password\s*=\s*)('[^']*'|[^&\s]+)", r"\1***", text)
