"""Files from Maven Central, exactly as locked: fetched by jgo, each one's SHA-256 checked here.

jgo records sums in its lock file but never compares them, and a file that another tool left in a shared
cache could be anything; so downloads go to a folder of their own, are compared with the lock file, and only
then moved to `.kielto/jars`. What lies there is compared again at every start: 45 MB take a tenth of a
second.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from jgo.env import LockFile
from jgo.env._lockfile import LockedDependency
from jgo.maven import MavenContext

from deploy.local.paths import HOME
from deploy.local.progress import LocalError, say

LOCKS = Path(__file__).parent / "locks"
JARS = HOME / "jars"


class DownloadFailedError(LocalError):
    """A file cannot be downloaded: there is no network, or no such file."""


class ChecksumMismatchError(LocalError):
    """A file differs from the lock file, so it is not used."""


def locked(name: str) -> list[LockedDependency]:
    """The files of one lock file, by its name without `.lock.toml`."""
    return list(LockFile.load(LOCKS / f"{name}.lock.toml").dependencies)


def fetch(name: str, wanted: Callable[[LockedDependency], bool] = lambda _: True) -> list[Path]:
    """The verified files of one lock file, in its order; missing files are downloaded.

    Raises ChecksumMismatchError, or DownloadFailedError.
    """
    files = [dependency for dependency in locked(name) if wanted(dependency)]
    missing = [dependency for dependency in files if not _path(dependency).exists()]
    if missing:
        _download(name, missing)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda dependency: _check(dependency, _path(dependency)), files))
    return [_path(dependency) for dependency in files]


def _download(name: str, missing: list[LockedDependency]) -> None:
    say(f"downloading {name}: {len(missing)} files from Maven Central (only once)")
    with tempfile.TemporaryDirectory(dir=HOME, prefix="download-") as folder:
        maven = MavenContext(repo_cache=Path(folder), local_repos=[], timeout=60)
        with ThreadPoolExecutor(6) as pool:
            for done, _ in enumerate(pool.map(lambda d: _download_one(maven, d), missing), 1):
                if done % 10 == 0:
                    say(f"downloading {name}: {done}/{len(missing)}")


def _download_one(maven: MavenContext, dependency: LockedDependency) -> None:
    component = maven.project(dependency.groupId, dependency.artifactId).at_version(dependency.version)
    try:
        file = component.artifact(dependency.classifier or "", dependency.packaging).resolve()
    except (requests.RequestException, RuntimeError) as error:  # RuntimeError: jgo found it nowhere
        raise DownloadFailedError(f"cannot download {component} from Maven Central: {error}") from error
    _check(dependency, file)
    _path(dependency).parent.mkdir(parents=True, exist_ok=True)
    os.replace(file, _path(dependency))  # a rename: whole or not at all


def _check(dependency: LockedDependency, file: Path) -> None:
    with open(file, "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if not dependency.sha256 or found != dependency.sha256:
        raise ChecksumMismatchError(
            f"{file.name} differs from the locked file and is not used: SHA-256 {found}, "
            f"locked {dependency.sha256}. If {file} exists from before, delete it and start again."
        )


def _path(dependency: LockedDependency) -> Path:
    classifier = f"-{dependency.classifier}" if dependency.classifier else ""
    name = f"{dependency.artifactId}-{dependency.version}{classifier}.{dependency.packaging}"
    return JARS.resolve() / dependency.groupId / name
