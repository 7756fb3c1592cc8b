"""Letters for what is written in pictures: never the empty boxes of characters that a font does not have.

    pen.text((0, 0), "얼굴", font=font(14))

The font that Pillow brings along has Latin letters. For other scripts a font of this machine that has all of a text's
characters is looked for; where there is none, the text is written in Latin letters (EolGul).
"""

from __future__ import annotations

from functools import cache, lru_cache, partialmethod
from pathlib import Path

from anyascii import anyascii
from PIL import ImageFont

PLAIN = ("sans", "gothic", "hei", "ming")  # in the names of fonts that suit captions
BOXES = ("lastresort", "blank", "notdef")  # in those of fonts that have every character, and draw none


class CaptionFont(ImageFont.FreeTypeFont):
    """Pillow's own font, which asks another one, or writes in Latin letters, where it lacks a character."""

    def _call(self, method: str, text, *args, **kwargs):
        font = super()
        if isinstance(text, str) and not text.isascii():
            path, text = written(text)
            font = font if path is None else _truetype(path, self.size)
        return getattr(font, method)(text, *args, **kwargs)

    getmask2 = partialmethod(_call, "getmask2")
    getlength = partialmethod(_call, "getlength")
    getbbox = partialmethod(_call, "getbbox")


@cache
def font(size: int = 14) -> CaptionFont:
    """The letters of captions, of any script, so many pixels high."""
    own = _pillows(size)
    return CaptionFont(own.path, size, layout_engine=own.layout_engine)


def _pillows(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, its file ready to be read again."""
    own = ImageFont.load_default(size)
    own.path.seek(0)
    return own


@lru_cache(maxsize=1024)
def written(text: str) -> tuple[str | None, str]:
    """(file of a font that has all of it, or None for Pillow's own; the text, in Latin letters where there is none)."""
    if has_letters(None, text):
        return None, text
    path = next((path for path in _installed() if has_letters(path, text)), None)
    return path, anyascii(text) if path is None else text


def has_letters(path: str | None, text: str) -> bool:
    """Has a font, by its file or None for Pillow's own, all of a text's characters?"""
    face = _face(path)
    return face is not None and all(face.get_char_index(ord(c)) for c in text if not c.isspace())


@cache
def _face(path: str | None):
    """The font as Matplotlib reads it, which tells the characters it has; None where it cannot be used."""
    from matplotlib.ft2font import FT2Font

    try:
        if path is None:
            return FT2Font(_pillows(14).path)
        _truetype(path, 14)
        return FT2Font(path)
    except (OSError, RuntimeError, ValueError):
        return None


_truetype = cache(ImageFont.truetype)


@cache
def _installed() -> tuple[str, ...]:
    """Files of this machine's fonts, those that suit captions first."""
    from matplotlib import font_manager

    entries = font_manager.fontManager.ttflist
    fonts = {e.fname: e for e in entries if not any(part in Path(e.fname).stem.lower() for part in BOXES)}

    def order(path: str) -> tuple:
        entry = fonts[path]
        name = Path(path).stem.lower()
        upright = entry.style == "normal" and entry.weight in (400, "normal", "regular")
        return not upright, not any(part in name for part in PLAIN), name

    return tuple(sorted(fonts, key=order))
