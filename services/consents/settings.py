"""Settings of this service alone: environment variables with the prefix KIELTO_CONSENTS_."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.consents.store.clearances.clearances import LONGEST_SECONDS
from services.consents.use_cases.clearances.clear import CLEAR_SECONDS


class ConsentsSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="KIELTO_CONSENTS_", extra="ignore", hide_input_in_errors=True
    )

    inputs_stale_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Beats are withheld while what we know of customers is older; "
        "if not given, the least `stale_seconds` of the group.",
    )
    dead_store_days: int = Field(
        default=400,
        gt=0,
        description="For so long is kept when a store that is gone had applied what it had: proof of the past.",
    )
    result_days: int = Field(
        default=37,
        gt=0,
        description="For so long a company can read over HTTP what became of a message; on its topic as long.",
    )
    seal_seconds: float = Field(
        default=5, gt=0, description="How often decisions are sealed; a proof can be had that much later."
    )
    reconcile_seconds: float = Field(
        default=3600,
        gt=0,
        description="How often each subscriber is asked for digests of what its store holds, at a time of its own.",
    )
    clearance_seconds: float = Field(
        default=CLEAR_SECONDS,
        gt=0,
        le=LONGEST_SECONDS,
        description="For which a clearance is valid, counted from when it was asked for.",
    )
    clearance_refuses_overdue: bool = Field(
        default=False,
        description="Clear nobody for a company while a subscriber of it has not applied decisions by its deadline.",
    )
    clearance_days: int = Field(
        default=3653,
        gt=0,
        description="For so long is kept what was cleared: as long as a fine may follow (1050/2018 section 24).",
    )
