"""Settings of this service alone: environment variables with the prefix KIELTO_MARKETING_."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MarketingSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="KIELTO_MARKETING_", extra="ignore", hide_input_in_errors=True
    )

    catch_up_seconds: float = Field(
        default=60,
        ge=0,
        description="How many seconds a launch waits for the records of people who were registered just before it.",
    )
