"""Decisions on disk: in order, once, until they have ended; and what vouches for a store."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from kielto import KieltoError
from kielto.events.messages import Decision, DecisionSubject
from kielto.events.words import Act
from kielto.subscriber.gate.local_denials import DecisionPlace
from kielto.subscriber.stores.base import StoreMark
from kielto.subscriber.submit.spool import Spool, SpoolInUseError
from kielto.subscriber.sync.session import _vouched
from tests.unit.subscriber.logs import NOW, hexes


def decision(name: str) -> Decision:
    return Decision(id=uuid4(), subject=DecisionSubject(id=hexes(name)), act=Act.BAN, said_at=NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "spool"


def test_decisions_stay_in_order_until_they_are_sent_and_forgotten(path: Path) -> None:
    first, second = decision("a"), decision("b")
    spool = Spool(path)
    spool.add("k1", first, "trace")
    spool.add("k2", second, None)
    spool.add("k1", first, None)
    spool.close()
    spool = Spool(path)
    assert [(s.key, s.decision, s.traceparent) for s in spool.waiting()] == [
        ("k1", first, "trace"),
        ("k2", second, None),
    ]
    where = DecisionPlace(UUID(int=4), 3, 17)
    spool.sent(first, where)
    assert [s.decision for s in spool.waiting()] == [second]
    assert [s.sent for s in spool.all()] == [where, None]
    spool.sent(first, None)
    assert len(spool.waiting()) == 2
    spool.forget([first.id])
    assert [s.decision for s in spool.all()] == [second]


def test_an_id_is_of_one_decision(path: Path) -> None:
    first, spool = decision("a"), Spool(path)
    spool.add("k", first, None)
    spool.add("k", first.model_copy(update={"evidence": "told again"}), None)
    for other in ({"act": Act.OPT_OUT}, {"act": Act.CONSENT}, {"subject": DecisionSubject(id=hexes("b"))}):
        with pytest.raises(ValueError, match=r"^id: "):
            spool.add("k", first.model_copy(update=other), None)
    assert [s.decision for s in spool.all()] == [first]


def test_it_is_for_its_owner_alone_and_synced(path: Path) -> None:
    spool = Spool(path)
    assert path.stat().st_mode & 0o077 == 0
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_was_added_survives_a_killed_process(path: Path) -> None:
    said = decision("a")
    script = (
        "import os, sys; from pathlib import Path; from kielto.subscriber.submit.spool import Spool;"
        "from kielto.events.messages import Decision;"
        "Spool(Path(sys.argv[1])).add('k', Decision.model_validate_json(sys.argv[2]), None);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), said.model_dump_json()],
        env={"PYTHONPATH": str(Path(__file__).parents[4] / "shared")},
        timeout=60,
        check=False,
    )
    assert done.returncode == -9
    assert [s.decision for s in Spool(path).waiting()] == [said]


def test_an_unwritable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises((OSError, sqlite3.Error)):
        Spool(tmp_path / "file" / "spool")
    (tmp_path / "other").write_text("this is no database" * 100)
    with pytest.raises(sqlite3.Error):
        Spool(tmp_path / "other")


def test_the_instance_is_made_once(path: Path) -> None:
    spool = Spool(path)
    made = spool.instance()
    assert spool.instance() == made
    spool.close()
    assert Spool(path).instance() == made


async def test_what_vouches_for_a_stores_contents(path: Path) -> None:
    spool, generation = Spool(path), uuid4()
    assert not await _vouched(None, StoreMark(generation, 5))
    assert not await _vouched(spool, StoreMark(generation, 5))
    spool.acknowledging(StoreMark(generation, 5))
    assert await _vouched(spool, StoreMark(generation, 5))
    assert await _vouched(spool, StoreMark(generation, 6))
    assert not await _vouched(spool, StoreMark(generation, 4))  # a backup from before what was acknowledged
    assert not await _vouched(spool, StoreMark(uuid4(), 6))


HOLDER = (
    "import sys, time; from pathlib import Path; from kielto.subscriber.submit.spool import Spool;"
    "spool = Spool(Path(sys.argv[1])); print(spool.instance(), flush=True); time.sleep(60)"
)


def test_a_spool_that_another_process_has_is_refused_until_it_is_killed(path: Path) -> None:
    """Two processes on one spool would be one instance, which has *applied* what only one of them has."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    env = {"PYTHONPATH": str(Path(__file__).parents[4] / "shared")}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        instance = UUID(holder.stdout.readline().strip())
        with pytest.raises(SpoolInUseError, match=r"give each a spool") as refused:
            Spool(path)
        assert isinstance(refused.value, KieltoError)
        assert str(path) in str(refused.value)
        holder.kill()
        holder.wait(10)
    assert Spool(path).instance() == instance


def test_a_second_subscriber_of_the_same_process_is_refused(path: Path) -> None:
    spool = Spool(path)
    with pytest.raises(SpoolInUseError):
        Spool(path)
    spool.add("k", decision("a"), None)  # the first one is none the worse
    spool.close()
    assert len(Spool(path).waiting()) == 1


def test_a_file_that_cannot_be_opened_leaves_no_lock(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is no database" * 100)
    for _ in range(2):
        with pytest.raises(sqlite3.Error):
            Spool(path)
    path.unlink()
    Spool(path).close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
def test_a_forked_process_neither_writes_to_the_spool_nor_keeps_it(path: Path) -> None:
    spool = Spool(path)
    end, begin = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            spool.add("k", decision("a"), None)
        except SpoolInUseError:
            os.write(tell, b"x")
            os.read(end, 1)  # it lives on for longer than its parent has the spool
            os._exit(7)
        os._exit(0)
    assert os.read(told, 1), "on a busy machine it has not begun yet"
    spool.close()
    again = Spool(path)
    assert again.waiting() == []
    os.write(begin, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    for file in (end, begin, told, tell):
        os.close(file)


def test_whether_one_is_waiting(path: Path) -> None:
    spool, said = Spool(path), decision("a")
    assert not spool.is_waiting(said.id)
    spool.add("k", said, None)
    assert spool.is_waiting(said.id)
    spool.sent(said, DecisionPlace(UUID(int=4), 3, 17))
    assert not spool.is_waiting(said.id)
