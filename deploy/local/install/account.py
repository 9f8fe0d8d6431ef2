"""Which account PostgreSQL runs as: this one, unless this one is root, which PostgreSQL refuses to be.

As root on Linux it runs in a user namespace, where root's own files belong to an ordinary user. Where
namespaces are forbidden (some containers) it runs as another account, which then must own the data and be
able to reach it.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.progress import LocalError


@dataclass(frozen=True)
class Account:
    """How to run a command as an ordinary user."""

    prefix: tuple[str, ...] = ()
    ids: tuple[int, int] | None = None  # user and group to switch to

    def give(self, folder: Path) -> None:
        """Make the account the owner of everything in a folder."""
        if self.ids is None:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, *self.ids, follow_symlinks=False)

    def run(self, command: list[str]) -> None:
        """Run it to its end; raises LocalError with what it said."""
        user, group = self.ids or (None, None)
        try:
            done = subprocess.run(
                [*self.prefix, *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                user=user,
                group=group,
                extra_groups=None if group is None else [group],
            )
        except PermissionError as error:
            raise LocalError(
                f"PostgreSQL does not run as root, and user {user} may not enter {command[0]}: move the checkout to a "
                "folder that other users may enter, or set KIELTO_POSTGRES to a running server"
            ) from error
        if done.returncode:
            raise LocalError(
                f"{command[0]} failed with status {done.returncode}:\n{done.stdout}{done.stderr}"
            )


def choose(*, namespaces: bool = True) -> Account:
    """For this process. `namespaces=False` is for a test of the other way."""
    if os.geteuid() != 0:
        return Account()
    if namespaces:
        # Any account that exists will do: initdb looks its name up.
        other = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
        prefix = ("unshare", "--user", f"--map-user={other.pw_uid}")
        try:
            subprocess.run([*prefix, "true"], check=True, capture_output=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            pass
        else:
            return Account(prefix=prefix)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(ids=(entry.pw_uid, entry.pw_gid))
    raise LocalError(
        "PostgreSQL does not run as root, and this machine has neither user namespaces nor another account: "
        "start ./kielto as an ordinary user, or set KIELTO_POSTGRES to a running server"
    )
