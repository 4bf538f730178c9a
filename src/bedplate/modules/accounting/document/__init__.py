"""The invoice as a page: from the content that was fixed at issue, and from nothing else."""

from bedplate.modules.accounting.document.content import Content, Customer, content_of
from bedplate.modules.accounting.document.drawing import render

__all__ = ["Content", "Customer", "content_of", "render"]
