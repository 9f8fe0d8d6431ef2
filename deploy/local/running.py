"""A server that runs already and is named by a setting: it is used, but never started or stopped."""

from deploy.local.servers.processes import Process, ProcessFailedError


class RunningStack:
    """Base for a server that somebody else runs, before the class of our own server: start and stop do nothing."""

    managed = False
    version = ""
    setting: str
    """The environment variable that names the server."""

    @property
    def process(self) -> Process:
        raise ProcessFailedError(
            f"{self.setting} is a server that somebody else runs: it cannot be stopped or killed from here"
        )

    def begin(self) -> None:
        pass

    def wait(self) -> None:
        pass

    def stop(self) -> None:
        self.process.stop()
