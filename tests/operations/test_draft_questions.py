"""What a draft asks and never guesses, and what models cannot take away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bedplate.catalog import Column, Index, Schema, Table
from bedplate.kernel.errors import RenameUndecided, UsageError
from bedplate.operations.migrate.draft.apart import split
from bedplate.operations.migrate.draft.known import overlaid, without_model
from bedplate.operations.migrate.draft.renames import (
    Answers,
    Question,
    columns_renamed,
    tables_renamed,
)


def _column(name: str, comment: str | None = None) -> Column:
    return Column(name, "integer", True, None, "", "", comment)


def _table(name: str, *columns: str, partition_of: str | None = None) -> Table:
    made = tuple(map(_column, columns))
    return Table("shop", name, "table", None, partition_of, made, (), (), ())


def _schema(*tables: Table) -> Schema:
    return Schema("shop", None, tables, (), ())


LINE = _table("items", "id", "price")
MODEL = _table("items", "id", "cost")


def test_a_rename_that_nobody_can_be_asked_about_is_refused_and_both_are_named() -> None:
    with pytest.raises(RenameUndecided) as refused:
        list(columns_renamed(LINE, MODEL, Answers({}, None)))
    assert "shop.items.price" in str(refused.value)
    assert "shop.items.cost" in str(refused.value)
    assert "--rename shop.items.price=cost" in str(refused.value)


@pytest.mark.parametrize("old", ["price", "items.price", "shop.items.price"])
def test_an_answer_given_beforehand_is_taken(old: str) -> None:
    (rename,) = columns_renamed(LINE, MODEL, Answers({old: "cost"}, None))
    assert rename.statement() == "ALTER TABLE shop.items RENAME COLUMN price TO cost"
    assert rename.back() == "ALTER TABLE shop.items RENAME COLUMN cost TO price"


def test_an_empty_answer_says_that_it_is_no_rename() -> None:
    assert list(columns_renamed(LINE, MODEL, Answers({"price": ""}, None))) == []


def test_whoever_can_be_asked_is_asked() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> str | None:
        asked.append(question)
        return question.candidates[0]

    (rename,) = tables_renamed(
        _schema(_table("items", "id")), _schema(_table("goods", "id")), Answers({}, ask)
    )
    assert asked == [Question("shop.items", ("shop.goods",))]
    assert rename.statement() == "ALTER TABLE shop.items RENAME TO goods"


def test_an_answer_to_no_question_is_refused() -> None:
    with pytest.raises(UsageError, match="prise: nothing of that name went"):
        Answers({"prise": "cost"}, None).refuse_unused()
    with pytest.raises(UsageError, match="kost is none of what came"):
        list(columns_renamed(LINE, MODEL, Answers({"price": "kost"}, None)))


def test_models_take_away_neither_partitions_nor_tables_that_they_do_not_know() -> None:
    line = _schema(LINE, _table("items_2026", partition_of="shop.items"), _table("by_hand"))
    wanted = overlaid(line, _schema(MODEL))
    assert [table.name for table in wanted.tables] == ["by_hand", "items", "items_2026"]
    assert [column.name for column in wanted.tables[1].columns] == ["id", "cost"]
    assert without_model(line, _schema(MODEL)) == ["by_hand"]
    assert [table.name for table in overlaid(line, None, gone=["by_hand"]).tables] == [
        "items",
        "items_2026",
    ]


def test_a_comment_that_the_model_does_not_have_stays() -> None:
    line = _schema(replace(LINE, comment="Told.", columns=(_column("id", "Key."),)))
    (table,) = overlaid(line, _schema(_table("items", "id"))).tables
    assert (table.comment, table.columns[0].comment) == ("Told.", "Key.")


def test_what_would_hold_a_lock_on_a_table_that_is_there_comes_apart() -> None:
    text = "CREATE INDEX ix_items_price ON shop.items USING btree (price)"
    index = Index("ix_items_price", ("price",), False, False, True, None, text)
    wanted = _schema(replace(LINE, indexes=(index,)), replace(_table("new"), indexes=(index,)))
    found = split(_schema(LINE), wanted)
    ((up,),) = (each.up for each in found.apart)
    assert up.startswith("CREATE INDEX CONCURRENTLY ix_items_price ON")
    assert found.schema == _schema(LINE, replace(_table("new"), indexes=(index,)))
