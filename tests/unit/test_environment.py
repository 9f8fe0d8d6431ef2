"""The environment is made anew only when no command uses it."""

import fcntl
import threading
from pathlib import Path

import pytest

from deploy.local.install import environment
from deploy.local.paths import PRIVATE


def test_who_makes_it_waits_for_the_commands_that_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "environment.lock"
    with file.open("w") as running, file.open("w") as making:
        fcntl.flock(running, fcntl.LOCK_SH)
        waiting = threading.Thread(target=environment.lock_alone, args=(making,), daemon=True)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive(), "it is made under a command that runs"
        fcntl.flock(running, fcntl.LOCK_UN)
        waiting.join(10)
        assert not waiting.is_alive()
    assert "waiting until other ./kielto commands have ended" in capsys.readouterr().err


@pytest.mark.parametrize(("user", "mode"), [(0, 0o711), (1000, 0o700)])
def test_what_is_made_is_not_for_others_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, mode: int
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert environment.private() == mode
    requirements, venv = tmp_path / "r.txt", tmp_path / "home" / "venv"
    requirements.write_text("")
    monkeypatch.setattr(environment, "make", lambda _: False)
    assert environment.main(requirements, venv) == 1
    assert venv.parent.stat().st_mode & 0o777 == mode
    assert PRIVATE in (0o711, 0o700)


def test_what_cannot_be_started_has_failed() -> None:
    assert "No such file" in (environment.run(["/nonexistent/uv"]) or "")


def test_pip_installs_where_uv_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "rich==1 \\\n    --hash=sha256:1\nuv==2 \\\n    --hash=sha256:2\n    # via dev\nyarl==3\n"
    )
    ran: list[str] = []

    def run(command: list[str]) -> str | None:
        ran.append(Path(command[-1]).name if command[1] == "-m" else "uv")
        return "no such index" if ran[-1] == "uv" else None

    monkeypatch.setattr(environment, "run", run)
    assert environment.install(tmp_path, requirements)
    assert ran == ["uv.txt", "uv", "requirements.txt"]
    assert (tmp_path / "uv.txt").read_text() == "uv==2 \\\n    --hash=sha256:2\n    # via dev\n"
    assert "trying pip" in capsys.readouterr().err
