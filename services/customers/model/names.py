"""Names as they are compared: without case, diacritics, punctuation and order of their parts."""

import re
import unicodedata

_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_PARTS = re.compile(r"[^\W_]+")


def folded(name: str) -> str:
    """Equal for `Åsa  Öhman-Berg` and `ohman berg ASA`."""
    return " ".join(sorted(letters_of(name)))


def letters_of(text: str) -> list[str]:
    """Its words of letters and digits alone, in order, without case and diacritics."""
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(c for c in text if not unicodedata.combining(c)).casefold().translate(_LETTERS)
    return _PARTS.findall(text)
