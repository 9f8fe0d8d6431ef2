"""The secret keys of one local group, made once: the services' keys file, and each outside party's own.

The services' file has the shape of `kielto.service.keys`. A party's file holds the one secret that a party
may have, its own point keys by generation: `{"point_keys": {"1": hex}}`.
"""

import json
import secrets
from pathlib import Path

from deploy.local.files import write_private
from kielto.group import Group


def make(group: Group, folder: Path) -> Path:
    """The services' keys file in `folder`, with a key for each party of the group; existing keys are kept.

    Beside it `<party>.keys.json` for each company and partner. All are readable by this user alone.
    """
    file = folder / "services.keys.json"
    keys = json.loads(file.read_text()) if file.exists() else {}
    keys.setdefault("digest_key", secrets.token_hex(64))
    keys.setdefault("master_key", secrets.token_hex(32))
    keys.setdefault("index_key", secrets.token_hex(32))
    keys.setdefault("seal_key", secrets.token_hex(32))
    for party in group.parties:
        keys.setdefault("id_keys", {}).setdefault(party, secrets.token_hex(32))
        keys.setdefault("point_keys", {}).setdefault(party, {"1": secrets.token_hex(32)})
    write_private(file, json.dumps(keys, indent=1))
    for party in group.parties:
        write_private(party_file(folder, party), json.dumps({"point_keys": keys["point_keys"][party]}))
    return file


def party_file(folder: Path, party: str) -> Path:
    return folder / f"{party}.keys.json"
