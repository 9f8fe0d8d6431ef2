"""What every server has in common that runs already and is named by a setting: it is used, never managed."""

from deploy.local.servers.processes import Process, ProcessFailedError


class RunningStack:
    """In front of the class of our own server, whose ways to start and stop it takes away."""

    managed = False
    version = ""
    setting: str
    """The environment variable that names the server."""

    @property
    def process(self) -> Process:
        raise ProcessFailedError(f"{self.setting} is not ours to start or stop")

    def begin(self) -> None:
        pass

    def wait(self) -> None:
        pass

    def stop(self) -> None:
        self.process.stop()
