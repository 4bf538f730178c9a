"""Every question put to pg_catalog by `read`; each takes the schemas' names as its one parameter.

All are sorted by the bytes of the names, so that two servers of different collation agree. What an
extension made is left out: the extension stands for it.
"""

from __future__ import annotations

from bedplate.catalog.queries.grants import DEFAULT_PRIVILEGES, GRANTS
from bedplate.catalog.queries.lines import LINES
from bedplate.catalog.queries.others import EXTENSIONS, IN_NO_SCHEMA, IN_SCHEMAS
from bedplate.catalog.queries.schemas import (
    COMPOSITES,
    DOMAIN_CHECKS,
    DOMAINS,
    ENUMS,
    FUNCTIONS,
    SCHEMAS,
    SEQUENCES,
)
from bedplate.catalog.queries.tables import (
    COLUMNS,
    CONSTRAINTS,
    INDEXES,
    POLICIES,
    RULES,
    TABLES,
    TRIGGERS,
)

__all__ = [
    "COLUMNS",
    "COMPOSITES",
    "CONSTRAINTS",
    "DEFAULT_PRIVILEGES",
    "DOMAINS",
    "DOMAIN_CHECKS",
    "ENUMS",
    "EXTENSIONS",
    "FUNCTIONS",
    "GRANTS",
    "INDEXES",
    "IN_NO_SCHEMA",
    "IN_SCHEMAS",
    "LINES",
    "POLICIES",
    "RULES",
    "SCHEMAS",
    "SEQUENCES",
    "TABLES",
    "TRIGGERS",
]
