"""What both servers have in common, ours and those that run already."""

from abc import ABC, abstractmethod

from deploy.local.servers.processes import Process, ProcessFailedError


class LocalServer(ABC):
    """A server of ours. Start and stop are repeatable; the port and the data stay."""

    name: str
    managed = True  # ours to start and stop
    version = ""
    _process: Process | None = None

    @property
    def process(self) -> Process:
        if self._process is None:
            raise ProcessFailedError(f"{self.name} was not started")
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @abstractmethod
    def begin(self) -> None:
        """Begin to start; `wait()` returns when it answers."""

    @abstractmethod
    def wait(self) -> None: ...

    def start(self) -> None:
        self.begin()
        self.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        self.process.kill()


class RunningServer:
    """Base, before the class of our own server, for a server that somebody else runs: it is used, but never started or
    stopped.
    """

    managed = False
    version = ""
    setting: str
    """The environment variable that names the server."""

    @property
    def process(self) -> Process:
        raise ProcessFailedError(
            f"{self.setting} is a server that somebody else runs: it cannot be stopped or killed from here"
        )

    def stop(self) -> None:
        self.process.stop()
