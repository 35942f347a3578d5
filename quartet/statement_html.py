"""A statement as one self-contained HTML page that opens offline."""

from __future__ import annotations

import base64
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from quartet.chinese_font import font_face
from quartet.report import FONT_PLACE
from quartet.statement_page import Page


def html_of(page: Page) -> bytes:
    """The document; figures of a bill link to the table of days."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    template = environment.from_string((files("quartet") / "templates" / "statement.html").read_text(encoding="utf-8"))
    text = template.render(page=page)
    return text.replace(FONT_PLACE, font_face(text)).encode()
