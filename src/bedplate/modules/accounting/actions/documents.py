"""Documents: the page of an issued invoice, made once by the worker and never again."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, Uuid, bindparam, select, text

from bedplate.kernel.database import Writer
from bedplate.kernel.handle import Handle
from bedplate.kernel.query import Query
from bedplate.modules.accounting.actions.answers import Document
from bedplate.modules.accounting.document import render
from bedplate.modules.accounting.errors import DocumentPending, NoDocument, UnknownInvoice
from bedplate.modules.accounting.models import Invoice, InvoiceDocument

STORED: Query[Any] = Query(
    select(
        Invoice.invoice_number,
        InvoiceDocument.invoice_id,
        InvoiceDocument.pdf,
        InvoiceDocument.pdf_sha256,
        InvoiceDocument.rendered_at,
    )
    .outerjoin(InvoiceDocument, InvoiceDocument.invoice_id == Invoice.id)
    .where(Invoice.id == bindparam("invoice_id", type_=Uuid()))
)
# Whoever comes second waits here, and then finds the page made.
WANTED: Query[dict[str, Any]] = Query(
    select(InvoiceDocument.content)
    .where(
        InvoiceDocument.invoice_id == bindparam("invoice_id", type_=Uuid()),
        InvoiceDocument.pdf.is_(None),
    )
    .with_for_update(key_share=True)
)
KEEP: Query[Any] = Query(
    text(
        "UPDATE accounting.invoice_documents"
        " SET pdf = :pdf, pdf_sha256 = :sha256, rendered_at = bedplate.now()"
        " WHERE invoice_id = :invoice_id AND pdf IS NULL"
    ).bindparams(
        bindparam("invoice_id", type_=Uuid()),
        bindparam("pdf", type_=LargeBinary()),
        bindparam("sha256", type_=LargeBinary()),
    )
)


async def document_of(db: Handle, invoice_id: UUID) -> Document:
    """Return an issued invoice's PDF, as it was made once; one statement.

    Raises UnknownInvoice, NoDocument for what was never issued, DocumentPending until the worker
    has made it.
    """
    row = await db.first(STORED, invoice_id=invoice_id)
    if row is None:
        raise UnknownInvoice("There is no such invoice.", rule="id")
    number, issued, pdf, sha256, rendered_at = row
    if issued is None:
        raise NoDocument("The invoice was never issued.", rule="document")
    if pdf is None:
        raise DocumentPending(f"The document of {number} is not made yet.", rule="document")
    return Document(
        invoice_id=invoice_id,
        invoice_number=number,
        pdf=bytes(pdf),
        sha256=bytes(sha256).hex(),
        rendered_at=rendered_at,
    )


async def render_document(tx: Writer, invoice_id: UUID) -> bool:
    """Make the page of an issued invoice from its stored content, unless there is one already.

    Returns whether it made it. In a transaction, of any number at once one does the work; the
    database takes no second page in any case. Raises ContentInvalid.
    """
    content = await tx.first(WANTED, invoice_id=invoice_id)
    if content is None:
        return False
    pdf = render(content)
    kept = await tx.run(KEEP, invoice_id=invoice_id, pdf=pdf, sha256=hashlib.sha256(pdf).digest())
    return kept == 1
