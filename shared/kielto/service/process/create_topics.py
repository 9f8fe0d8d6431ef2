"""`python -m kielto.service.process.create_topics`: creates the group's topics that are missing, changes none.

Settings: KIELTO_GROUP_FILE, KIELTO_KAFKA_REPLICAS (default 1), and Kafka's as the services have them.
Services only verify the topics, and refuse to start on a difference.
"""

import asyncio
import sys
from pathlib import Path

from pydantic import ValidationError

from kielto import group, kafka
from kielto.errors import KieltoError
from kielto.service.support.settings import KafkaSettings


class SetupSettings(KafkaSettings):
    group_file: Path
    kafka_replicas: int = 1


async def set_up(
    bootstrap: str, topics: group.Group, replicas: int = 1, *, security: kafka.Security = kafka.CLEAR
) -> list[str]:
    """The names of the topics created; all topics are then as the group says. Raises TopicMismatchError or one of
    DOWN.
    """
    created = await kafka.create_topics(bootstrap, topics.topics(), replicas, security=security)
    await kafka.verify_topics(bootstrap, topics.topics(), security=security)
    return created


def main() -> int:
    try:
        settings = SetupSettings()
        created = asyncio.run(
            set_up(
                settings.kafka_bootstrap,
                group.load(settings.group_file),
                settings.kafka_replicas,
                security=settings.security,
            )
        )
    except (ValidationError, KieltoError, *kafka.DOWN) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    print(f"set-up: {len(created)} topics created")
    return 0


if __name__ == "__main__":
    sys.exit(main())
