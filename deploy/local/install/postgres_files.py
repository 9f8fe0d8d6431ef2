"""PostgreSQL's programs and a data folder to copy, made once under `.kielto/`."""

import hashlib
import platform
import secrets
import sys
import tarfile
import zipfile
from pathlib import Path

from deploy.local.install import files, jars
from deploy.local.install.account import Account
from deploy.local.paths import HOME
from deploy.local.progress import LocalError, say

SUPERUSER = "kielto"
INITDB = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale"]
PLATFORMS = {
    ("linux", "x86_64"): "linux-amd64",
    ("linux", "aarch64"): "linux-arm64v8",
    ("darwin", "x86_64"): "darwin-amd64",
    ("darwin", "arm64"): "darwin-arm64v8",
}


def password() -> str:
    """The superuser's, made once; also the secret from which the roles' passwords come (databases.py)."""
    file = HOME / "postgres" / "password"
    if not file.exists():
        files.write_private(file, secrets.token_hex(16), once=True)
    return file.read_text()


def install() -> Path:
    """The unpacked programs for this machine; the folder's name is their version."""
    key = (sys.platform, platform.machine())
    if key not in PLATFORMS:
        raise LocalError(
            f"there are no PostgreSQL programs for {key[0]} on {key[1]}: set KIELTO_POSTGRES to a running server"
        )
    name = f"embedded-postgres-binaries-{PLATFORMS[key]}"
    [jar] = jars.fetch("postgres", lambda dependency: dependency.artifactId == name)

    def unpack(folder: Path) -> None:
        say("unpacking PostgreSQL (only once)")
        with zipfile.ZipFile(jar) as archive:
            [member] = [entry for entry in archive.namelist() if entry.endswith(".txz")]
            with archive.open(member) as content, tarfile.open(fileobj=content, mode="r:xz") as programs:
                # Python below 3.11.4 has no filters; the archive is the one that was locked.
                programs.extraction_filter = getattr(tarfile, "data_filter", None)
                programs.extractall(folder)  # noqa: S202

    version = jar.stem.removeprefix(f"{name}-")
    return files.make_once(HOME / "postgres" / PLATFORMS[key] / version, unpack)


def template(programs: Path, account: Account) -> Path:
    """A data folder as initdb makes it, to be copied: that takes a tenth of a second, initdb a whole one."""
    made_by = hashlib.sha256(repr((programs.name, INITDB, password())).encode()).hexdigest()[:12]

    def make(folder: Path) -> None:
        say("preparing PostgreSQL's data folder (only once)")
        secret = folder.parent / "password"
        secret.write_text(password())
        folder.chmod(0o700)
        account.give(folder.parent)
        options = [
            f"--pgdata={folder}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
        ]
        account.run([str(programs / "bin" / "initdb"), *options, "--no-sync", *INITDB])

    return files.make_once(HOME / "postgres" / f"template-{made_by}", make)
