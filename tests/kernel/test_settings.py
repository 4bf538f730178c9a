from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bedplate.kernel import settings
from bedplate.kernel.bindings import Binding
from bedplate.kernel.errors import SettingsError
from bedplate.kernel.settings import Settings, TestSettings, load, redact

SECRET = "s3cr3t-Pa55"


def project(folder: Path, toml: str = "", dotenv: str | None = None) -> Path:
    (folder / "bedplate.toml").write_text(toml)
    if dotenv is not None:
        (folder / ".env").write_text(dotenv)
    return folder


def refusal(folder: Path, toml: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(project(folder, toml), environ)
    assert caught.value.next_step
    return str(caught.value)


def test_a_bare_folder_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, {}) == Settings(folder=tmp_path)


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(tmp_path, {}).pool_size_max = 3  # type: ignore[misc]


def test_the_file_sets_every_kind_of_key(tmp_path: Path) -> None:
    found = load(
        project(
            tmp_path,
            """
            database_url = "postgres://app:pw@db.example/shop"
            modules = ["auth", "shop.invoices"]
            pool_size_max = 20
            transaction_pooler = true
            [bind.users]
            table = "public.User"
            key = "_id"
            key_type = "text"
            columns = { email = "mail" }
            [tables."public.miners"]
            policy = "observed"
            [test]
            postgres_major = 16
            """,
        ),
        {},
    )
    assert found.database_url == "postgresql://app:pw@db.example/shop"
    assert found.modules == ("auth", "shop.invoices")
    assert (found.pool_size_max, found.transaction_pooler) == (20, True)
    assert found.bind == {"users": Binding("public.User", "_id", "text", {"email": "mail"})}
    assert found.tables == {"public.miners": "observed"}
    assert found.test == TestSettings(postgres_major=16)


def test_the_environment_beats_dotenv_which_beats_the_file(tmp_path: Path) -> None:
    toml = "pool_size_max = 1\nrows_max = 1\nhealth_port = 1\n"
    project(tmp_path, toml, "BEDPLATE_ROWS_MAX=2\nBEDPLATE_HEALTH_PORT=2\nOTHER_TOOL=x\n")
    found = load(tmp_path, {"BEDPLATE_HEALTH_PORT": "3"})
    assert (found.pool_size_max, found.rows_max, found.health_port) == (1, 2, 3)


def test_the_environment_speaks_every_kind_of_key(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {
            "DATABASE_URL": "postgresql+psycopg://app:pw@h/d",
            "DATABASE_OWNER_URL": "postgresql://owner@h/d",
            "BEDPLATE_MODULES": "auth, shop.invoices",
            "BEDPLATE_TRANSACTION_POOLER": "off",
            "BEDPLATE_POSTGRES_MAJOR": "16",
            "BEDPLATE_TEST_DATABASE_URL": "postgresql://t@h/d",
            "PATH": "/bin",
        },
    )
    assert found.database_url == "postgresql://app:pw@h/d"
    assert found.database_owner_url == "postgresql://owner@h/d"
    assert found.modules == ("auth", "shop.invoices")
    assert (found.transaction_pooler, found.postgres_major) == (False, 16)
    assert found.test.database_url == "postgresql://t@h/d"


def test_an_empty_variable_hides_what_lower_places_say(tmp_path: Path) -> None:
    project(tmp_path, dotenv="DATABASE_URL=postgresql://h/production\n")
    assert load(tmp_path, {"DATABASE_URL": ""}).database_url is None


def test_a_password_in_dotenv_may_hold_a_dollar(tmp_path: Path) -> None:
    project(tmp_path, dotenv="DATABASE_URL='postgresql://a:p$HOME${X}@h/d'\n")
    assert load(tmp_path, {}).database_url == "postgresql://a:p$HOME${X}@h/d"


def test_the_nearest_file_upward_names_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = project(tmp_path, "rows_max = 7") / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert load(environ={}).folder == tmp_path
    assert load(inner, {}).folder == inner


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("pool_size = 3", ["pool_size ", "bedplate.toml", "Did you mean pool_size_max?"]),
        ("pool_size_max = 'ten'", ["pool_size_max = 'ten'", "whole number from 1 to 1000"]),
        ("pool_size_max = true", ["whole number"]),
        ("pool_size_max = 0", ["out of range", "1 to 1000"]),
        ("lock_timeout_ms = 1.5", ["lock_timeout_ms", "whole number"]),
        ("transaction_pooler = 'maybe'", ["transaction_pooler", "true or false"]),
        ("postgres_major = 17", ["postgres_major = 17", "16, 18"]),
        ("modules = 'auth'", ["modules", "list"]),
        ("modules = ['auth', 'auth']", ["auth twice"]),
        ("modules = ['no spaces']", ["'no spaces'"]),
        ("database_url = 3", ["database_url", "not text"]),
        ("test = 3", ["[test]"]),
        ("[test]\nurl = 'x'", ["url in [test]", "database_url"]),
        ("[bind.users]\nkey = 'id'", ["[bind.users]", "table"]),
        ("[bind.users]\ntabel = 'a.b'", ["tabel", "Did you mean table?"]),
        ("[bind.users]\ntable = 'User'", ["User", "public.User"]),
        ("[bind.users]\ntable = 'a.b'\nkey_type = 'int'", ["int", "uuid, text, bigint"]),
        ("[bind.users]\ntable = 'a.b'\nwritable = 3", ["writable", "true or false"]),
        ("[bind.users]\ntable = 'a.b'\ncolumns = {id = 3}", ["columns"]),
        ("tables = 3", ["[tables]"]),
        ("[tables.users]\npolicy = 'external'", ["schema.table", '"public.users"']),
        ("[tables.'a.b']\npolicy = 'mine'", ["'mine'", "managed, tolerated, external, observed"]),
        ("[tables.'a.b']\npolicy = ['external']", ["no policy"]),
        ("[tables.'a.b']\npolcy = 'external'", ["polcy", "Did you mean policy?"]),
        ("[tables.'a.b']", ["no policy", "managed"]),
        ("rows_max = = 3", ["TOML", "line 1"]),
    ],
)
def test_a_wrong_file_is_refused_with_key_place_and_cure(
    tmp_path: Path, toml: str, parts: list[str]
) -> None:
    message = refusal(tmp_path, toml)
    assert [part for part in parts if part not in message] == []


def test_an_unknown_variable_of_ours_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, BEDPLATE_POOL_MAX_SIZE="3")
    assert "the environment" in message
    assert "BEDPLATE_POOL_SIZE_MAX" in message


@pytest.mark.parametrize(
    ("url", "part"),
    [
        (f"mysql://app:{SECRET}@h/d", "mysql://"),
        (f"postgresql+asyncpg://app:{SECRET}@h/d", "postgresql+asyncpg://"),
        (f"host=h password={SECRET}", "not a URL"),
        (f"postgresql://app:{SECRET}@h:port/d", "port that is no number"),
        (f"postgresql://app:{SECRET}/{SECRET}@h/d", "%2F"),
        (f"postgresql://app:a@{SECRET}@h/d", "%40"),
        (f"postgresql://app:{SECRET}@h/d?schema=public", "unknown parameter schema"),
        (f"postgresql://app:{SECRET}%zz@h/d", "Percent-encode"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(tmp_path: Path, url: str, part: str) -> None:
    message = refusal(tmp_path, DATABASE_URL=url)
    assert part in message
    assert SECRET not in message


def test_no_url_shows_in_the_settings_repr(tmp_path: Path) -> None:
    url = f"postgresql://app:{SECRET}@h/d"
    environ = {"DATABASE_URL": url, "DATABASE_OWNER_URL": url, "BEDPLATE_TEST_DATABASE_URL": url}
    assert SECRET not in repr(load(tmp_path, environ))


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://app:{SECRET}@h:5432/d",
        f"postgresql://app:{SECRET}@with-at@h/d",
        f"postgresql://app:a/{SECRET}@h/d",
        f"postgresql://h/d?user=a&password={SECRET}&sslmode=require",
        f"host=h password={SECRET} user=a",
        f"host=h password = 'with space {SECRET}'",
        f"cannot reach postgresql://app:{SECRET}@h/d at all",
    ],
)
def test_redact_hides_passwords_and_nothing_else(text: str) -> None:
    assert SECRET not in redact(text)
    assert "***" in redact(text)
    assert redact("postgresql://app@h:5432/d?sslmode=require") == (
        "postgresql://app@h:5432/d?sslmode=require"
    )


def test_the_example_names_every_variable() -> None:
    example = Path(__file__).parents[2] / ".env.example"
    names = {
        line.lstrip("# ").partition("=")[0] for line in example.read_text().splitlines() if line
    }
    assert set(settings.ENVIRONMENT) <= names


def test_a_modules_settings_are_kept_apart_and_the_environment_beats_the_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "bedplate.toml").write_text(
        'modules = ["auth", "shop.mail"]\n[mail]\nsender = "a@x"\nsize = 3\n'
    )
    (tmp_path / ".env").write_text("BEDPLATE_MAIL_SENDER=b@x\nBEDPLATE_MAIL_SIZE=\n")
    found = load(tmp_path, {"BEDPLATE_MAIL_SENDER": "c@x"})
    assert {key: source.value for key, source in found.sections["mail"].items()} == {
        "sender": "c@x"
    }
    assert "c@x" not in repr(found)


@pytest.mark.parametrize(
    ("toml", "variables"),
    [
        ("[mail]\nsize = 3\n", {}),
        ("", {"BEDPLATE_MAIL_SIZE": "3"}),
        ('modules = ["mail"]\nmail = 3\n', {}),
    ],
)
def test_settings_of_no_enabled_module_are_refused(
    tmp_path: Path, toml: str, variables: dict[str, str]
) -> None:
    (tmp_path / "bedplate.toml").write_text(toml)
    with pytest.raises(SettingsError):
        load(tmp_path, variables)
