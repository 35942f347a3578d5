"""The Chinese glyphs of a page as a font inside the page: readers may have no Chinese font.

Noto Sans SC (SIL Open Font License 1.1), cut down to the characters that are used.
"""

from __future__ import annotations

import base64
from io import BytesIO

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from pylopdf_fonts_zh_cn import sans_path

FAMILY = "Quartet Chinese"
FIRST = "\u2e80"
"""Characters from here on (radicals, punctuation, ideographs, full-width forms) are taken; others every reader has."""


def font_face(text: str) -> str:
    """A CSS rule that brings the glyphs for all Chinese characters of `text`.

    The font has to be named first where it is used; its range leaves all other characters to the fonts after it. Named
    behind them, Chromium asks those first, and words laid out before the font is there keep the empty boxes found.
    """
    characters = {character for character in text if character >= FIRST}
    encoded = base64.b64encode(_subset(characters)).decode()
    source = f'url(data:font/woff;base64,{encoded}) format("woff")'
    return f'@font-face {{ font-family: "{FAMILY}"; src: {source}; unicode-range: U+{ord(FIRST):X}-10FFFF; }}'


def _subset(characters: set[str]) -> bytes:
    font = TTFont(sans_path(), recalcTimestamp=False)
    options = Options(flavor="woff", layout_features=[], notdef_outline=True, desubroutinize=True)
    cutter = Subsetter(options)
    cutter.populate(text=" " + "".join(sorted(characters)))
    cutter.subset(font)
    font.flavor = "woff"
    cut = BytesIO()
    font.save(cut)
    return cut.getvalue()
