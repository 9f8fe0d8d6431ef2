"""Two lives of the actor side by side: what the others see must be the same."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from kielto.service.support.crypto_keys import KeyFile, Keys
from kielto.service.support.limits import Limits
from tests.integration.isolation import seen
from tests.integration.isolation.play import IsolationPlay, Life
from tests.integration.isolation.seen import Permit, ShownText
from tests.integration.isolation.steps import ACTOR, EVERYONE, OTHERS, IsolationStep, Node, reached
from tests.integration.isolation.world import GROUP, DatabaseCopies, Seeded, drawing, world

_PARTIES = (*(f"company.{who}" for who in OTHERS), seen.PARTNER)


def keys_of(seed: int) -> Keys:
    def key(name: str, length: int = 32) -> str:
        return Random(f"{seed}/{name}").randbytes(length).hex()

    return Keys(
        KeyFile(
            digest_key=key("digest", 64),
            master_key=key("master"),
            index_key=key("index"),
            id_keys={party: key(party) for party in GROUP.parties},
            point_keys={party: {1: key(f"{party} points")} for party in GROUP.parties},
            seal_key=key("seal"),
        )
    )


class ToldOf(NamedTuple):
    """What a life showed to the others, what it permits them, and how the actor itself was answered."""

    shown: dict[str, list[ShownText]]
    permitted: dict[str, set[Permit]]
    actor: list[ShownText]


async def live(copies: DatabaseCopies, steps: list[IsolationStep], life: Life, seed: int) -> ToldOf:
    seeded = Seeded(str(seed))
    with drawing(seeded):
        async with world(copies, keys_of(seed), Limits(foreign_nos_per_hour=3)) as made:
            play = IsolationPlay(made, life, seeded)
            await play.go(steps)
            for who in OTHERS:
                await seen.probe(play, who)
            shown = seen.everything(play)
            for ident in play.numbers:
                for who, things in shown.items():
                    named = [one.what for one in things if str(ident) in str(one.look)]
                    assert not named, f"{who}: sees the group's id of a customer: {named}"
            return ToldOf(shown, {p: seen.permitted(made, p) for p in _PARTIES}, seen.asked_of_actor(play))


async def compare(
    copies: DatabaseCopies, steps: list[IsolationStep], seed: int, lives: Sequence[Life] = tuple(Life)
) -> list[str]:
    """What differs and must not, between the first of the lives and each of the others."""
    may = reached(steps)
    first, *others = [await live(copies, steps, life, seed) for life in lives]
    found: list[str] = []
    for life, other in zip(lives[1:], others, strict=True):
        # What the register says depends neither on what the actor names, nor on whether it does anything.
        excused = None if life is Life.SILENT else may and may | {EVERYONE}
        for who, shown in first.shown.items():
            found += [f"{life}: {d}" for d in _differences(who, shown, other.shown[who], excused)]
        if life is Life.STRANGERS:
            found += [f"{life}: {d}" for d in _differences(ACTOR, first.actor, other.actor, None)]
        for party in _PARTIES:
            more = first.permitted[party] - other.permitted[party]
            found += [f"{life}: {party} is permitted more: {one}" for one in sorted(more)]
    return found


def _differences(
    who: str, shown: list[ShownText], other: list[ShownText], excused: frozenset[Node] | None
) -> Iterator[str]:
    """`excused`: what is about these may differ; None: about anybody."""

    def kept_of(seen: list[ShownText]) -> list[ShownText]:
        return [one for one in seen if not (one.about if excused is None else one.about & excused)]

    kept, kept_there = kept_of(shown), kept_of(other)
    if len(kept) != len(kept_there):
        yield f"{who}: sees {len(kept)} things and {len(kept_there)}"
    for one, two in zip(kept, kept_there, strict=False):
        if one[:2] != two[:2]:
            yield f"{who}: {one.what}: {_apart(one, two)}"


def _apart(one: ShownText, two: ShownText) -> str:
    if one.what != two.what:
        return f"or {two.what}"
    if not isinstance(one.look, dict):
        return f"{one.look!r:.900} / {two.look!r:.900}"
    parts = []
    for name, value in one.look.items():
        other = two.look[name]
        if name == "statements" and value != other:
            at = next(
                (i for i, (x, y) in enumerate(zip(value, other, strict=False)) if x != y),
                min(len(value), len(other)),
            )
            parts.append(
                f"statement {at} of {len(value)}: {value[at : at + 1]} / of {len(other)}: {other[at : at + 1]}"
            )
        elif value != other:
            parts.append(f"{name}: {value!r:.900} / {other!r:.900}")
    return "; ".join(parts)
