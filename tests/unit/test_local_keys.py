"""Each service's keys file holds what the service uses, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from deploy.local import keys
from deploy.local.paths import ROOT
from kielto.group import load
from kielto.service.support.crypto_keys import Keys, KeysError

GROUP = load(ROOT / "group.yaml")
SHARED = {"digest_key", "master_key", "id_keys", "point_keys"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.make(GROUP, tmp_path)
    return tmp_path


def held(folder: Path, service: str) -> dict[str, Any]:
    file = keys.service_file(folder, service)
    assert file.stat().st_mode & 0o077 == 0
    return dict(json.loads(file.read_text()))


def test_a_service_holds_no_key_that_it_does_not_use(folder: Path) -> None:
    assert set(held(folder, "marketing")) == SHARED
    assert set(held(folder, "customers")) == SHARED | {"index_key"}
    assert set(held(folder, "consents")) == SHARED | {"index_key", "seal_key"}


def test_marketings_master_key_opens_nothing_of_the_others(folder: Path) -> None:
    others = {held(folder, service)["master_key"] for service in ("customers", "consents", "another")}
    assert held(folder, "marketing")["master_key"] not in others
    loaded = [Keys.load(keys.service_file(folder, service)) for service in ("customers", "marketing")]
    record = loaded[0].encrypt_record("company.kauppa.customers", "k", "{}")
    with pytest.raises(InvalidTag):
        loaded[1].decrypt_record("company.kauppa.customers", "k", record)


def test_the_ids_and_hashes_are_the_same_for_all(folder: Path) -> None:
    for name in ("digest_key", "id_keys", "point_keys"):
        assert (
            len(
                {
                    json.dumps(held(folder, service)[name])
                    for service in ("customers", "consents", "marketing")
                }
            )
            == 1
        )


@pytest.mark.parametrize("use", [lambda k: k.blind_index("a", "b"), lambda k: k.seal_key])
def test_what_is_missing_is_named(folder: Path, use: Any) -> None:
    with pytest.raises(KeysError, match="is missing: add"):
        use(Keys.load(keys.service_file(folder, "marketing")))


def test_made_again_all_stay_the_same(folder: Path) -> None:
    before = {file.name: file.read_text() for file in folder.iterdir()}
    keys.make(GROUP, folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
