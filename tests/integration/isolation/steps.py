"""What companies and the group do, generated: a step is plain data, in which people stand as numbers (`people.py`)."""

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

ACTOR, OTHERS = "alfa", ("beta", "gamma")
GROUP = "group"
JOINED = "J"
"""A number at alfa and at beta, of whom the group said that they are one person."""
NUMBERED = ("1", "2", "3", "4")
_FIELDS = ("name", "identity_code", "email", "phone", "post", "birth_date", "business_id")
_PERSON_OF = {"1": 0, "2": 1, "3": 2, "4": 3, JOINED: 4}
_NOS = ("ban", "opt_out", "withdrawal", "objection")


class IsolationStep(NamedTuple):
    who: str
    do: str
    args: dict[str, Any]


def beginning() -> list[IsolationStep]:
    """Registers that overlap, some consents, and one person whom the group joined."""
    whole = ("name", "email", "phone", "post")

    def known(who: str, number: str, person: int, *fields: str) -> IsolationStep:
        return IsolationStep(
            who, "create", {"number": number, "said": dict.fromkeys((*whole, *fields), person), "key": None}
        )

    def yes(who: str, number: str, channel: str) -> IsolationStep:
        subject = ["number", who, number]
        return IsolationStep(who, "decide", _yes(who, subject, [channel]))

    people = [
        known("beta", "1", 0, "identity_code"),
        known("beta", "2", 1, "identity_code"),
        known("beta", "3", 2, "business_id"),
        known("gamma", "3", 2, "identity_code"),
        known("gamma", "4", 3),
        known(ACTOR, "1", 0, "identity_code"),
        known(ACTOR, "2", 50, "identity_code"),
        IsolationStep("beta", "create", {"number": JOINED, "said": {"email": 51, "phone": 51}, "key": None}),
        IsolationStep(
            ACTOR, "create", {"number": JOINED, "said": {"email": 52, "language": "fi"}, "key": None}
        ),
        IsolationStep(GROUP, "merge", {"of": [ACTOR, JOINED], "into": ["beta", JOINED]}),
    ]
    asked = (("beta", "1"), ("beta", "3"), ("beta", JOINED), (ACTOR, "1"), ("gamma", "4"))
    said = [yes(who, number, channel) for who, number in asked for channel in ("email", "sms")]
    return people + said


def _yes(who: str, subject: list[Any], channels: list[str]) -> dict[str, Any]:
    return {
        "subject": subject,
        "act": "consent",
        "reach": "company",
        "company": who,
        "purposes": ["own_marketing"],
        "channels": channels,
        "lifts": [],
    }


class Drawn:
    """Steps of one seed. `loud`: the actor brings *no*s that bind others, too."""

    def __init__(self, seed: int, *, loud: bool) -> None:
        self._random = Random(seed)
        self._about = self._random.sample(NUMBERED, 2) if loud else []
        """Numbers of those about whom the actor is loud. Everywhere a number is then one person's, so that others have
        nothing to do with them.
        """

    def steps(self, count: int) -> list[IsolationStep]:
        drawn = list(self._steps(count))
        return [*beginning(), *drawn]

    def _steps(self, count: int) -> Iterator[IsolationStep]:
        for _ in range(count):
            who = self._one((ACTOR, ACTOR, ACTOR, "beta", "beta", "gamma", GROUP))
            acts = _OF_GROUP if who == GROUP else _OF_COMPANY
            do = self._random.choices(list(acts), list(acts.values()))[0]
            yield IsolationStep(who, do, getattr(self, f"_{do}")(who))

    # -- parts

    def _one(self, among: Any) -> Any:
        return self._random.choice(list(among))

    def _often(self, chance: float) -> bool:
        return self._random.random() < chance

    def _person(self) -> int:
        return self._random.choice((0, 0, 1, 2, 2, 3, 4, 50, 53))

    def _number(self) -> str:
        return str(self._random.choice((*NUMBERED, JOINED)))

    def _other(self, who: str) -> str:
        return str(self._one(c for c in (ACTOR, *OTHERS) if c != who))

    def _said(self, number: str, *, patch: bool = False) -> dict[str, Any]:
        person = _PERSON_OF[number] if self._about else self._person()
        said: dict[str, Any] = {
            f: self._person() if not self._about and self._often(0.35) else person
            for f in _FIELDS
            if self._often(0.25 if f in ("birth_date", "business_id") else 0.4 if patch else 0.65)
        }
        if self._often(0.15):
            said["recipient"] = self._one(("natural", "legal", "user", "contact"))
        if self._often(0.15):
            said["role_address"] = True
        if self._often(0.1):
            said[self._one(("deceased", "safety_ban"))] = self._often(0.7)
        return said

    def _subject(self, who: str) -> list[Any]:
        kind = self._one(("id", "number", "email", "phone", "email", "phone", "theirs", "foreign"))
        if who == ACTOR and self._about and self._often(0.6):
            number = self._one(self._about)
            return [kind, _PERSON_OF[number]] if kind in ("email", "phone") else ["number", who, number]
        if kind in ("email", "phone"):
            return [kind, self._person()]
        if kind in ("theirs", "foreign"):
            return [kind, self._other(who), self._number()]
        return [kind, who, self._number()]

    # -- what companies do

    def _create(self, who: str) -> dict[str, Any]:
        key = self._one(("once", "twice")) if self._often(0.15) else None
        number = self._number()
        return {"number": number, "said": self._said(number), "key": key} | self._reference(who, number)

    def _reference(self, who: str, number: str) -> dict[str, Any]:
        """To an organisation or a person of another company's."""
        if not self._often(0.12):
            return {}
        number = number if self._about else self._number()
        return {self._one(("organisation", "person")): [self._other(who), number]}

    def _import(self, who: str) -> dict[str, Any]:
        rows = []
        for _ in range(self._random.randint(1, 3)):
            number = self._number()
            row: dict[str, Any] = {"number": number, "said": self._said(number)}
            if self._often(0.15):
                same = number if self._about else self._number()
                row["same_as"] = [self._one((who, self._other(who))), same]
            rows.append(row)
        return {"rows": rows, "dry_run": self._often(0.15)}

    def _patch(self, who: str) -> dict[str, Any]:
        number = self._number()
        said = {"said": self._said(number, patch=True), "blind": self._often(0.3)}
        return {"number": number} | said | self._reference(who, number)

    def _end(self, who: str) -> dict[str, Any]:
        return {"number": self._number()}

    def _look(self, who: str) -> dict[str, Any]:
        """At what is another company's, by an id that this one gave away."""
        return {"of": [self._other(who), self._number()], "at": self._random.randrange(9)}

    def _decide(self, who: str) -> dict[str, Any]:
        subject = self._subject(who)
        if self._often(0.45):
            yes = _yes(who, subject, [self._one(("email", "sms", "phone", "post"))])
            if self._often(0.4):
                yes["lifts"] = [self._lift(who) for _ in range(self._random.randint(1, 2))]
                yes["act"] = self._one(("consent", "lifting"))
            return yes
        no: dict[str, Any] = {"subject": subject, "act": self._one(_NOS), "lifts": []}
        if self._often(0.3) or (who == ACTOR and not self._is_loud(subject)):
            return no | {"reach": "company", "company": who}
        if self._often(0.3):
            no |= {"reach": "partner", "partner": "common"}
        elif self._often(0.5):
            no |= {"reach": "group"}
        if self._often(0.3):
            no["channels"] = [self._one(("email", "phone", "post"))]
        if self._often(0.2):
            no["by"] = self._one(("agent", "staff", "import"))
        return no

    def _is_loud(self, subject: list[Any]) -> bool:
        about = (*self._about, *(_PERSON_OF[n] for n in self._about))
        return subject[-1] in about

    def _lift(self, who: str) -> list[Any]:
        kind = self._one(("own", "own", "theirs", "nobodys"))
        whose = self._other(who) if kind == "theirs" else who
        return [kind, whose, self._random.randrange(20)]

    def _send(self, who: str) -> dict[str, Any]:
        """A decision on the company's topic."""
        return self._decide(who)

    def _garble(self, who: str) -> dict[str, Any]:
        """What cannot be read; in a quiet life of the actor about nobody."""
        named = self._one(self._about or (None,)) if who == ACTOR else self._number()
        return {"number": named if self._often(0.5) else None}

    def _clear(self, who: str) -> dict[str, Any]:
        channel = self._one(("email", "sms", "phone", "post"))
        recipients: list[list[Any]] = []
        for _ in range(self._random.randint(1, 4)):
            number, address = self._number(), self._person()
            kinds = ("id", "number") if channel == "post" else ("id", "number", "address", "both")
            recipients.append([self._one(kinds), number, address])
        return {"channel": channel, "partners": self._often(0.3), "recipients": recipients}

    def _campaign(self, who: str) -> dict[str, Any]:
        return {
            "channel": self._one(("email", "sms", "phone", "post")),
            "partner": self._one((None, None, ("common", "we_send"), ("common", "partner_sends"))),
        }

    def _report(self, who: str) -> dict[str, Any]:
        return {
            "what": self._one(("delivery", "delivery", "response")),
            "to": self._one(
                (
                    ["addressed", self._random.randrange(5)],
                    ["own", self._number()],
                    ["nobody"],
                    ["theirs", self._other(who), self._number()],
                )
            ),
        }

    def _ack(self, who: str) -> dict[str, Any]:
        return {"beyond": 1000 if self._often(0.1) else 0}

    def _answer(self, who: str) -> dict[str, Any]:
        """To the reconciliation: wrong digests, or rows that the company was never given."""
        return {"of": [self._other(who), self._number()], "rows": self._often(0.5)}

    # -- what the group does

    def _merge(self, _who: str) -> dict[str, Any]:
        number = self._number()
        return {"of": ["beta", number], "into": ["gamma", number if self._about else self._number()]}

    def _state(self, _who: str) -> dict[str, Any]:
        number = self._number()
        return {"of": [self._one(OTHERS), number], "said": self._said(number, patch=True)}

    def _erase(self, _who: str) -> dict[str, Any]:
        return {"of": [self._one((ACTOR, "beta")), self._one(NUMBERED)]}

    def _held(self, _who: str) -> dict[str, Any]:
        return {"mark": self._one(("release", "void")), "party": f"company.{self._one((ACTOR, 'beta'))}"}

    def _ask(self, _who: str) -> dict[str, Any]:
        return {"party": self._one((ACTOR, "beta"))}


_OF_COMPANY = {
    "create": 8,
    "import": 8,
    "patch": 9,
    "end": 2,
    "look": 3,
    "decide": 9,
    "send": 8,
    "garble": 1,
    "clear": 4,
    "campaign": 2,
    "report": 3,
    "ack": 3,
    "answer": 1,
}
_OF_GROUP = {"merge": 2, "state": 4, "erase": 3, "held": 2, "ask": 1}


Node = tuple[str, ...]
"""`(company, number)`, or `("person", number of the person)`."""
EVERYONE: Node = ("everyone",)


def nodes(step: IsolationStep) -> frozenset[Node]:
    """Whom a step may be about, by whatever it names them."""
    if step.do in ("campaign", "report", "ack", "answer", "ask", "held"):
        return frozenset((EVERYONE,))
    return frozenset(_nodes(step.who, step.args))


def _nodes(who: str, args: Any) -> Iterator[Node]:
    if isinstance(args, dict):
        yield from (person(v) for k, v in args.items() if k in _FIELDS)
        if args.get("number"):
            yield who, args["number"]
        args = list(args.values())
    if isinstance(args, list):
        match args:
            case ["email" | "phone", int() as known]:
                yield person(known)
            case ["id" | "number" | "both" | "address", str() as number, int() as known]:
                yield from ((who, number), person(known))
            case [*_, str() as company, str() as number] if company in (ACTOR, *OTHERS):
                yield company, number
        for inner in args:
            yield from _nodes(who, inner)


def person(number: int) -> Node:
    """0 and 1 share a phone, and so does whatever is said to it."""
    return "person", str(0 if number == 1 else number)


def reached(steps: Iterable[IsolationStep]) -> frozenset[Node]:
    """Everybody whom a *no* that the actor brings may bind elsewhere, too: that is what may travel. Whoever is named by
    one, and whoever is named together with those by anybody.
    """
    together = [nodes(s) for s in steps if s.do in ("create", "import", "patch", "merge", "state")]
    found = {node for step in steps if _travels(step) for node in nodes(step)}
    size = -1
    while size != len(found):
        size = len(found)
        found |= {node for group in together if group & found for node in group}
    return frozenset(found)


def _travels(step: IsolationStep) -> bool:
    if step.who != ACTOR:
        return False
    if step.do == "garble":
        return bool(step.args["number"])
    return step.do in ("decide", "send") and step.args["act"] in _NOS and step.args.get("reach") != "company"
