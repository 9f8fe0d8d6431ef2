"""Creates what is missing of the group's topics: `python -m kielto.service.setup`. Changes nothing that is
there.

Settings: KIELTO_GROUP_FILE, KIELTO_KAFKA_BOOTSTRAP, KIELTO_KAFKA_REPLICAS (default 1). Services only verify
the topics, and refuse to start on a difference.
"""

import asyncio
import sys
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kielto import group, kafka


class SetupSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="KIELTO_", extra="ignore", hide_input_in_errors=True)

    group_file: Path
    kafka_bootstrap: str
    kafka_replicas: int = 1


async def set_up(bootstrap: str, topics: group.Group, replicas: int = 1) -> list[str]:
    """The names of the topics created; all topics are then as the group says. Raises TopicMismatch or one of
    DOWN.
    """
    created = await kafka.create_topics(bootstrap, topics.topics(), replicas)
    await kafka.verify_topics(bootstrap, topics.topics())
    return created


def main() -> int:
    try:
        settings = SetupSettings()
        created = asyncio.run(
            set_up(settings.kafka_bootstrap, group.load(settings.group_file), settings.kafka_replicas)
        )
    except (ValidationError, group.GroupError, kafka.TopicMismatch, *kafka.DOWN) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    print(f"set-up: {len(created)} topics created")
    return 0


if __name__ == "__main__":
    sys.exit(main())
