"""A party of the group: a company or a partner, as it is written in topics, keys and tokens."""

import re
from typing import Literal, cast

PATTERN = r"^(company|partner)\.[a-z][a-z0-9-]{0,39}$"
_TEXT = re.compile(PATTERN)


class Party(str):
    """`company.<id>` or `partner.<id>`. A string, so that it travels in JSON, SQL and topic names as it is."""

    __slots__ = ()

    @classmethod
    def company(cls, ident: str) -> "Party":
        return cls(f"company.{ident}")

    @classmethod
    def partner(cls, ident: str) -> "Party":
        return cls(f"partner.{ident}")

    @classmethod
    def parse(cls, text: str) -> "Party":
        """Raise ValueError unless `text` is `company.<id>` or `partner.<id>`."""
        if not _TEXT.fullmatch(text):
            raise ValueError("a party must be company.<id> or partner.<id>")
        return cls(text)

    @property
    def kind(self) -> Literal["company", "partner"]:
        return cast(Literal["company", "partner"], self.partition(".")[0])

    @property
    def id(self) -> str:
        """The company's or partner's id in group.yaml."""
        return self.partition(".")[2]

    @property
    def is_company(self) -> bool:
        return self.kind == "company"
