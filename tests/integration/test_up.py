"""`./kielto up` in a copy of the repository whose services are stand-ins: what it starts, prints and ends."""

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.paths import HOME, ROOT
from kielto import group

NAMES = ("customers", "consents", "marketing")
# Answers /readyz with 200 and everything else with its own environment.
STAND_IN = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path != "/readyz":
            self.wfile.write(json.dumps(dict(os.environ)).encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["KIELTO_HTTP_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """The command and what it needs; the environment and the downloads are shared with this checkout."""
    root = tmp_path / "a copy"  # a space, as newcomers have
    for folder in ("deploy", "shared/kielto"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "service"))
    for file in ("kielto", "group.yaml", "requirements-dev.txt"):
        shutil.copy(ROOT / file, root)
    for name in NAMES:
        (root / "services" / name).mkdir(parents=True)
        (root / "services" / name / "__main__.py").write_text(STAND_IN)
    plant(root, "shared/kielto/service/process/create_topics.py", "print('topics made')")
    (root / ".kielto").mkdir()
    for shared in ("venv", "jars", "kafka", "postgres"):
        (root / ".kielto" / shared).symlink_to(HOME / shared)
    yield root
    until = time.monotonic() + 20
    while left := [process for process in psutil.process_iter() if str(root) in command_line(process)]:
        assert time.monotonic() < until, f"left running: {left}"
        time.sleep(0.1)


def plant(root: Path, file: str, content: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(content)


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.cwd()])
    except psutil.Error:
        return ""


def up(root: Path, *options: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIELTO_")}
    return subprocess.Popen(
        [str(root / "kielto"), "up", *options],
        env=environment | {"KIELTO_FOREIGN": "x"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def urls(process: subprocess.Popen[str]) -> dict[str, str]:
    """What it prints once everything runs."""
    assert process.stdout is not None
    found = {}
    for line in process.stdout:
        if match := re.match(r"(\w+)\s+(http://\S+)$", line):
            found[match[1]] = match[2]
        if "Ctrl-C" in line:
            return found
    raise AssertionError(process.stderr.read() if process.stderr else "")


def test_it_starts_everything_and_ctrl_c_stops_everything(copy: Path) -> None:
    process = up(copy, "--beat", "0.5")
    try:
        found = urls(process)
        assert set(found) == set(NAMES)
        environments = {name: httpx.get(url).json() for name, url in found.items()}
    finally:
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert len({env["KIELTO_POSTGRES_DSN"] for env in environments.values()}) == len(NAMES)
    consents = environments["consents"]
    assert consents["KIELTO_POSTGRES_DSN"].startswith("postgresql://kielto_consents:")
    assert consents["KIELTO_BEAT_SECONDS"] == "0.5"
    assert "KIELTO_FOREIGN" not in consents
    assert Path(consents["KIELTO_JWKS"]).is_file()
    keys = Path(consents["KIELTO_KEYS_FILE"])
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    parties = group.load(ROOT / "group.yaml").parties
    holders = (*NAMES, "services", *parties)
    assert {file.name for file in keys.parent.iterdir()} == {f"{holder}.keys.json" for holder in holders}


def test_its_data_stay_unless_it_is_told_otherwise(copy: Path) -> None:
    seen = []
    for options in ((), (), ("--fresh",)):
        process = up(copy, *options)
        try:
            urls(process)
            marker = copy / ".kielto/up/stack/kafka/data/marker"
            seen.append(marker.exists())
            marker.touch()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert seen == [False, True, False]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("services/consents/__main__.py", "raise SystemExit('no such table')", "no such table"),
        (
            "shared/kielto/service/process/create_topics.py",
            "raise SystemExit('not my topic')",
            "not my topic",
        ),
    ],
)
def test_a_failure_half_way_is_told_and_ends_everything(
    copy: Path, file: str, content: str, said: str
) -> None:
    plant(copy, file, content)
    process = up(copy)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said in errors
    assert "Traceback" not in errors


def test_a_service_that_dies_ends_everything(copy: Path) -> None:
    process = up(copy)
    urls(process)
    [consents] = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "services.consents" in command_line(child)
    ]
    consents.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "consents has ended" in errors


def test_an_unknown_command_shows_the_usage(copy: Path) -> None:
    done = subprocess.run([str(copy / "kielto"), "upp"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown command 'upp'" in done.stderr
    assert all(name in done.stderr for name in ("demo", "up", "test", "bench", "token"))
