"""Pages: self-contained HTML that opens offline, in one style, with the Chinese glyphs inside."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from quartet.chinese_font import font_face

FONT_PLACE = "/* font */"


def rendered(template: str, **values: object) -> str:
    """A page from `templates/TEMPLATE`, with the common style and the font for what is written on it."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(_text(template)).render(style=_text("page.css"), **values)
    return page.replace(FONT_PLACE, font_face(page))


def _text(name: str) -> str:
    return (files("quartet") / "templates" / name).read_text(encoding="utf-8")
