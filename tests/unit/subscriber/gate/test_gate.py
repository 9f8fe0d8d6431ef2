"""`may()`: by id, by number, by the very address; and everything that makes it say no."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.control import AboutParty, Taken
from kielto.events.digests import check_of, digest_of, point_of
from kielto.events.messages import Decision, DecisionSubject
from kielto.events.party import Party
from kielto.events.records import Allow, AllowedPoint, Permissions
from kielto.events.topics import PARTITIONS, Lane
from kielto.events.words import Act, Channel, Mode, PointKind, Purpose, Reach, Status
from kielto.subscriber.columnar import bulk_check
from kielto.subscriber.gate.gate import CODES, FollowedParty, Gate
from kielto.subscriber.gate.local_denials import DecisionPlace, Denial, Denials
from kielto.subscriber.gate.permits import UNTIL_MARGIN_SECONDS
from kielto.subscriber.gate.questions import Answer, Question, Reason
from kielto.subscriber.records.content import ident
from tests.unit.subscriber.logs import NOW, OWN, Script, beat, hexes, permissions, snapshot

KEYS = {1: b"1" * 32, 2: b"2" * 32}
PARTY = FollowedParty(Party("company.kauppa"), KEYS)
TOPIC = "company.kauppa.decisions.v1"
WE_SEND = Allow(purpose="partner_marketing", partner="matkat", mode="we_send")


def hashed(kind: PointKind, value: str, generation: int = 1) -> str:
    return point_of(KEYS[generation], digest_of(kind, value))


MAIL, OTHER_MAIL = (hashed(PointKind.EMAIL, f"{x}@example.com") for x in ("aino", "aino.work"))
TEL = hashed(PointKind.PHONE, "+358 40 1234567")
HOME = "7" * 64
ABOUT = AboutParty(
    point_keys={generation: check_of(key) for generation, key in KEYS.items()},
    subscribers=("crm",),
    partners=("matkat", "sahko"),
)


def aino(**changes: Any) -> Permissions:
    listed = (
        AllowedPoint(point=MAIL, channel="email", allow=(OWN, WE_SEND)),
        AllowedPoint(point=TEL, channel="sms", allow=(OWN,)),
        AllowedPoint(point=TEL, channel="phone", allow=()),
        AllowedPoint(point=HOME, channel="post", allow=(OWN,)),
    )
    number = hashed(PointKind.NUMBER, "kauppa:123")
    record = permissions("aino", "1.2")
    return record.model_copy(update={"points": listed, "numbers": (number,), **changes})


class OpenGate:
    """One gate, open until 13.0; Aino is known."""

    def __init__(self, party: FollowedParty = PARTY) -> None:
        self.script, self.denials = Script(), Denials(TOPIC)
        self.now, self.today = 10.0, NOW.timestamp()
        self.gate = Gate(party, self.script.follower, self.denials, lambda: self.now, lambda: self.today)
        for partition in range(PARTITIONS):
            self.script.bulk(snapshot(), partition=partition)
        self.script.fresh(10.0, 1, range(PARTITIONS))
        self.script.bulk(aino())

    def may(self, channel: Channel | str = "email", purpose: str = "own_marketing", **more: Any) -> Answer:
        return self.gate.may(Question(purpose, channel, **more))


@pytest.fixture
def world() -> OpenGate:
    return OpenGate()


@pytest.mark.parametrize(
    "who",
    [
        {"customer": hexes("aino")},
        {"number": "123"},
        {"number": " 12 3"},
        {"address": "aino@example.com"},
        {"address": "Aino@EXAMPLE.com"},
        {"customer": hexes("aino"), "address": "aino@example.com"},
        {"number": "123", "address": "aino@example.com"},
    ],
)
def test_allowed_by_each_name_of_the_customer(world: OpenGate, who: dict[str, str]) -> None:
    assert world.may(**who) == Answer(True, Reason.ALLOWED)
    assert world.may(**who)


def test_the_address_counts_under_every_generation_of_the_point_key(world: OpenGate) -> None:
    newer = hashed(PointKind.EMAIL, "aino@example.com", 2)
    world.script.bulk(aino(version="1.3", points=(AllowedPoint(point=newer, channel="email", allow=(OWN,)),)))
    assert world.may(address="aino@example.com")


@pytest.mark.parametrize(
    ("channel", "who", "reason"),
    [
        ("email", {"customer": hexes("nobody")}, Reason.UNKNOWN),
        ("email", {"number": "124"}, Reason.UNKNOWN),
        ("email", {"address": "nobody@example.com"}, Reason.UNKNOWN),
        ("email", {"customer": hexes("aino"), "address": "aino.work@example.com"}, Reason.DENIED),
        ("phone", {"address": "040 1234567"}, Reason.DENIED),
        ("automated_call", {"customer": hexes("aino")}, Reason.DENIED),
        ("smoke", {"customer": hexes("aino")}, Reason.BAD_QUESTION),
        ("Email", {"customer": hexes("aino")}, Reason.BAD_QUESTION),
        ("email", {"address": "no address"}, Reason.BAD_QUESTION),
        ("sms", {"address": "12"}, Reason.BAD_QUESTION),
        ("phone", {"address": "040 1234567 Eva"}, Reason.BAD_QUESTION),
        ("phone", {"address": "0401234567;0507654321"}, Reason.BAD_QUESTION),
        ("phone", {"address": "0401234567.5"}, Reason.BAD_QUESTION),
        ("phone", {"address": "0401234567.0"}, Reason.DENIED),
        ("post", {"address": "Kotikatu 1"}, Reason.BAD_QUESTION),
        ("email", {"customer": "123"}, Reason.BAD_QUESTION),
        ("email", {"number": " "}, Reason.BAD_QUESTION),
        ("email", {}, Reason.BAD_QUESTION),
    ],
)
def test_not_allowed(world: OpenGate, channel: str, who: dict[str, str], reason: Reason) -> None:
    answer = world.may(channel, **who)
    assert (answer.allowed, answer.reason) == (False, reason)
    assert not answer
    assert "example" not in answer.detail


def test_channels_of_one_phone_differ(world: OpenGate) -> None:
    assert world.may("sms", address="040 1234567")
    assert not world.may("phone", address="040 1234567")


def test_a_postal_point_is_asked_by_itself(world: OpenGate) -> None:
    assert world.may("post", address=HOME)
    assert not world.may("door", address=HOME)


def test_without_an_address_every_listed_point_of_the_channel_must_allow(world: OpenGate) -> None:
    listed = (
        AllowedPoint(point=MAIL, channel="email", allow=(OWN,)),
        AllowedPoint(point=OTHER_MAIL, channel="email", allow=()),
    )
    world.script.bulk(aino(version="1.3", points=listed))
    assert not world.may(customer=hexes("aino"))
    assert world.may(customer=hexes("aino"), address="aino@example.com")


def test_of_an_address_that_several_have_each_must_allow(world: OpenGate) -> None:
    shared = AllowedPoint(point=MAIL, channel="email", allow=(OWN,))
    world.script.bulk(permissions("pekka", "1.1").model_copy(update={"points": (shared,)}), partition=3)
    assert world.may(address="aino@example.com")
    none = shared.model_copy(update={"allow": ()})
    world.script.express(permissions("pekka", "1.2").model_copy(update={"points": (none,)}), partition=3)
    assert not world.may(address="aino@example.com")
    assert world.may(address="aino@example.com", customer=hexes("aino"))


def test_partners_marketing_needs_partner_and_mode(world: OpenGate) -> None:
    asked = {"purpose": "partner_marketing", "customer": hexes("aino")}
    assert world.may(**asked, partner="matkat", mode=Mode.WE_SEND)
    assert not world.may(**asked, partner="matkat", mode="partner_sends")
    assert not world.may(**asked, partner="other", mode="we_send")
    for missing in ({}, {"partner": "matkat"}, {"mode": "we_send"}):
        assert world.may(**asked, **missing).reason is Reason.BAD_QUESTION


def test_a_partner_asks_for_itself() -> None:
    sends = Allow(purpose="partner_marketing", partner="matkat", mode="partner_sends")
    world = OpenGate(FollowedParty(Party("partner.matkat"), KEYS))
    listed = AllowedPoint(point=MAIL, channel="email", allow=(sends,))
    world.script.bulk(aino(version="1.3", points=(listed,)))
    assert world.may(purpose="partner_marketing", address="aino@example.com", mode="partner_sends")


def test_product_groups(world: OpenGate) -> None:
    limited = Allow(purpose="own_marketing", product_groups=("mobile",))
    world.script.bulk(
        aino(version="1.3", points=(AllowedPoint(point=MAIL, channel="email", allow=(limited,)),))
    )
    assert world.may(customer=hexes("aino"), product_group="mobile")
    for group in ("solar", None):
        answer = world.may(customer=hexes("aino"), product_group=group)
        assert answer.reason is Reason.DENIED
        assert "product group" in answer.detail


def test_a_permission_that_ends_ends_early(world: OpenGate) -> None:
    world.script.bulk(aino(version="1.3", valid_until=NOW + timedelta(seconds=100)))
    world.today = NOW.timestamp() + 99 - UNTIL_MARGIN_SECONDS
    assert world.may(customer=hexes("aino"))
    world.today += 1
    assert world.may(customer=hexes("aino")).reason is Reason.DENIED
    world.script.bulk(aino(version="1.4"))
    assert world.may(customer=hexes("aino"))


def test_a_clock_that_is_behind_does_not_prolong_a_permission(world: OpenGate) -> None:
    world.script.bulk(aino(version="1.3", valid_until=NOW + timedelta(seconds=100)))
    world.today = 0.0
    assert world.may(customer=hexes("aino"))
    world.script.express(beat(9).model_copy(update={"at": NOW + timedelta(hours=1)}))
    assert not world.may(customer=hexes("aino"))


def test_a_shut_gate_says_why() -> None:
    follower = Script().follower
    gate = Gate(PARTY, follower, Denials(TOPIC), lambda: 10.0)
    assert gate.may(Question("own_marketing", "email", number="1")).reason is Reason.SNAPSHOT_INCOMPLETE
    assert gate.shut() is Reason.SNAPSHOT_INCOMPLETE


def test_a_stale_partition_shuts_its_customers_and_all_unsure_answers(world: OpenGate) -> None:
    for partition in range(1, PARTITIONS):
        world.script.probe(20.0, partition)
        world.script.express(beat(5), beat(6), partition=partition)
    world.now = 20.0
    world.script.bulk(permissions("pekka", "1.1", ("p", "email")), partition=1)
    assert world.may(customer=hexes("aino")).reason is Reason.STALE
    assert world.may(customer=hexes("pekka"))
    for unsure in ({"address": "a@example.com"}, {"number": "1"}, {"customer": hexes("nobody")}):
        assert world.may(**unsure).reason is Reason.STALE  # a ban, or another owner, may stand in partition 0


def test_an_unreadable_key_shuts_its_partition(world: OpenGate) -> None:
    world.script.raw(Lane.EXPRESS, 0, b"nobody's", b"{}", [])
    assert world.may(customer=hexes("aino")).reason is Reason.PARTITION_SHUT
    assert world.gate.shut() is Reason.PARTITION_SHUT


def test_an_unreadable_record_denies_its_customer_by_every_name(world: OpenGate) -> None:
    world.script.spoiled(Lane.BULK, aino(version="1.3"))
    for who in ({"customer": hexes("aino")}, {"number": "123"}, {"address": "aino@example.com"}):
        assert world.may(**who).reason is Reason.DENIED


# -- local denials


def decided(act: Act = Act.BAN, *, key: str | None = None, email: str | None = None, number: str | None = None,
            **fields: Any) -> Denial:  # fmt: skip
    canonical = None
    if email:
        canonical = digest_of(PointKind.EMAIL, email)
        subject = DecisionSubject(point=canonical.hex(), point_kind=PointKind.EMAIL)
    elif number:
        canonical = digest_of(PointKind.NUMBER, f"kauppa:{number}")
        subject = DecisionSubject(number=canonical.hex())
    else:
        subject = DecisionSubject(id=key)
    said = Decision(id=uuid4(), subject=subject, act=act, said_at=NOW, **fields)
    return Denial(said, PARTY.hashes_of(canonical) if canonical else frozenset())


ALL_NAMES: list[dict[str, str]] = [
    {"customer": hexes("aino")},
    {"number": "123"},
    {"address": "aino@example.com"},
    {"customer": hexes("aino"), "address": "aino@example.com"},
]


@pytest.mark.parametrize(
    "denial",
    [decided(key=hexes("aino")), decided(number="123"), decided(email="aino@example.com")],
    ids=["by id", "by number", "by address"],
)
def test_a_ban_given_here_denies_at_once_by_every_name(world: OpenGate, denial: Denial) -> None:
    world.denials.add(denial)
    for who in ALL_NAMES:
        assert world.may(**who).reason is Reason.DENIED


@pytest.mark.parametrize(("banned", "other"), [("aino", "old-id"), ("old-id", "aino")])
@pytest.mark.parametrize("numbers", [aino().numbers, ()], ids=["a company's", "a partner's"])
def test_a_ban_given_here_by_one_id_of_somebody_merged_denies_by_the_other(
    world: OpenGate, banned: str, other: str, numbers: tuple[str, ...]
) -> None:
    world.script.bulk(
        aino(version="1.9", numbers=numbers),
        aino(subject=hexes("old-id"), status=Status.ALIAS, numbers=numbers),
        aino(subject=hexes("another"), numbers=(), points=()),
    )
    assert world.may(customer=hexes(other))
    world.denials.add(decided(key=hexes(banned)))
    for who in ({}, {"address": "aino@example.com"}):
        assert world.may(customer=hexes(other), **who).reason is Reason.DENIED
    question = Question(Purpose.OWN_MARKETING, Channel.EMAIL)
    codes = world.gate.may_customers(question, bytes.fromhex(hexes(other)))
    assert CODES[codes[0]] is Reason.DENIED


def test_a_ban_for_someone_unknown_denies(world: OpenGate) -> None:
    world.denials.add(decided(key=hexes("nobody")))
    world.denials.add(decided(email="nobody@example.com"))
    assert world.may(customer=hexes("nobody")).reason is Reason.DENIED
    assert world.may(address="nobody@example.com").reason is Reason.DENIED
    assert world.may(customer=hexes("aino"))


@pytest.mark.parametrize("act", [Act.CONSENT, Act.LIFTING])
def test_a_yes_given_here_permits_nothing_yet(world: OpenGate, act: Act) -> None:
    world.denials.add(decided(key=hexes("aino")))
    world.denials.add(decided(act, key=hexes("aino")))
    assert not world.may(customer=hexes("aino"))


@pytest.mark.parametrize(
    ("fields", "own", "partners"),
    [
        ({}, True, True),
        ({"reach": Reach.GROUP}, True, True),
        ({"reach": Reach.COMPANY}, True, True),
        ({"reach": Reach.PARTNERS}, False, True),
        ({"reach": Reach.PARTNER, "partner": "matkat"}, False, True),
        ({"reach": Reach.PARTNER, "partner": "other"}, False, False),
        ({"purposes": (Purpose.PARTNER_MARKETING,)}, False, True),
        ({"channels": (Channel.SMS,)}, False, False),
    ],
)
def test_what_a_ban_given_here_denies(
    world: OpenGate, fields: dict[str, Any], own: bool, partners: bool
) -> None:
    world.denials.add(decided(key=hexes("aino"), **fields))
    asked = {"purpose": "partner_marketing", "partner": "matkat", "mode": "we_send"}
    assert world.may(customer=hexes("aino")).allowed is not own
    assert world.may(customer=hexes("aino"), **asked).allowed is not partners


def taken(*offsets: int, topic: str = TOPIC, ident: int = 5) -> tuple[Taken, ...]:
    return (Taken(topic=topic, topic_id=UUID(int=ident), offsets=offsets),)


def test_a_ban_of_a_new_number_denies_whoever_is_asked_about_by_it_and_an_id(world: OpenGate) -> None:
    """The register does not know yet whose the number is; the sender says whose it takes it for."""
    both = {"customer": hexes("aino"), "number": "999"}
    assert world.may(**both)
    world.denials.add(decided(number="999"))
    for who in (both, both | {"address": "aino@example.com"}, {"number": "999"}):
        assert world.may(**who).reason is Reason.DENIED
    assert world.may(customer=hexes("aino"))


def test_a_denial_ends_at_beats_past_it() -> None:
    denials, denial, own = Denials(TOPIC), decided(key=hexes("aino")), 1
    denials.add(denial)
    assert denials.beat(own, taken(9, 9, 9)) == []  # not even sent
    denials.sent(denial.decision.id, DecisionPlace(UUID(int=5), 2, 7))
    for partition, mark in (
        *((other, taken(0, 0, 8)) for other in range(PARTITIONS) if other != own),
        (own, taken(99, 99, 7)),
        (own, taken(0, 0, 8, topic="company.sahko.decisions.v1")),
        (own, taken(0, 0, 8, ident=6)),
        (own, taken(9, 9)),
        (own, ()),
    ):
        assert denials.beat(partition, mark) == []
    assert denials.beat(own, taken(0, 0, 8)) == [denial.decision.id]
    assert denials.deny([ident(hexes("aino"))], "own_marketing", None, "email"), (
        "not before the spool has forgotten it"
    )
    denials.drop(denial.decision.id)
    assert len(denials) == 0
    assert not denials.deny([ident(hexes("aino"))], "own_marketing", None, "email")


@pytest.mark.parametrize(
    "denial", [decided(email="a@example.com"), decided(number="1"), decided(key=hexes("aino"))]
)
def test_a_denial_ends_when_every_partition_is_past_it(denial: Denial) -> None:
    """By an id, too: who was merged has a record in another partition."""
    denials = Denials(TOPIC)
    denials.add(replace(denial, sent=None))
    denials.sent(denial.decision.id, DecisionPlace(UUID(int=5), 0, 0))
    ended = [denials.beat(p, taken(1)) for p in (0, 0, 1, 2, 3, 4, 5)]
    assert ended == [[]] * 6 + [[denial.decision.id]]


def test_sent_again_is_waited_for_again() -> None:
    denials, denial = Denials(TOPIC), decided(email="a@example.com")
    denials.add(denial)
    denials.sent(denial.decision.id, DecisionPlace(UUID(int=5), 0, 0))
    for partition in range(PARTITIONS - 1):
        denials.beat(partition, taken(1))
    denials.sent(denial.decision.id, DecisionPlace(UUID(int=6), 0, 4))
    assert denials.beat(PARTITIONS - 1, taken(5, ident=6)) == []


def test_a_repeated_decision_keeps_its_place_and_another_of_its_id_is_refused() -> None:
    denials, denial = Denials(TOPIC), decided(key=hexes("aino"))
    denials.add(denial)
    denials.sent(denial.decision.id, DecisionPlace(UUID(int=5), 2, 7))
    denials.add(replace(denial, sent=None))
    for act in (Act.OPT_OUT, Act.LIFTING):
        with pytest.raises(ValueError, match=r"^id: "):
            denials.add(replace(denial, decision=denial.decision.model_copy(update={"act": act})))
    assert denials.deny([ident(hexes("aino"))], "own_marketing", None, "email")
    ended = [denials.beat(partition, taken(0, 0, 8)) for partition in range(PARTITIONS)]
    assert ended[-1] == [denial.decision.id]


ASKED = [
    Question(Purpose.OWN_MARKETING, Channel.EMAIL),
    Question(Purpose.OWN_MARKETING, Channel.SMS, product_group="mobile"),
    Question(Purpose.OWN_MARKETING, Channel.PHONE),
    Question(Purpose.PARTNER_MARKETING, Channel.EMAIL, partner="matkat", mode=Mode.WE_SEND),
]
MANY = [f"c{i}" for i in range(12)]


def crowd() -> OpenGate:
    """Each kind of customer: allowed, limited, ended, erased, unreadable, swept, in a partition that is shut."""
    world = OpenGate()
    limited = Allow(purpose="own_marketing", product_groups=("mobile",))
    past = NOW + timedelta(seconds=UNTIL_MARGIN_SECONDS - 1)
    world.script.bulk(
        permissions("c0", "1.1", ("m0", "email"), ("t0", "sms")),
        permissions("c1", "1.1", ("m1", "email"), ("n1", "email", WE_SEND)),
        permissions("c2", "1.1", ("t2", "sms", limited), ("m2", "email", limited)),
        permissions("c3", "1.1", ("m3", "email"), valid_until=past),
        permissions("c4", "1.1", ("m4", "email"), valid_until=past + timedelta(days=1)),
        permissions("c5", "1.1"),
    )
    world.script.spoiled(Lane.BULK, permissions("c6", "1.1", ("m6", "email")))
    world.script.bulk(permissions("c9", "1.1", ("m9", "email")))
    world.script.spoiled(Lane.BULK, permissions("c9", "1.2", ("m9", "email")))
    world.script.bulk(permissions("c7", "1.1", ("m7", "email")), partition=1)
    world.script.bulk(snapshot(0, 10**6, generation=2), partition=1)
    world.script.express(permissions("c8", "1.1", ("m8", "email"), ("n8", "email")), partition=2)
    return world


def differences(world: OpenGate) -> list[object]:
    ids = b"".join(bytes.fromhex(hexes(name)) for name in MANY)
    found: list[object] = []
    for question in ASKED:
        codes = world.gate.may_customers(question, ids)
        singly = [world.gate.may(replace(question, customer=hexes(name))).reason for name in MANY]
        found += [
            (question, n, CODES[c], s) for n, c, s in zip(MANY, codes, singly, strict=True) if CODES[c] != s
        ]
    return found


@pytest.mark.parametrize("at_once", [bulk_check._IDS, 5])
def test_many_customers_are_answered_as_each_is(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_check, "_IDS", at_once)  # fewer than there are: by several threads
    world = crowd()
    assert differences(world) == []
    codes = world.gate.may_customers(ASKED[0], bytes.fromhex(hexes("c0") + hexes("c6") + hexes("nobody")))
    assert [CODES[code] for code in codes] == [Reason.ALLOWED, Reason.DENIED, Reason.UNKNOWN]
    world.denials.add(decided(key=hexes("c0")))
    assert differences(world) == []
    world.script.raw(Lane.BULK, 0, b"\xff", b"{}", [])
    assert differences(world) == []
    world.now = 20.0
    assert differences(world) == []


@pytest.mark.parametrize("changes", [{"customer": hexes("c0")}, {"number": "1"}, {"address": "a@b.fi"}])
def test_a_question_about_many_names_nobody(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="leave them out"):
        crowd().gate.may_customers(replace(ASKED[0], **changes), b"")


def test_ids_of_many_have_32_bytes_each() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        crowd().gate.may_customers(ASKED[0], b"x" * 33)
    with pytest.raises(ValueError, match="give both"):
        crowd().gate.may_customers(Question(Purpose.PARTNER_MARKETING, Channel.EMAIL), b"")


def named(name: str, *listed: AllowedPoint, version: str = "1.1") -> Permissions:
    return permissions(name, version).model_copy(update={"points": listed})


def test_a_shared_address_is_denied_when_one_who_has_it_bans_everything(world: OpenGate) -> None:
    """A banned address is denied, not unknown; and the other's permission does not hide the ban."""
    shared = "+358 40 765 4321"
    tel = hashed(PointKind.PHONE, shared)
    world.script.bulk(named("2102", AllowedPoint(point=tel, channel="phone", allow=(OWN,))))
    assert world.may("phone", address=shared)
    world.script.express(named("2101", AllowedPoint(point=tel, channel="phone", allow=())))
    assert world.may("phone", address=shared).reason is Reason.DENIED
    assert world.may("phone", customer=hexes("2102"), address=shared)  # asked about that customer alone
    world.script.express(named("2102", AllowedPoint(point=tel, channel="phone", allow=()), version="1.2"))
    assert world.may("phone", address=shared).reason is Reason.DENIED


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ((), Reason.UNKNOWN),
        ((("other", ()),), Reason.UNKNOWN),
        ((("mail", ()),), Reason.DENIED),
        ((("mail", (WE_SEND,)),), Reason.DENIED),
        ((("mail", (OWN,)), ("other", ())), Reason.ALLOWED),
    ],
)
def test_a_point_that_is_listed_is_known(
    world: OpenGate, listed: tuple[tuple[str, tuple[Allow, ...]], ...], reason: Reason
) -> None:
    points = {name: hashed(PointKind.EMAIL, f"{name}@example.org") for name in ("mail", "other")}
    record = named("bertta", *(AllowedPoint(point=points[p], channel="email", allow=a) for p, a in listed))
    world.script.bulk(record)
    assert world.may(address="mail@example.org").reason is reason


def test_without_an_address_every_point_of_the_channel_has_to_permit(world: OpenGate) -> None:
    """Which of them will be used is not said."""
    world.script.bulk(
        aino(
            version="1.3",
            points=(
                AllowedPoint(point=MAIL, channel="email", allow=(OWN,)),
                AllowedPoint(point=OTHER_MAIL, channel="email", allow=()),
            ),
        )
    )
    assert world.may(customer=hexes("aino")).reason is Reason.DENIED
    assert world.may(customer=hexes("aino"), address="aino@example.com")
    assert world.may(customer=hexes("aino"), address="aino.work@example.com").reason is Reason.DENIED
    batched = world.gate.may_customers(Question("own_marketing", "email"), bytes.fromhex(hexes("aino")))
    assert CODES[batched[0]] is Reason.DENIED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purpose", "own-marketing"),
        ("purpose", ""),
        ("purpose", None),
        ("purpose", ["own_marketing"]),
        ("channel", "e-mail"),
        ("channel", None),
        ("channel", 7),
        ("mode", "we-send"),
        ("partner", "matka"),
        ("partner", "Matkat"),
        ("number", 123),
        ("address", b"aino@example.com"),
    ],
)
def test_a_misspelt_word_is_a_bad_question(world: OpenGate, field: str, value: Any) -> None:
    """It would read as denied, and the campaign would seem to reach nobody."""
    world.script.express(beat(9, about=ABOUT))
    question = Question("partner_marketing", "email", hexes("aino"), partner="matkat", mode="we_send")
    assert world.gate.may(question)
    answer = world.gate.may(replace(question, **{field: value}))
    assert answer.reason is Reason.BAD_QUESTION
    assert answer.detail.startswith(f"{field}: ")
    assert str(value) not in answer.detail.split() or not value


def test_foreign_point_keys_shut_the_gate(world: OpenGate) -> None:
    """Whoever banned an address would not be found by it."""
    assert world.may(address="aino@example.com")
    for about in (
        ABOUT.model_copy(update={"point_keys": {1: check_of(KEYS[2]), 2: check_of(KEYS[2])}}),
        ABOUT.model_copy(update={"point_keys": {2: check_of(KEYS[2]), 3: "0" * 16}}),
    ):
        world.script.express(beat(9 + len(about.point_keys), term=2 + (3 in about.point_keys), about=about))
        for who in ({"address": "aino@example.com"}, {"customer": hexes("aino")}):
            assert world.may(**who).reason is Reason.WRONG_KEYS
        assert world.gate.shut() is Reason.WRONG_KEYS
    world.script.express(
        beat(9, term=4, about=ABOUT.model_copy(update={"point_keys": {2: check_of(KEYS[2])}}))
    )
    assert world.may(address="aino@example.com")  # a generation that the group has no more does no harm
