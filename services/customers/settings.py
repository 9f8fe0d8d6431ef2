"""Settings of this service alone: environment variables with the prefix KIELTO_CUSTOMERS_."""

from zoneinfo import ZoneInfo

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CustomersSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="KIELTO_CUSTOMERS_", extra="ignore", hide_input_in_errors=True
    )

    age_of_majority: int = Field(
        default=18, ge=0, le=21, description="Age in years below which nobody may be marketed to."
    )
    time_zone: ZoneInfo = Field(
        default=ZoneInfo("Europe/Helsinki"), description="Time zone in which a day begins and ends."
    )
    link_duplicates: bool = Field(
        default=True,
        description="Apply a person's no to every customer who may be the same person: equal identity code, or equal "
        "e-mail address or phone without a contradiction.",
    )
