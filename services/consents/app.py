"""The composition root of consents."""

from dataclasses import replace
from functools import partial

from kielto.events.control import AboutParty
from kielto.events.party import Party
from kielto.events.topics import CONSENTS, CUSTOMERS, decisions, permissions_of
from kielto.service.outbox import parties
from kielto.service.process.platform import Platform, Service
from kielto.service.recovery.new_epoch import TakeIn
from kielto.service.recovery.topic_ends import TopicEnds
from services.consents.api import breaches, permissions
from services.consents.api.clearances import clearances
from services.consents.api.decision_log import proofs
from services.consents.api.decisions import decisions as decisions_api
from services.consents.api.decisions import held, results
from services.consents.api.operations import OPERATIONS
from services.consents.api.propagation import proof_live, proof_queries
from services.consents.api.propagation import subscribers as subscribers_api
from services.consents.commands import decisions as decisions_command
from services.consents.commands import reconcile as reconcile_command
from services.consents.commands import seals as seals_command
from services.consents.commands import subscribers as subscribers_command
from services.consents.consumers.subscriptions import deciding_again, subscriptions
from services.consents.settings import ConsentsSettings
from services.consents.store.permissions import consequences
from services.consents.store.permissions.locks import SubjectsMovedError
from services.consents.use_cases.breaches import detect_for_ever
from services.consents.use_cases.clearances.clear import forget_for_ever
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import append_for_ever
from services.consents.use_cases.decisions import release_or_void, wait
from services.consents.use_cases.permissions.apply_facts import recompute_next
from services.consents.use_cases.permissions.portions import measure_for_ever as measure_addresses
from services.consents.use_cases.permissions.portions import work_off_for_ever
from services.consents.use_cases.permissions.restore import listed_in, restore
from services.consents.use_cases.propagation.live_feed import Live
from services.consents.use_cases.propagation.overdue import measure_for_ever as measure_subscribers
from services.consents.use_cases.propagation.prune import prune_for_ever, write_tombstones_for_ever
from services.consents.use_cases.propagation.reconcile import reconcile_for_ever


def build(platform: Platform) -> Service:
    group, settings = platform.group, ConsentsSettings()
    context = Context(
        platform.pool,
        group,
        platform.keys,
        clock=platform.clock,
        left=platform.left,
        limits=platform.limits,
        settings=settings,
    )
    # As patient as the least patient subscriber: its bound for a restricting fact is then twice its own N.
    patience = min((s.stale_seconds for s in group.subscribers), default=3 * group.beat_seconds)
    stale = settings.inputs_stale_seconds or patience
    inputs = [CUSTOMERS.express] if CUSTOMERS.express else []
    families = (CONSENTS, *(permissions_of(party) for party in group.parties))

    group_changed = partial(
        parties.compute_anew,
        platform.pool,
        families,
        lambda conn, after: recompute_next(conn, context, after),
        (SubjectsMovedError,),
    )
    live = Live(context)
    return Service(
        families=families,
        operations=OPERATIONS,
        routers=[
            decisions_api.router(replace(context, pool=platform.by_key)),
            clearances.router(context),
            permissions.router(context),
            results.router(context),
            subscribers_api.router(context),
            held.router(context),
            breaches.router(context),
            proof_queries.router(context),
            proof_live.router(live, context),
            proofs.router(context),
        ],
        body_bytes={clearances.PATH: platform.limits.clearance_body_bytes},
        subscriptions=subscriptions(context, TopicEnds(platform.settings)),
        begin_again=(SubjectsMovedError,),
        about={party: _about(platform, Party(party)) for party in group.parties},
        taken={party: (decisions(party),) for party in group.parties},
        take_in=TakeIn(CONSENTS, listed_in, partial(restore, context)),
        beat_gate=lambda: platform.inputs.fresh(inputs, stale),
        beats_withheld=consequences.families,
        background=[
            partial(measure_subscribers, context),
            partial(work_off_for_ever, context),
            live.run,
        ],
        at_relays=[
            partial(release_or_void.measure_for_ever, context),
            partial(wait.measure_for_ever, context),
            partial(measure_addresses, context),
            partial(append_for_ever, context),
            partial(reconcile_for_ever, context),
            partial(detect_for_ever, context),
            partial(wait.work_off_for_ever, context, deciding_again(context)),
            partial(write_tombstones_for_ever, context),
            partial(prune_for_ever, context),
            group_changed,
            partial(forget_for_ever, context),
        ],
        commands={
            **dict.fromkeys(seals_command.NAMES, partial(seals_command.command, context)),
            **dict.fromkeys(subscribers_command.NAMES, partial(subscribers_command.command, context)),
            **dict.fromkeys(decisions_command.NAMES, partial(decisions_command.command, context)),
            "reconcile": partial(reconcile_command.command, context),
        },
    )


def _about(platform: Platform, party: Party) -> AboutParty:
    group = platform.group
    return AboutParty(
        point_keys=platform.keys.checks(party),
        subscribers=tuple(s.id for s in group.subscribers_of(party)),
        partners=group.partners_of(party.id) if party.is_company else (party.id,),
    )
