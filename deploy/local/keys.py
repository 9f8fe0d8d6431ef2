"""The secret keys of one local group, made once: all of them, each service's own file, and each outside party's.

A service's file has the shape of `kielto.service.support.crypto_keys` and holds only what that service uses. A party's
file holds the one secret that a party may have, its own point keys by generation: `{"point_keys": {"1": hex}}`.
"""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from deploy.local.install.files import write_private
from kielto.group import Group

_NOT_USED = {
    "customers": ("seal_key",),
    "consents": (),
    "marketing": ("seal_key", "index_key"),
}
"""By service, the keys that it has no use for."""


def make(group: Group, folder: Path) -> Path:
    """The file with all keys in `folder`, with one for each party of the group; existing keys are kept.

    Beside it `<service>.keys.json` for each service, and `<party>.keys.json` for each company and partner. All are
    readable by this user alone.
    """
    file = folder / "services.keys.json"
    keys = json.loads(file.read_text()) if file.exists() else {}
    for name, size in (("digest_key", 64), ("master_key", 32), ("index_key", 32), ("seal_key", 32)):
        keys.setdefault(name, secrets.token_hex(size))
    for party in group.parties:
        keys.setdefault("id_keys", {}).setdefault(party, secrets.token_hex(32))
        keys.setdefault("point_keys", {}).setdefault(party, {"1": secrets.token_hex(32)})
    write_private(file, json.dumps(keys, indent=1))
    for service in _NOT_USED:
        write_private(service_file(folder, service), json.dumps(_own(service, keys), indent=1))
    for party in group.parties:
        write_private(party_file(folder, party), json.dumps({"point_keys": keys["point_keys"][party]}))
    return file


def _own(service: str, keys: dict[str, Any]) -> dict[str, Any]:
    """What marketing keeps at rest is its own: its master key opens nothing of the others'."""
    own = {name: key for name, key in keys.items() if name not in _NOT_USED[service]}
    if service == "marketing":
        own["master_key"] = hashlib.sha256(f"{service} {keys['master_key']}".encode()).hexdigest()
    return own


def service_file(folder: Path, service: str) -> Path:
    """Of a process that is none of the three services (in tests): the file with all keys."""
    if service not in _NOT_USED:
        return folder / "services.keys.json"
    return folder / f"{service}.keys.json"


def party_file(folder: Path, party: str) -> Path:
    return folder / f"{party}.keys.json"
