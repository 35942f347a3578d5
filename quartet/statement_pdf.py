"""A statement as PDF: A4, the Chinese font inside, every figure of a bill linked to the rows behind it.

The same page gives the same bytes: the only date in the file is that of the month's end; ids follow from the content.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from io import BytesIO

from fpdf import FPDF
from fpdf.enums import Align, TableBordersLayout, TableCellFillMode, WrapMode
from fpdf.fonts import FontFace
from fpdf.table import Row
from pylopdf_fonts_zh_cn import sans_path

from quartet.statement_page import Card, Cell, Page, Picture, Section, Table

FONT = "sans"
INK, SOFT, LINE, PALE, RED, GREEN = (
    (33, 37, 41),
    (108, 117, 125),
    (206, 212, 218),
    (241, 243, 245),
    (193, 18, 31),
    (27, 127, 107),
)
LINKED = (29, 79, 145)
MARGIN_MM, BODY_PT, SMALL_PT = 15, 9, 7.5
LINE_MM = 4.2


def pdf_of(page: Page, dated: datetime) -> bytes:
    """The document; `dated` stands in its properties."""
    pdf = _Pdf(page, dated)
    pdf.add_page()
    _cover(pdf, page)
    for section in page.sections:
        _section(pdf, section)
    _signatures(pdf, page)
    return bytes(pdf.output())


class _Pdf(FPDF):
    """A4 with the font, a footer, and the anchors of the page."""

    def __init__(self, page: Page, dated: datetime) -> None:
        super().__init__(format="A4")
        self.page_ = page
        self.add_font(FONT, "", sans_path())
        self.set_font(FONT, size=BODY_PT)
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(True, 18)
        self.set_creation_date(dated)
        self.set_title(f"{page.title} {page.subtitle}")
        self.set_lang("zh-CN" if page.lang == "zh" else "en")
        self.anchors = _anchors(page)
        self.wrapping = WrapMode.CHAR if page.lang == "zh" else WrapMode.WORD

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font(FONT, size=SMALL_PT)
        self.set_text_color(*SOFT)
        self.cell(0, 5, self.page_.footer)
        self.set_x(MARGIN_MM)
        self.cell(0, 5, f"{self.page_no()}", align=Align.R)
        self.set_text_color(*INK)
        self.set_font(FONT, size=BODY_PT)

    def reach(self, anchor: str) -> str:
        """The link to an anchor; figures of one bill line lead to the table of all. Empty where there is none."""
        name = anchor.partition("-")[0]
        return f"#{name}" if name in self.anchors else ""


def _anchors(page: Page) -> list[str]:
    tables = [part for section in page.sections for part in section.parts if isinstance(part, Table)]
    return [table.anchor for table in tables if table.anchor]


def _cover(pdf: _Pdf, page: Page) -> None:
    pdf.set_font(FONT, size=20)
    pdf.multi_cell(0, 10, page.title, new_x="LMARGIN", new_y="NEXT")
    pdf.set_font(FONT, size=12)
    pdf.set_text_color(*SOFT)
    pdf.multi_cell(0, 7, page.subtitle, new_x="LMARGIN", new_y="NEXT")
    pdf.set_text_color(*INK)
    pdf.set_font(FONT, size=BODY_PT)
    pdf.ln(2)
    _fact_table(pdf, page)
    pdf.ln(4)
    _cards(pdf, page.cards)
    pdf.set_text_color(*GREEN)
    pdf.set_font(FONT, size=11)
    for claim in page.claims:
        pdf.multi_cell(0, 7, claim, new_x="LMARGIN", new_y="NEXT")
    pdf.set_text_color(*INK)
    pdf.set_font(FONT, size=BODY_PT)


def _fact_table(pdf: _Pdf, page: Page) -> None:
    pairs = [page.facts[n : n + 2] for n in range(0, len(page.facts), 2)]
    with pdf.table(
        borders_layout=TableBordersLayout.NONE, first_row_as_headings=False, col_widths=(22, 40, 22, 40),
        line_height=LINE_MM + 0.8, padding=(0.4, 1), text_align="LEFT", wrapmode=pdf.wrapping,
    ) as table:  # fmt: skip
        for pair in pairs:
            row = table.row()
            for name, value in pair:
                row.cell(name, style=FontFace(color=SOFT))
                row.cell(value)


def _cards(pdf: _Pdf, cards: Sequence[Card]) -> None:
    width, top = pdf.epw / len(cards), pdf.get_y()
    for n, card in enumerate(cards):
        left = pdf.l_margin + n * width
        pdf.set_draw_color(*LINE)
        pdf.rect(left, top, width - 2, 22, round_corners=True, corner_radius=1.5)
        written = ((card.name, SMALL_PT, SOFT, 2.0), (card.value, 13.0, INK, 7.5), (card.note, 6.5, SOFT, 15.5))
        for text, size, colour, down in written:
            pdf.set_xy(left + 2, top + down)
            pdf.set_font(FONT, size=size)
            pdf.set_text_color(*colour)
            pdf.multi_cell(width - 6, 3.2 if size < 8 else 6, text, align=Align.L)
    pdf.set_text_color(*INK)
    pdf.set_font(FONT, size=BODY_PT)
    pdf.set_xy(pdf.l_margin, top + 25)


def _section(pdf: _Pdf, section: Section) -> None:
    if pdf.will_page_break(30):
        pdf.add_page()
    pdf.ln(4)
    pdf.set_font(FONT, size=13)
    pdf.set_text_color(*(RED if section.red else INK))
    pdf.start_section(section.title)
    pdf.multi_cell(0, 8, section.title, new_x="LMARGIN", new_y="NEXT")
    pdf.set_text_color(*INK)
    pdf.set_font(FONT, size=BODY_PT)
    for part in section.parts:
        _part(pdf, part)


def _part(pdf: _Pdf, part: str | Table | Picture) -> None:
    if isinstance(part, Table):
        _table(pdf, part)
    elif isinstance(part, Picture):
        _picture(pdf, part)
    else:
        pdf.multi_cell(0, LINE_MM + 0.6, part, new_x="LMARGIN", new_y="NEXT", align=Align.L, wrapmode=pdf.wrapping)
        pdf.ln(1)


def _picture(pdf: _Pdf, picture: Picture) -> None:
    if pdf.will_page_break(68):
        pdf.add_page()
    pdf.set_text_color(*SOFT)
    pdf.multi_cell(0, 6, picture.title, new_x="LMARGIN", new_y="NEXT")
    pdf.set_text_color(*INK)
    pdf.image(BytesIO(picture.png), w=pdf.epw, alt_text=picture.title)


def _table(pdf: _Pdf, table: Table) -> None:
    if table.anchor:
        pdf.set_link(name=table.anchor, y=pdf.get_y())
    texts = len(table.heads) - table.numbers
    aligns = tuple("LEFT" if n < texts else "RIGHT" for n in range(len(table.heads)))
    pdf.set_font(FONT, size=SMALL_PT)
    pdf.set_draw_color(*LINE)
    with pdf.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES, col_widths=tuple(table.widths), text_align=aligns,
        line_height=LINE_MM, padding=(0.5, 1), headings_style=FontFace(color=SOFT, fill_color=PALE),
        cell_fill_mode=TableCellFillMode.NONE, wrapmode=pdf.wrapping,
    ) as made:  # fmt: skip
        made.row(list(table.heads))
        for n, cells in enumerate(table.rows):
            _row(pdf, made.row(), cells, last=table.total and n == len(table.rows) - 1)
    pdf.set_font(FONT, size=BODY_PT)
    pdf.ln(2)


def _row(pdf: _Pdf, row: Row, cells: Sequence[Cell], last: bool) -> None:
    for cell in cells:
        link = pdf.reach(cell.link)
        colour = RED if cell.red else (LINKED if link else INK)
        row.cell(cell.text, style=FontFace(color=colour, fill_color=PALE if last else None), link=link)


def _signatures(pdf: _Pdf, page: Page) -> None:
    if pdf.will_page_break(45):
        pdf.add_page()
    pdf.ln(8)
    top, width = pdf.get_y(), pdf.epw / len(page.signatures)
    zh = page.lang == "zh"
    for n, (role, name) in enumerate(page.signatures):
        left = pdf.l_margin + n * width
        pdf.set_draw_color(*LINE)
        pdf.rect(left, top, width - 4, 36)
        for down, text in (
            (3, f"{role}: {name}"),
            (18, "签字：" if zh else "signed:"),
            (27, "日期：" if zh else "date:"),
        ):
            pdf.set_xy(left + 3, top + down)
            pdf.multi_cell(width - 10, 5, text, align=Align.L)
    pdf.set_y(top + 40)
