"""The normal form of an e-mail address, from which its digest is made.

It accepts every address that mail may have gone to, because a *no* must not be lost. All spellings of one mailbox have
one form.
"""

import re
import unicodedata

from kielto.errors import InvalidValueError

_SPECIALS = r"\s\x00-\x1f\x7f-\x9f()<>\[\]:;,\\\""
_ATOM = re.compile(rf"[^@{_SPECIALS}]+")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f-\x9f]|\\[^\x00-\x1f\x7f-\x9f])+)"')
_LABEL = re.compile(rf"[^@.{_SPECIALS}]{{1,63}}")
_DOMAIN = re.compile(rf"{_LABEL.pattern}(?:\.{_LABEL.pattern})*")
_DOTLESS = re.compile("i\u0307+|\u0131\u0307*")
_LITERAL = re.compile(r"\[[0-9a-z.:]+\]")


def email(text: str) -> str:
    """Return `local@domain` in normal form. Raises InvalidValueError."""
    local, at, domain = _fold(text).strip().rpartition("@")
    if not at:
        raise InvalidValueError("must be an address of the form name@domain")
    return f"{_local(local)}@{_domain(domain)}"


def written(text: str) -> str:
    """Return the address as it is stored and mailed to: as given, with ASCII letters in lower case. The normal form
    also joins ß and ss or i with and without a dot, which may be two mailboxes on some server.
    """
    text = unicodedata.normalize("NFC", text.strip())
    return "".join(c.lower() if c.isascii() else c for c in text)


def _fold(text: str) -> str:
    """Fold as for compatibility caseless matching (Unicode, D146), drop invisible characters, and join i with and
    without a dot.
    """
    categories = {unicodedata.category(c) for c in text}
    if "Cs" in categories:
        raise InvalidValueError("must be Unicode text")
    if "Cf" in categories:
        text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = unicodedata.normalize("NFD", text)
    for _ in range(2):
        text = _DOTLESS.sub("i", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFKC", text)


def _local(text: str) -> str:
    if quoted := _QUOTED.fullmatch(text):
        inner = re.sub(r"\\(.)", r"\1", quoted[1])
        return inner if _ATOM.fullmatch(inner) else '"' + re.sub(r'([\\"])', r"\\\1", inner) + '"'
    if _ATOM.fullmatch(text):
        return text
    raise InvalidValueError(
        "must be one address name@domain, with special characters in quotes (RFC 5321 section 4.1.2)"
    )


def _domain(text: str) -> str:
    if _LITERAL.fullmatch(text):
        return text
    name = text.replace("\u3002", ".").removesuffix(".")
    if _DOMAIN.fullmatch(name):
        name = ".".join(_decoded(label) for label in name.split("."))
    if not _DOMAIN.fullmatch(name):
        raise InvalidValueError(
            "must have a domain of labels of 1 to 63 characters each, or an address in brackets"
        )
    return name


def _decoded(label: str) -> str:
    """Decode an `xn--` label (RFC 3492), whether IDNA allows the text or not. Other labels are returned as they are."""
    if not label.startswith("xn--"):
        return label
    try:
        text = label[4:].encode("ascii").decode("punycode")
        if text.encode("punycode").decode("ascii") != label[4:]:
            return label
        folded = _fold(text)
    except (UnicodeError, InvalidValueError):
        return label
    plain = not text.isascii() and not folded.startswith("xn--") and _LABEL.fullmatch(folded)
    return folded if plain else label
