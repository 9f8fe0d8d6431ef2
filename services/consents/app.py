"""The composition root of consents."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from kielto.events.control import AboutParty
from kielto.events.topics import CONSENTS, CUSTOMERS, decisions, permissions_of
from kielto.service.outbox import parties
from kielto.service.process.main import Platform, Service
from kielto.service.recovery.new_epoch import TakeIn
from kielto.service.recovery.topic_ends import TopicEnds
from kielto.service.support.settings import Role
from services.consents.api.breaches import breaches
from services.consents.api.clearances import clearances
from services.consents.api.decision_log import proofs
from services.consents.api.decisions import decisions as decisions_api
from services.consents.api.decisions import held, results
from services.consents.api.operations import OPERATIONS
from services.consents.api.permissions import customers, shared_addresses
from services.consents.api.propagation import proof_live, proof_queries, reconciliation
from services.consents.api.propagation import subscribers as subscribers_api
from services.consents.commands.marks import command as marks_command
from services.consents.commands.reconcile import command as reconcile_command
from services.consents.commands.seals import SealsCommand
from services.consents.commands.subscribers import command as subscribers_command
from services.consents.consumers import deciding_again, subscriptions
from services.consents.settings import ConsentsSettings
from services.consents.store.permissions import consequences
from services.consents.store.permissions.locks import SubjectsMovedError
from services.consents.use_cases.breaches.detect import detect_for_ever
from services.consents.use_cases.clearances.clear import forget_for_ever
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import seal_for_ever
from services.consents.use_cases.decisions import marks, wait
from services.consents.use_cases.permissions.group_change import step
from services.consents.use_cases.permissions.portions import work_off_for_ever
from services.consents.use_cases.permissions.restore import ListedRestrictions, keep, take_back
from services.consents.use_cases.permissions.shared_addresses import count_for_ever
from services.consents.use_cases.propagation import whereabouts
from services.consents.use_cases.propagation.live_feed import Live
from services.consents.use_cases.propagation.prune import prune_for_ever
from services.consents.use_cases.propagation.reconcile import reconcile_for_ever
from services.consents.use_cases.propagation.write_tombstones import bury_for_ever

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
        await whereabouts.watch(platform.pool, context)

    async def restore(kept: Mapping[str, ListedRestrictions], epoch: int) -> None:
        await take_back(platform.pool, context, kept, epoch)

    async def group_changed() -> None:
        await parties.compute_anew(
            platform.pool, families, lambda conn, after: step(conn, context, after), (SubjectsMovedError,)
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
    terms = clearances.ClearanceTerms(
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
        begin_again=(SubjectsMovedError,),
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
            "seals": SealsCommand(platform.pool, context),
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
