"""Make the virtual environment from hashed requirements.

Run by `./kielto` with whatever Python 3.11 or newer the machine has, so: standard library only, and
nothing of ours imported. Usage: environment.py REQUIREMENTS VENV
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO


def private() -> int:
    """As `paths.PRIVATE`, which cannot be imported yet."""
    return 0o711 if os.geteuid() == 0 else 0o700


def main(requirements: Path, venv: Path) -> int:
    venv.parent.mkdir(mode=private(), parents=True, exist_ok=True)
    with open(venv.parent / "environment.lock", "w") as lock:
        lock_alone(lock)  # two first starts at once: the second finds it made
        stamp, wanted = venv / "stamp", requirements.read_bytes()
        if stamp.exists() and stamp.read_bytes() == wanted and (venv / "bin" / "python").exists():
            return 0
        shutil.rmtree(venv, ignore_errors=True)
        say(f"making the Python {sys.version.split()[0]} environment (only once; one to two minutes)")
        if not make(venv) or not install(venv, requirements):
            return 1
        stamp.write_bytes(wanted)
    return 0


def lock_alone(lock: IO[str]) -> None:
    """Every command holds this lock together with the others (`deploy.local`) for as long as it runs."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(
            "the requirements have changed: waiting until other ./kielto commands have ended (stop ./kielto up)"
        )
        fcntl.flock(lock, fcntl.LOCK_EX)


def make(venv: Path) -> bool:
    """A virtual environment with pip in it, by ensurepip or else by the pip of this Python."""
    if run([sys.executable, "-m", "venv", str(venv)]) is None:
        return True
    shutil.rmtree(venv, ignore_errors=True)
    python = str(venv / "bin" / "python")
    failed = run([sys.executable, "-m", "venv", "--without-pip", str(venv)]) or run(
        [sys.executable, "-m", "pip", "--python", python, "install", "pip"]
    )
    if failed is None:
        return True
    say(f"cannot make a virtual environment; on Debian and Ubuntu run: apt install python3-venv\n{failed}")
    return False


def install(venv: Path, requirements: Path) -> bool:
    """pip with every hash required; one line of progress for each package."""
    total = len(re.findall(r"^\S+==", requirements.read_text(), re.MULTILINE))
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--progress-bar=off"]
    # `./kielto` keeps what is compiled in a folder of its own, where pip would not put it.
    command += ["--no-compile", "--disable-pip-version-check", "--no-input", "-r", str(requirements)]
    tail: list[str] = []
    done = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            tail = [*tail[-14:], line]
            found = re.match(r"Collecting ([\w.-]+)", line)
            if found:
                done += 1
                progress(f"kielto: {done}/{total} {found[1]}", done % 20 == 0)
            elif line.startswith("Installing collected"):
                progress("kielto: installing", True)
    progress("", False)
    if pip.returncode:
        say("installing the requirements failed:\n" + "".join(tail))
    return pip.returncode == 0


def run(command: list[str]) -> str | None:
    """None when it went well, else what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else None


def progress(text: str, milestone: bool) -> None:
    """On a terminal one line that is written over; elsewhere the milestones only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif milestone:
        print(text, file=sys.stderr, flush=True)


def say(text: str) -> None:
    print(f"kielto: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except KeyboardInterrupt:
        sys.exit(130)
