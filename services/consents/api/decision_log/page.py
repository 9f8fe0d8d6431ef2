"""A proof document as an HTML page to print. Values of the document are escaped; nothing is loaded from elsewhere."""

import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from kielto.seals import canonical

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_PAGE = Template((Path(__file__).parent / "proof.html").read_text(encoding="utf-8"))
_SAID = {
    "id": "Decision",
    "said_at": "Said",
    "received_at": "Received",
    "effective_from": "In force from",
    "act": "Act",
    "by": "By",
    "route": "Came by",
    "party": "Brought by",
    "recorded_by": "Recorded by",
}


def page(proof: Mapping[str, Any]) -> str:
    """The HTML text."""
    document = proof["document"]
    said, subject = document["decision"], document["subject"]
    about = subject["customer"] or f"known to us as a sealed {subject['kind']} only"
    return _PAGE.substitute(
        in_words=escape(document["in_words"]),
        said=_list([*((label, said[name]) for name, label in _SAID.items()), ("About", about)]),
        systems=_table(
            ("System", "Of", "State", "Applied", "Due"),
            [
                (s["name"], s["party"], s["stage"].replace("_", " "), s["applied_at"], s["deadline"])
                for s in document["systems"]
            ],
        ),
        places=_table(
            ("Topic", "Partition", "Offset", "Version", "Published"),
            [
                (p["topic"], p["partition"], p["offset"], p["version"], p["published_at"])
                for p in document["places"]
            ],
            document["places_in_all"],
        ),
        sealed=_list(
            [
                ("Leaf", document["leaf"]),
                ("Salt", document["salt"]),
                ("Signed tree head", document["head"]),
                ("Signature", proof["signature"]),
                ("SHA-256 of the document", hashlib.sha256(canonical(document)).hexdigest()),
            ]
        ),
        made_at=escape(document["made_at"]),
        made_for=escape(document["made_for"]),
    )


def _list(rows: Iterable[tuple[str, object]]) -> str:
    return "".join(f"<dt>{escape(label)}</dt><dd>{_text(value)}</dd>" for label, value in rows)


def _table(names: tuple[str, ...], rows: list[tuple[object, ...]], in_all: int = 0) -> str:
    if not rows:
        return "<p>Nowhere yet, or nobody is concerned.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_text(v)}</td>' for v in row)}</tr>" for row in rows)
    more = f"<p>The first {len(rows)} of {in_all}.</p>" if in_all > len(rows) else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _text(value: object) -> str:
    return "–" if value is None else escape(str(value))
