"""The law of the runner's books: each entry's hash is that of the entry before it and of itself."""

from __future__ import annotations

from typing import Literal

Book = Literal["receipts", "journal"]

GENESIS = "0" * 64
"""What stands for the hash of the entry before the first."""

HASHED = """
pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
    {previous} || E'\\n' || ({document})::text, 'UTF8')), 'hex')
"""
"""An entry's hash: SHA-256 of the hash before it, a line feed, and the document as it is stored."""


def faults(book: Book) -> str:
    """Return the SQL that lists what is wrong with a book: `number` and `problem`."""
    own_hash = HASHED.format(previous="previous_hash", document="document")
    return f"""
SELECT number::text AS {book}, problem FROM (
    SELECT number, CASE
        WHEN number <> place THEN 'an entry before it is missing'
        WHEN previous_hash <> before THEN 'it does not follow the one before it'
        WHEN hash <> {own_hash} THEN 'it was changed'
    END AS problem
    FROM (
        SELECT number, document, previous_hash, hash, row_number() OVER w AS place,
            coalesce(lag(hash) OVER w, '{GENESIS}') AS before
        FROM bedplate.{book} WINDOW w AS (ORDER BY number)
    ) entries
) found WHERE problem IS NOT NULL ORDER BY number
"""
