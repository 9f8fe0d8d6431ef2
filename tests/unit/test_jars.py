"""Nothing is used that is not, byte for byte, what was locked."""

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import jgo.maven._core
import pytest

from deploy.local.install import jars
from deploy.local.install.jars import ChecksumMismatchError
from deploy.local.paths import ROOT

CONTENT = {"good": b"the very file", "bad": b"another file"}


class Repository(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        content = next((content for key, content in CONTENT.items() if name == f"{key}-1.0.jar"), None)
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A repository on loopback, and lock files that both name the same sum."""
    monkeypatch.setattr(jars, "HOME", tmp_path)
    monkeypatch.setattr(jars, "JARS", tmp_path / "jars")
    monkeypatch.setattr(jars, "LOCKS", tmp_path)
    for name in CONTENT:
        (tmp_path / f"{name}.lock.toml").write_text(
            f'[[dependencies]]\ngroupId = "a.b"\nartifactId = "{name}"\nversion = "1.0"\npackaging = "jar"\n'
            'sha256 = "80284514436c6daf22424da4bea77cc250f631132a3b321ac2d705bc2276addc"\n'
        )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(jgo.maven._core, "DEFAULT_REMOTE_REPOS", {"central": address})
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("repository")
def test_a_file_is_fetched_once_and_checked_at_every_use() -> None:
    [file] = jars.fetch("good")
    assert file.read_bytes() == CONTENT["good"]
    file.write_bytes(b"the very fil3")
    with pytest.raises(ChecksumMismatchError, match=r"good-1\.0\.jar differs from the locked file"):
        jars.fetch("good")


@pytest.mark.usefixtures("repository")
def test_a_download_that_differs_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ChecksumMismatchError, match=r"bad-1\.0\.jar differs from the locked file"):
        jars.fetch("bad")
    assert not list(tmp_path.rglob("bad*.jar"))


@pytest.mark.parametrize("name", ["kafka", "postgres", "data"])
def test_every_locked_file_has_a_sum(name: str) -> None:
    files = jars.locked(name)
    assert files
    assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "") for file in files)


def test_no_lock_names_a_registry() -> None:
    for lock in (*(ROOT / "deploy/local/install/locks").iterdir(), *ROOT.glob("requirements*.txt")):
        text = "\n".join(line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#"))
        assert "://" not in text, lock.name
        assert "index" not in re.findall(r"^--(\S+)", text, re.MULTILINE), lock.name


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_exact_and_hashed(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text())
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert len(packages) > 20
    assert all(re.match(r"[\w.-]+==\S+", entry) and "--hash=sha256:" in entry for entry in packages)
