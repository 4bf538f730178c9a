"""The elements of which a table consists beside its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bedplate.catalog import Constraint, Index, Policy, Rule, Table, Trigger
from bedplate.operations.migrate.draft.element import Element, Key
from bedplate.operations.migrate.draft.names import Named, mentioned, quoted, words
from bedplate.operations.migrate.draft.notes import notes
from bedplate.operations.migrate.draft.spelling import respelled

Columns = Mapping[Named, frozenset[str]]
"""The columns of every table and view, by schema and name."""

HAS_INDEX = ("primary key", "unique", "exclusion")
FIRING = {"disabled": "DISABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}


class Parts:
    """Makes the elements of one table."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self.of = table
        self.sql = quoted(table.schema, table.name)
        self.key: Key = ("view" if "view" in table.kind else "table", table.full_name)
        self.columns = columns

    def all(self) -> Iterator[Element]:
        """Return rules, indexes, triggers and policies, with their comments."""
        made = {rule.name for rule in self.of.constraints if rule.kind in HAS_INDEX}
        for constraint in self.of.constraints:
            yield from self._constraint(constraint)
        for index in self.of.indexes:
            if index.name not in made:
                yield from self._index(index)
        for trigger in self.of.triggers:
            yield from self._trigger(trigger)
        for rule in self.of.rules:
            yield from self._rule(rule)
        for policy in self.of.policies:
            yield from self._policy(policy)

    def needs(self, *texts: str) -> frozenset[Named]:
        """Return the names that definitions mention, and columns of the tables among them."""
        text = " ".join(texts)
        named = set(mentioned(text))
        used = words(text)
        for place in {(self.of.schema, self.of.name), *named}:
            table = ".".join(place)
            found = self.columns.get(place, frozenset()) & used
            named.update((table, name) for name in found)
        return frozenset(named)

    def name(self, part: str) -> str:
        """The full name of a part."""
        return f"{self.of.full_name}.{part}"

    def _constraint(self, rule: Constraint) -> Iterator[Element]:
        spelled = respelled(rule.definition)
        add = f"ALTER TABLE {self.sql} ADD CONSTRAINT {quoted(rule.name)} {spelled}"
        needs = set(self.needs(rule.definition))
        if rule.references is not None:
            far = rule.references
            place = f"{far.schema}.{far.table}"
            needs |= {(far.schema, far.table), (place, _key(far.columns))}
            needs |= {(place, column) for column in far.columns}
        element = Element(
            kind="foreign key" if rule.references else "constraint",
            name=self.name(rule.name),
            definition=spelled,
            create=(add,),
            drop=(f"ALTER TABLE {self.sql} DROP CONSTRAINT {quoted(rule.name)}",),
            provides=(self.of.full_name, _key(rule.columns))
            if rule.kind in ("primary key", "unique")
            else None,
            needs=frozenset(needs),
            owner=self.key,
            inline=rule.references is None,
            automatic=rule.inherited,
            source=rule,
        )
        yield element
        yield from notes(element.key, f"CONSTRAINT {quoted(rule.name)} ON {self.sql}", rule.comment)

    def _index(self, index: Index) -> Iterator[Element]:
        place = f"INDEX {quoted(self.of.schema, index.name)}"
        # PostgreSQL shows a partitioned table's index as one that its partitions have none of.
        create = respelled(index.definition).replace(" ON ONLY ", " ON ", 1)
        element = Element(
            kind="index",
            name=self.name(index.name),
            definition=create + ("" if index.valid else " (invalid)"),
            create=(create,),
            drop=(f"DROP {place}",),
            provides=(self.of.full_name, _key(index.keys))
            if index.unique and index.predicate is None
            else None,
            needs=self.needs(index.definition),
            owner=self.key,
            automatic=index.inherited,
            source=index,
        )
        yield element
        yield from notes(element.key, place, index.comment)

    def _trigger(self, trigger: Trigger) -> Iterator[Element]:
        name = quoted(trigger.name)
        create = [trigger.definition]
        if trigger.firing != "enabled":
            create.append(f"ALTER TABLE {self.sql} {FIRING[trigger.firing]} TRIGGER {name}")
        element = Element(
            kind="trigger",
            name=self.name(trigger.name),
            definition="; ".join(create),
            create=tuple(create),
            drop=(f"DROP TRIGGER {name} ON {self.sql}",),
            needs=self.needs(trigger.definition),
            owner=self.key,
            automatic=trigger.inherited,
            source=trigger,
        )
        yield element
        yield from notes(element.key, f"TRIGGER {name} ON {self.sql}", trigger.comment)

    def _rule(self, rule: Rule) -> Iterator[Element]:
        name = quoted(rule.name)
        create = [rule.definition.rstrip(";")]
        if rule.firing != "enabled":
            create.append(f"ALTER TABLE {self.sql} {FIRING[rule.firing]} RULE {name}")
        element = Element(
            kind="rule",
            name=self.name(rule.name),
            definition="; ".join(create),
            create=tuple(create),
            drop=(f"DROP RULE {name} ON {self.sql}",),
            needs=self.needs(rule.definition),
            owner=self.key,
        )
        yield element
        yield from notes(element.key, f"RULE {name} ON {self.sql}", rule.comment)

    def _policy(self, policy: Policy) -> Iterator[Element]:
        name = quoted(policy.name)
        roles = ", ".join(r if r == "PUBLIC" else quoted(r) for r in policy.roles)
        said = policy.definition.replace(f"TO {', '.join(policy.roles)}", f"TO {roles}", 1)
        element = Element(
            kind="policy",
            name=self.name(policy.name),
            definition=respelled(policy.definition),
            create=(f"CREATE POLICY {name} ON {self.sql} {respelled(said)}",),
            drop=(f"DROP POLICY {name} ON {self.sql}",),
            needs=self.needs(policy.definition),
            owner=self.key,
        )
        yield element
        yield from notes(element.key, f"POLICY {name} ON {self.sql}", policy.comment)


def _key(columns: tuple[str, ...]) -> str:
    return f"({','.join(sorted(columns))})"
