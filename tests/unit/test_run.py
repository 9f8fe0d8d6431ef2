"""`./kielto run`: a command gets the settings of the running service, and nothing runs when `up` does not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.local import run, up
from deploy.local.progress import LocalError
from deploy.local.services import Services


class FakeRunning:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self, name: str) -> dict[str, str]:
        return {"KIELTO_HTTP_PORT": "1", "KIELTO_POSTGRES_DSN": f"postgresql://{name}", "PATH": "x"}


def test_up_leaves_its_settings_for_this_user_alone(tmp_path: Path) -> None:
    file = run.leave(cast(Services, FakeRunning(tmp_path)))
    assert file.stat().st_mode & 0o077 == 0
    assert run.environment(file, "consents") == {
        "KIELTO_HTTP_PORT": "1",
        "KIELTO_POSTGRES_DSN": "postgresql://consents",
    }


def test_without_up_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"start `\./kielto up` first"):
        run.environment(tmp_path / run.FILE, "consents")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / run.FILE).write_text(json.dumps({"up": ended.pid, "services": {}}))
    with pytest.raises(LocalError, match=r"start `\./kielto up` first"):
        run.environment(tmp_path / run.FILE, "consents")


@pytest.mark.parametrize("arguments", [[], ["consent", "epoch"], ["consents"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert run.main(arguments) == 2


def test_it_becomes_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.leave(cast(Services, FakeRunning(tmp_path)))
    monkeypatch.setattr(up, "FOLDER", tmp_path)
    monkeypatch.setenv("KIELTO_OPERATOR", "liisa")
    monkeypatch.setenv("KIELTO_HTTP_PORT", "stale")
    became: list[Any] = []
    monkeypatch.setattr(run, "become", lambda *given: became.append(given))
    run.main(["consents", "epoch", "begin"])
    ((service, command, settings),) = became
    assert (service, command) == ("consents", ["epoch", "begin"])
    assert settings["KIELTO_HTTP_PORT"] == "1"
    assert settings["KIELTO_OPERATOR"] == "liisa"
