"""Write the lock files anew: `python -m deploy.local.install.lock`. For maintainers; review the difference."""

import tempfile
from pathlib import Path

from jgo.env import LockFile
from jgo.maven import Dependency, MavenContext

from deploy.local.install.jars import LOCKS

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
# Kafka's distribution adds it to the published jars. Resolved by itself: as a second input, jgo would let its
# managed versions overrule Kafka's own.
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
POSTGRES_VERSION = "18.6.0"
POSTGRES = [
    f"io.zonky.test.postgres:embedded-postgres-binaries-{platform}:{POSTGRES_VERSION}"
    for platform in ("linux-amd64", "linux-arm64v8", "darwin-amd64", "darwin-arm64v8")
]
DATA = ["net.hydromatic:foodmart-data-json:0.4", "net.hydromatic:chinook-data-hsqldb:0.2"]


def write(name: str, dependencies: list[Dependency]) -> None:
    LockFile.from_resolved_dependencies(dependencies, environment_name=name).save(LOCKS / f"{name}.lock.toml")


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder), local_repos=[], timeout=60)
        kafka, needed = maven.resolver.resolve([maven.create_dependency(KAFKA)])
        write("kafka", [*kafka, *needed, maven.create_dependency(LOGGING)])
        write("postgres", [maven.create_dependency(coordinate) for coordinate in POSTGRES])
        write("data", [maven.create_dependency(coordinate) for coordinate in DATA])


if __name__ == "__main__":
    main()
