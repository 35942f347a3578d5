"""A statement as one self-contained HTML page that opens offline."""

from __future__ import annotations

import base64

from quartet.page import rendered
from quartet.statement_page import Page


def html_of(page: Page) -> bytes:
    """The document; figures of a bill link to the table of days."""
    return rendered("statement.html", page=page, base64=_base64).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
