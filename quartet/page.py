"""Pages: self-contained HTML that opens offline, in one style, with the Chinese glyphs inside."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from quartet.chinese_font import font_face

FONT_PLACE = "/* font */"


def rendered(template: str, **values: object) -> str:
    """A page from `templates/TEMPLATE`, with the common style and the font for what is written on it."""
    loader = PackageLoader("quartet")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    style, _, _ = loader.get_source(environment, "page.css")
    page = environment.get_template(template).render(style=style, **values)
    return page.replace(FONT_PLACE, font_face(page))
