"""A naive reference of the rules: straight from the law, one question at a time, over plain dicts.

Written apart from the model and in another way: it asks of each cell *and each product group* "may we?", looks
through every decision each time, and shares neither the rule file nor any code with the model. Slow on purpose.

A world is {"customers": {id: facts}, "decisions": [decision], "companies": [...], "partners": {partner: companies}}.
A cell is (company, point id, channel, purpose, partner, mode).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

OTHER = "any other product group"
MODELLED = ("email", "sms", "phone", "post")
CHANNELS = {
    "email": ("email",),
    "phone": ("sms", "phone", "automated_call"),
    "post": ("post", "door"),
    "number": (),
}
YES = ("consent", "lifting")
Plain = dict[str, Any]
Cell = tuple[str, str, str, str, str | None, str | None]
Answer = TypeVar("Answer")


def asked_once(question: Callable[..., Answer]) -> Callable[..., Answer]:
    """The answer is kept with the world, which nobody changes: it is asked for every cell anew. Whatever else is given
    is a text, or has an id.
    """

    @wraps(question)
    def ask(world: Plain, *given: Any) -> Answer:
        place = (question.__name__, *(g["id"] if isinstance(g, dict) else g for g in given))
        answers: dict[Any, Answer] = world.setdefault("answers", {})
        if place not in answers:
            answers[place] = question(world, *given)
        return answers[place]

    return ask


def end_of_chain(world: Plain, ident: str) -> str:
    """Where following `alias_of` ends; in a circle, its smallest id."""
    path = [ident]
    while True:
        onward = world["customers"][path[-1]]["alias_of"]
        if onward not in world["customers"]:
            return path[-1]
        if onward in path:
            return min(path[path.index(onward) :])
        path.append(onward)


def seen_by(facts: Plain, company: str | None) -> Plain:
    """What the group or this company states; None: what anybody does."""
    if company is None:
        return facts
    points = []
    for point in facts["points"]:
        if not point["holders"] or company in point["holders"]:
            role = point["role_address"] or company in point["role_address_in"]
            points.append({**point, "role_address": role})
    seen = {**facts, "points": points}
    for word in facts["stated"]:
        if word["company"] == company:
            seen["recipient"] = word["recipient"] or facts["recipient"]
            seen["organisation"] = word["organisation"] or facts["organisation"]
            seen["duties"] = word["duties"]
    return seen


@asked_once
def same_person(world: Plain, ident: str, company: str | None = None) -> list[Plain]:
    end = end_of_chain(world, ident)
    everyone = world["customers"].items()
    return [seen_by(facts, company) for other, facts in everyone if end_of_chain(world, other) == end]


@asked_once
def survivor(world: Plain, ident: str, company: str | None = None) -> Plain:
    return seen_by(world["customers"][end_of_chain(world, ident)], company)


def binders(world: Plain, people: list[Plain]) -> list[list[Plain]]:
    """The others whose own no binds these people: each as all the records of one person."""
    found: dict[str, list[Plain]] = {}
    mine = {facts["id"] for facts in people}
    for other in (o for facts in people for o in facts["bound_by"]):
        if other not in world["customers"]:
            found[other] = [{"id": other, "customerships": []}]
        elif other not in mine:
            found[end_of_chain(world, other)] = same_person(world, other)
    return list(found.values())


def said_by_others(world: Plain, people: list[Plain], decision: Plain) -> set[str]:
    """Those of them whom it is about, each by one id."""
    return {min(p["id"] for p in other) for other in binders(world, people) if is_about(decision, other)}


def cells(world: Plain, ident: str) -> list[Cell]:
    found: list[Cell] = []
    for company in world["companies"]:
        for point in survivor(world, ident, company)["points"]:
            for channel in CHANNELS[point["kind"]]:
                here = (company, point["id"], channel)
                found.append((*here, "own_marketing", None, None))
                for partner in (p for p, companies in world["partners"].items() if company in companies):
                    found.append((*here, "partner_marketing", partner, "we_send"))
                    found.append((*here, "partner_marketing", partner, "partner_sends"))
    return found


def needed(cell: Cell) -> list[str]:
    if cell[5] == "partner_sends":
        return ["partner_marketing", "disclosure"]
    return [cell[3]]


def the_point(world: Plain, ident: str, cell: Cell) -> Plain:
    return next(p for p in survivor(world, ident, cell[0])["points"] if p["id"] == cell[1])


def is_about(decision: Plain, people: list[Plain], ended: bool = False) -> bool:
    """By customer id or customer number; a number speaks a yes only for who has it now, or had it if `ended`."""
    subject = decision["subject"]
    for facts in people:
        if subject.get("customer") == facts["id"]:
            return True
        for customership in facts["customerships"]:
            same = (subject.get("company"), subject.get("number")) == (
                customership["company"],
                customership["ref"],
            )
            if same and (ended or customership["active"] or decision["act"] not in YES):
                return True
    return False


@asked_once
def speaker(world: Plain, ident: str, decision: Plain, company: str | None) -> str | None:
    """As this company sees the person."""
    me = survivor(world, ident, company)
    if is_about(decision, same_person(world, ident)):
        return "self"
    if said_by_others(world, same_person(world, ident), decision):
        return "link"
    if "point" in decision["subject"]:
        return "point" if any(p["ref"] == decision["subject"]["point"] for p in me["points"]) else None
    if me["recipient"] != "contact" or me["organisation"] is None:
        return None
    if is_about(decision, same_person(world, ident), ended=True):
        return None
    organisation = me["organisation"]
    if decision["subject"].get("customer") == organisation:
        return "employer"
    if organisation not in world["customers"]:
        return None
    if is_about(decision, same_person(world, organisation)):
        return "employer"
    return "employer's link" if said_by_others(world, same_person(world, organisation), decision) else None


@asked_once
def others(world: Plain, ident: str, decision: Plain, company: str) -> set[str]:
    """By way of whom it speaks of the person; nobody, when it does directly."""
    match speaker(world, ident, decision, company):
        case "link":
            return said_by_others(world, same_person(world, ident), decision)
        case "employer's link":
            organisation = survivor(world, ident, company)["organisation"]
            return said_by_others(world, same_person(world, organisation), decision)
    return set()


def in_scope(decision: Plain, cell: Cell) -> bool:
    """The reach alone."""
    company, partner = cell[0], cell[4]
    reach = decision["reach"]
    if reach == "group":
        return True
    if reach == "company":
        return bool(decision["company"] == company)
    if partner is None or (decision["company"] is not None and decision["company"] != company):
        return False
    return reach == "partners" or bool(decision["partner"] == partner)


def speaks_of_point(world: Plain, ident: str, decision: Plain, cell: Cell) -> bool:
    point, voice = the_point(world, ident, cell), speaker(world, ident, decision, cell[0])
    if voice in ("link", "employer's link") and decision["act"] not in YES:
        return True
    if "point" in decision["subject"]:
        return bool(point["ref"] == decision["subject"]["point"])
    return True


def restrictions_on(world: Plain, ident: str, cell: Cell) -> list[Plain]:
    """Every *no* that speaks of the cell, lifted or not, whatever the product group."""
    return [
        d
        for d in world["decisions"]
        if d["act"] not in YES
        and speaker(world, ident, d, cell[0]) is not None
        and in_scope(d, cell)
        and cell[2] in d["channels"]
        and set(needed(cell)) & set(d["purposes"])
        and speaks_of_point(world, ident, d, cell)
    ]


def says_yes(world: Plain, ident: str, decision: Plain, cell: Cell, purpose: str, product_group: str) -> bool:
    if decision["act"] not in YES or decision["by"] != "person" or not in_scope(decision, cell):
        return False
    if decision["act"] == "consent" and cell[4] is not None and decision["reach"] != "partner":
        return False
    named = decision["product_groups"]
    return (
        cell[2] in decision["channels"]
        and purpose in decision["purposes"]
        and (not named or product_group in named)
        and speaks_of_point(world, ident, decision, cell)
    )


def is_lifted(world: Plain, ident: str, restriction: Plain, cell: Cell, product_group: str) -> bool:
    """Who said it lifts it, and an identified person what an address said; others only what they said themselves."""
    whose, company = speaker(world, ident, restriction, cell[0]), cell[0]
    may = {
        "self": ["self"],
        "point": ["self", "point"],
        "employer": ["employer"],
        "link": ["self", "link"],
        "employer's link": ["employer", "employer's link"],
    }[str(whose)]
    theirs = others(world, ident, restriction, company)
    for purpose in set(needed(cell)) & set(restriction["purposes"]):
        if not any(
            restriction["id"] in d["lifts"]
            and speaker(world, ident, d, company) in may
            and others(world, ident, d, company) <= theirs
            and says_yes(world, ident, d, cell, purpose, product_group)
            for d in world["decisions"]
        ):
            return False
    return True


def has_consent(world: Plain, ident: str, cell: Cell, product_group: str, by_name: bool = False) -> bool:
    """Consent of the person's own. `by_name`: one that names this very product group."""
    for purpose in needed(cell):
        if not any(
            d["act"] == "consent"
            and speaker(world, ident, d, cell[0]) == "self"
            and says_yes(world, ident, d, cell, purpose, product_group)
            and consent_is_about_point(world, ident, d, cell)
            and (product_group in d["product_groups"] or not by_name)
            for d in world["decisions"]
        ):
            return False
    return True


def consent_is_about_point(world: Plain, ident: str, decision: Plain, cell: Cell) -> bool:
    """A consent about ones merged away counts at the points that each of these had."""
    point, me, subject = the_point(world, ident, cell), survivor(world, ident), decision["subject"]
    for facts in same_person(world, ident, cell[0]):
        numbers = [(c["company"], c["ref"]) for c in facts["customerships"]]
        named = (
            subject.get("customer") == facts["id"]
            or (subject.get("company"), subject.get("number")) in numbers
        )
        had = any(
            p["id"] == point["id"] or (p["ref"] is not None and p["ref"] == point["ref"])
            for p in facts["points"]
        )
        if facts["id"] != me["id"] and named and not had:
            return False
    return True


def never(world: Plain, ident: str, cell: Cell) -> bool:
    """Facts, relation and channels for which nothing the person says could allow it."""
    me, everyone = survivor(world, ident, cell[0]), same_person(world, ident)
    return (
        me["status"] != "live"
        or me["alias_of"] is not None
        or any(facts["deceased"] or facts["minor"] for facts in everyone)
        or (cell[2] in ("post", "door") and any(facts["safety_ban"] for facts in everyone))
        or me["recipient"] == "user"
        or cell[2] not in MODELLED
        or not any(c["active"] and c["company"] == cell[0] for c in me["customerships"])
    )


def may(world: Plain, ident: str, cell: Cell, product_group: str) -> bool:
    """May this company (or partner) address this person about this product group, here and thus?"""
    if never(world, ident, cell):
        return False
    me = survivor(world, ident, cell[0])
    in_duties = me["recipient"] == "contact" and product_group in me["duties"]
    message = cell[2] in ("email", "sms")
    for no in restrictions_on(world, ident, cell):
        outside_with_consent = me["recipient"] == "contact" and not in_duties and message
        voice = speaker(world, ident, no, cell[0])
        if voice in ("employer", "employer's link") and outside_with_consent:
            continue  # outside duties it is the person who consents, not the organisation
        if not is_lifted(world, ident, no, cell, product_group):
            return False
    point = the_point(world, ident, cell)
    at_role = me["recipient"] == "legal" and (point["role_address"] or point["kind"] == "post")
    if not message or in_duties or at_role:
        return True
    if me["recipient"] in ("natural", "legal") and cell[3] == "own_marketing":
        for sale in point["sales"]:
            if sale["seller"] == cell[0] and sale["ban_offered"] and sale["product_group"] == product_group:
                return True
    return has_consent(world, ident, cell, product_group)


def allowed(world: Plain, ident: str) -> dict[Cell, frozenset[str] | None]:
    """All that may be published: product groups by cell, None for all. "All but these" cannot be published."""
    mentioned = {g for f in world["customers"].values() for g in f["duties"]}
    mentioned |= {g for f in world["customers"].values() for s in f["stated"] for g in s["duties"]}
    mentioned |= {g for d in world["decisions"] for g in d["product_groups"]}
    mentioned |= {
        s["product_group"] for f in world["customers"].values() for p in f["points"] for s in p["sales"]
    }
    found: dict[Cell, frozenset[str] | None] = {}
    for cell in cells(world, ident):
        groups = {g for g in mentioned if may(world, ident, cell, g)}
        if may(world, ident, cell, OTHER):
            if groups == mentioned:
                found[cell] = None
                continue
            duties = set(survivor(world, ident, cell[0])["duties"])
            groups = {g for g in groups if g in duties or has_consent(world, ident, cell, g, by_name=True)}
        if groups:
            found[cell] = frozenset(groups)
    return found


def denying(world: Plain, ident: str, cell: Cell) -> set[str]:
    """Ids of the restrictions that are not wholly lifted at the cell."""
    return {
        no["id"] for no in restrictions_on(world, ident, cell) if not is_lifted(world, ident, no, cell, OTHER)
    }
