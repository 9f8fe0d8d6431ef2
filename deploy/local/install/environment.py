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
        say(f"making the Python {sys.version.split()[0]} environment (only once; about half a minute)")
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
    """Install by uv, or by pip where uv fails: uv does not know a mirror that only pip's settings name. Both require
    every hash.
    """
    python, own = str(venv / "bin" / "python"), venv / "uv.txt"
    pip = [python, "-m", "pip", "install", "--require-hashes", "--no-input", "--disable-pip-version-check"]
    # `./kielto` keeps what is compiled in a folder of its own, where pip would not put it.
    pip += ["--no-compile", "--quiet", "-r"]
    uv = [str(venv / "bin" / "uv"), "pip", "install", "--require-hashes", "--python", python, "--quiet"]
    uv += ["--cache-dir", str(venv.parent / "uv"), "-r", str(requirements)]
    own.write_text(requirement("uv", requirements.read_text()))
    if run([*pip, str(own)]) is None and run(uv) is None:
        return True
    say("uv could not install the requirements: trying pip, which takes one to two minutes")
    failed = run([*pip, str(requirements)])
    if failed is not None:
        say("installing the requirements failed:\n" + "\n".join(failed.splitlines()[-15:]))
    return failed is None


def requirement(name: str, requirements: str) -> str:
    """The lines of one package, with its hashes; empty if it is not there."""
    found = re.search(rf"^{re.escape(name)}==.*\n(?:    .*\n)*", requirements, re.MULTILINE)
    return found[0] if found else ""


def run(command: list[str]) -> str | None:
    """None when it went well, else what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:  # not there, or not for this machine
        return str(error)
    return done.stdout + done.stderr if done.returncode else None


def say(text: str) -> None:
    print(f"kielto: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except KeyboardInterrupt:
        sys.exit(130)
