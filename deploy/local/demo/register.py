"""Who was imported into the register, and of whom no step has told anything yet."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from deploy.local.demo.people import PRODUCT_GROUP, DemoPerson, row
from deploy.local.demo.world import DemoWorld


class DemoRegister:
    """Who was imported: each person's id in the register, and where they are customers."""

    def __init__(self, world: DemoWorld) -> None:
        self.world = world
        self.ids: dict[str, UUID] = {}
        self.people: dict[str, DemoPerson] = {}
        self.used: set[str] = set()

    def pick(self, company: str, count: int, *, also: str | None = None) -> list[str]:
        """People of a company whom no step has used yet, the last of the register first."""
        found = [
            n for n in reversed(self.of(company, also=also)) if n not in self.used and self.people[n].phone
        ]
        self.used.update(found[:count])
        return found[:count]

    async def take_in(self, people: list[DemoPerson]) -> list[dict[str, Any]]:
        """Import company by company; return the reports of rows that were refused, or imported without a field that
        could not be read. In this data that is the phone number.
        """
        told = []
        for company in PRODUCT_GROUP:
            theirs = [p for p in people if company in p.companies]
            if not theirs:
                continue
            report = await self.world.import_rows(
                company, (json.dumps(row(p, company)).encode() for p in theirs)
            )
            for line in report[:-1]:
                person = theirs[line["row"] - 1]
                if line["status"] == "refused" or line.get("warnings"):
                    told.append(line)
                    person = replace(person, phone=None)
                if line["status"] != "refused":
                    self.ids[person.number], self.people[person.number] = UUID(line["id"]), person
        return told

    def of(self, company: str, *, also: str | None = None) -> list[str]:
        """Numbers of the people of a company (and also of another), in the register's order."""
        return [
            n
            for n, p in self.people.items()
            if company in p.companies and (also is None or also in p.companies)
        ]
