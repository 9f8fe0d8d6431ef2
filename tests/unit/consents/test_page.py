"""The page to print: complete, and nothing in it but text."""

from html.parser import HTMLParser
from typing import Any

from services.consents.api.decision_log.page import page

HOSTILE = "<script src=//x>alert('1')</script>&\"'"


def proof(text: str, *, places: int = 1, in_all: int = 1) -> dict[str, Any]:
    said = dict.fromkeys(
        ["id", "said_at", "received_at", "effective_from", "act", "by", "route", "party", "recorded_by"], text
    )
    place = {"topic": text, "partition": 0, "offset": 7, "version": text, "published_at": text}
    system = dict.fromkeys(["subscriber", "name", "party", "stage", "applied_at", "deadline"], text)
    document = {
        "decision": said,
        "subject": {"kind": text, "customer": None},
        "in_words": text,
        "systems": [system],
        "places": [place] * places,
        "places_in_all": in_all,
        "leaf": 3,
        "salt": text,
        "head": text,
        "made_at": text,
        "made_for": text,
    }
    return {"document": document, "signature": text}


class SeenPage(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.data += data


def test_what_the_document_says_is_text_and_nothing_else() -> None:
    harmless, hostile = SeenPage(page(proof("harmless"))), SeenPage(page(proof(HOSTILE)))
    assert hostile.tags == harmless.tags
    assert hostile.data.count(HOSTILE) == harmless.data.count("harmless") > 15


def test_nothing_is_loaded_from_elsewhere() -> None:
    tags = SeenPage(page(proof("harmless"))).tags
    assert {name for _, attrs in tags for name, _ in attrs} <= {"lang", "charset", "class"}
    assert "url(" not in page(proof("harmless"))
    assert "@import" not in page(proof("harmless"))


def test_a_part_is_called_a_part_and_nothing_is_said() -> None:
    assert "The first 2 of 9." in page(proof("x", places=2, in_all=9))
    assert "The first" not in page(proof("x", places=2, in_all=2))
    assert "Nowhere yet" in page(proof("x", places=0, in_all=0))
