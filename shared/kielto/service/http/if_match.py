"""The header If-Match (RFC 9110, section 13.1.1): a list of entity tags, or `*`."""

import re

from kielto.service.http.problem import ProblemError

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"[\s,]*(?:{_TAG.pattern}(?:\s*,[\s,]*|\s*$))+")


def revisions(header: str | None) -> frozenset[int] | None:
    """The revisions that the caller takes to be the present one; None: `*`, whatever it is.

    What is no list, a tag that is none of ours, and a weak one, which proves nothing (section 8.8.3.2), name no
    revision. Raises ProblemError 428 `if-match-missing`.
    """
    if header is None:
        raise ProblemError(
            428,
            "if-match-missing",
            "If-Match is missing: read the record and send the ETag of the answer",
        )
    if header.strip() == "*":
        return None
    if not _LIST.fullmatch(header):
        return frozenset()
    tags = [tag for weak, tag in _TAG.findall(header) if not weak]
    return frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) <= 18)
