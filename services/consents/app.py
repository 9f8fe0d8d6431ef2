"""The composition root of consents."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from kielto.events.control import AboutParty
from kielto.events.topics import CONSENTS, CUSTOMERS, decisions, permissions_of
from kielto.service import parties
from kielto.service.app import Platform, Service
from kielto.service.epochs import TakeIn
from kielto.service.settings import Role
from kielto.service.topic_ends import TopicEnds
from services.consents.api import (
    breaches,
    clearances,
    customers,
    held,
    proof_live,
    proof_queries,
    proofs,
    reconciliation,
    results,
    shared_addresses,
)
from services.consents.api import decisions as decisions_api
from services.consents.api import subscribers as subscribers_api
from services.consents.api.operations import OPERATIONS
from services.consents.commands import Seals
from services.consents.settings import ConsentsSettings
from services.consents.store import consequences
from services.consents.store.locks import Moved
from services.consents.subscribers import deciding_again, subscriptions
from services.consents.use_cases import locate, marks, wait
from services.consents.use_cases.bury import bury_for_ever
from services.consents.use_cases.clear import forget_for_ever
from services.consents.use_cases.context import Context
from services.consents.use_cases.detect import detect_for_ever
from services.consents.use_cases.group_change import step
from services.consents.use_cases.live import Live
from services.consents.use_cases.marks_command import command as marks_command
from services.consents.use_cases.portions import work_off_for_ever
from services.consents.use_cases.prune import prune_for_ever
from services.consents.use_cases.reconcile import reconcile_for_ever
from services.consents.use_cases.reconcile_command import command as reconcile_command
from services.consents.use_cases.seal import seal_for_ever
from services.consents.use_cases.shared_addresses import count_for_ever
from services.consents.use_cases.subscribers import command as subscribers_command
from services.consents.use_cases.take_back import Kept, keep, take_back

Work = Callable[[], Awaitable[None]]


def build(platform: Platform) -> Service:
    group = platform.group
    context = Context.of(
        group,
        platform.keys,
        left=platform.left,
        foreign_nos_per_hour=platform.limits.foreign_nos_per_hour,
        waiting_yeses=platform.limits.waiting_yeses,
    )
    # As patient as the least patient subscriber: its bound for a restricting fact is then twice its own N.
    patience = min((s.stale_seconds for s in group.subscribers), default=3 * group.beat_seconds)
    settings = ConsentsSettings()
    stale = settings.inputs_stale_seconds or patience
    inputs = [CUSTOMERS.express] if CUSTOMERS.express else []
    families = (CONSENTS, *(permissions_of(party) for party in group.parties))

    async def watch() -> None:
        await locate.watch(platform.pool, context)

    async def restore(kept: Mapping[str, Kept], epoch: int) -> None:
        await take_back(platform.pool, context, kept, epoch)

    async def group_changed() -> None:
        await parties.compute_anew(
            platform.pool, families, lambda conn, after: step(conn, context, after), (Moved,)
        )

    async def command(words: Sequence[str]) -> int:
        return await subscribers_command(platform.pool, context, words)

    async def reconcile(words: Sequence[str]) -> int:
        return await reconcile_command(platform.pool, context, words)

    async def decisions_command(words: Sequence[str]) -> int:
        return await marks_command(platform.pool, context, words)

    lasting = (
        lambda: marks.count_for_ever(platform.pool, context),
        lambda: wait.count_for_ever(platform.pool, context),
        lambda: count_for_ever(platform.pool),
        lambda: seal_for_ever(platform.pool, context, settings.seal_seconds),
        lambda: reconcile_for_ever(platform.pool, context, settings.reconcile_seconds),
        lambda: detect_for_ever(platform.pool, context),
        lambda: wait.work_off_for_ever(platform.pool, context, deciding_again(context)),
        lambda: bury_for_ever(platform.pool, context),
        lambda: prune_for_ever(platform.pool, settings.dead_store_days, settings.result_days),
        group_changed,
        lambda: forget_for_ever(platform.pool, settings.clearance_days),
    )
    live = Live(platform.pool, context, platform.limits)
    terms = clearances.Terms(
        settings.clearance_seconds, settings.clearance_refuses_overdue, platform.limits.clearance_parts
    )
    return Service(
        families=families,
        operations=OPERATIONS,
        routers=[
            decisions_api.router(platform.by_key, context, settings.clearance_seconds),
            clearances.router(platform.pool, context, terms),
            customers.router(platform.pool, context),
            results.router(platform.pool, context),
            subscribers_api.router(platform.pool, context),
            shared_addresses.router(platform.pool),
            held.router(platform.pool, context),
            reconciliation.router(platform.pool, context),
            breaches.router(platform.pool, context),
            proof_queries.router(platform.pool, context),
            proof_live.router(live, context),
            proofs.router(platform.pool, context, settings.seal_seconds),
        ],
        body_bytes={clearances.PATH: platform.limits.clearance_body_bytes},
        subscriptions=subscriptions(context, TopicEnds(platform.settings), platform.limits),
        begin_again=(Moved,),
        about={party: _about(platform, party) for party in group.parties},
        taken={party: (decisions(party),) for party in group.parties},
        take_in=TakeIn(CONSENTS, keep, restore),
        beat_gate=lambda: platform.inputs.fresh(inputs, stale),
        beats_withheld=consequences.families,
        background=[
            watch,
            lambda: work_off_for_ever(platform.pool, context),
            *(_of_relays(platform, work) for work in lasting),
            live.run,
        ],
        commands={
            "seals": Seals(platform.pool, context),
            "subscribers": command,
            "reconcile": reconcile,
            "decisions": decisions_command,
        },
    )


def _about(platform: Platform, party: str) -> AboutParty:
    group, (kind, _, name) = platform.group, party.partition(".")
    return AboutParty(
        point_keys=platform.keys.checks(party),
        subscribers=tuple(s.id for s in group.subscribers_of(party)),
        partners=group.partners_of(name) if kind == "company" else (name,),
    )


def _of_relays(platform: Platform, work: Work) -> Work:
    """Work for the processes that relay: it is enough that one does it."""

    async def run() -> None:
        if Role.RELAY in platform.settings.roles:
            await work()

    return run
