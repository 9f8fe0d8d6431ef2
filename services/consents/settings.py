"""Settings of consents alone: environment variables with the prefix KIELTO_CONSENTS_."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LONGEST_CLEARANCE_SECONDS = 300
"""The query for a recorded clearance relies on this bound (`store/clearances`)."""


class ConsentsSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="KIELTO_CONSENTS_", extra="ignore", hide_input_in_errors=True, frozen=True
    )

    inputs_stale_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Send no beats while the newest beat from customers is older than this. "
        "Default: the smallest `stale_seconds` in the group file.",
    )
    dead_store_days: int = Field(
        default=400,
        gt=0,
        description="How long to keep the acknowledgement history of a store that no longer exists.",
    )
    result_days: int = Field(
        default=37,
        gt=0,
        description="How long a company can read the results of its messages over HTTP. "
        "Its results topic keeps them for 37 days.",
    )
    seal_seconds: float = Field(
        default=5,
        gt=0,
        description="Pause between signed batches of the decision log: a decision can be proven after about this time.",
    )
    reconcile_seconds: float = Field(
        default=3600,
        gt=0,
        description="How often to ask each subscriber for digests of its store's contents.",
    )
    clearance_seconds: float = Field(
        default=10.0,
        gt=0,
        le=LONGEST_CLEARANCE_SECONDS,
        description="How long a clearance is valid, counted from when the request was sent.",
    )
    clearance_refuses_overdue: bool = Field(
        default=False,
        description="Clear no recipients for a company while one of its subscribers has not applied decisions by "
        "its deadline.",
    )
    clearance_days: int = Field(
        default=3653,
        gt=0,
        description="How long to keep the record of clearances: a fine may follow for ten years "
        "(1050/2018 section 24).",
    )
