"""The steps of the demo.

Each submits decisions and passes only by what the receivers' stores answer afterwards.
May import the modules of `demo`; only `demo.command` may import it.
"""

from deploy.local.demo.steps.bans import bans
from deploy.local.demo.steps.campaign import campaign
from deploy.local.demo.steps.common import until_allowed
from deploy.local.demo.steps.outages import killed, without_kafka
from deploy.local.demo.steps.partner_opt_out import partner_opt_out
from deploy.local.demo.steps.taken_by_company import taken_by_company
from deploy.local.demo.steps.unknown_person import unknown_person

__all__ = [
    "bans",
    "campaign",
    "killed",
    "partner_opt_out",
    "taken_by_company",
    "unknown_person",
    "until_allowed",
    "without_kafka",
]
