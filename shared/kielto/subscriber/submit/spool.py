"""The spool: submitted decisions, on disk before `submit` returns, until consents has processed them.

It is an SQLite file that survives the store. It also keeps the id of the instance, and the store's mark at the last
acknowledgement: a store with fewer commits was restored from a backup.
"""

import os
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from kielto.errors import InvalidValueError, KieltoError
from kielto.events.messages import Decision
from kielto.subscriber.gate.local_denials import OTHER_CONTENT, DecisionPlace
from kielto.subscriber.stores.base import StoreMark
from kielto.subscriber.submit.file_lock import FileLock

_LAYOUT = """
CREATE TABLE IF NOT EXISTS decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    decision TEXT NOT NULL,
    traceparent TEXT,
    topic_id TEXT,
    partition INTEGER,
    offset INTEGER
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class SpoolInUseError(KieltoError):
    """Another process, or another subscriber of this process, uses the spool."""


_IN_USE = (
    "{path}: another process or subscriber uses this spool: give each a spool and a store of its own. With one spool "
    "for two, what only one of them has applied would count as applied by both."
)


class Spooled(NamedTuple):
    key: str
    """The key of the message."""
    decision: Decision
    traceparent: str | None
    sent: DecisionPlace | None


class Spool:
    """Every call but `acknowledging` writes and syncs before it returns, so call it from a thread. It is thread-safe.

    One process at a time may use it, which holds a lock on `<path>.lock`. Raises SpoolInUseError, and OSError or
    sqlite3.Error when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        try:
            self._held = FileLock(path.with_name(path.name + ".lock"))
        except BlockingIOError:
            raise SpoolInUseError(_IN_USE.format(path=path)) from None
        try:
            self._open(path)
        except BaseException:
            self._held.close()
            raise

    def _open(self, path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # decisions hold digests and evidence
        self._lock = threading.Lock()
        self._db = _connect(path, "FULL")  # the write-ahead log is synced at every commit
        self._notes = _connect(path, "NORMAL")  # a note must survive the process, not the machine
        self._db.executescript(_LAYOUT)
        _sync_directory(path.parent)

    def add(self, key: str, decision: Decision, traceparent: str | None) -> None:
        """Add a decision; adding it again changes nothing. Raises InvalidValueError when another one has its id."""
        row = (str(decision.id), key, decision.model_dump_json(exclude_defaults=True), traceparent)
        insert = "INSERT INTO decisions (id, key, decision, traceparent) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self._must_hold()
        with self._lock:
            if self._db.execute(insert, row).rowcount:
                return
            (held,) = self._db.execute("SELECT decision FROM decisions WHERE id = ?", row[:1]).fetchone()
        if Decision.model_validate_json(held).content() != decision.content():
            raise InvalidValueError(OTHER_CONTENT)

    def waiting(self, limit: int = 100) -> list[Spooled]:
        """The decisions that the broker does not have yet, in order."""
        return self._read("WHERE topic_id IS NULL ORDER BY seq LIMIT ?", limit)

    def sent_elsewhere(self, topic: UUID) -> list[Spooled]:
        """The decisions that the broker put into another topic than the one with this id."""
        return self._read("WHERE topic_id <> ? ORDER BY seq", str(topic))

    def all(self) -> list[Spooled]:
        return self._read("ORDER BY seq")

    def sent(self, decision: Decision, where: DecisionPlace | None) -> None:
        """Note where the broker has it; None: it must be sent again."""
        told = (None, None, None) if where is None else (str(where.topic_id), where.partition, where.offset)
        update = "UPDATE decisions SET topic_id = ?, partition = ?, offset = ? WHERE id = ?"
        self._run(update, *told, str(decision.id))

    def forget(self, decisions: list[UUID]) -> None:
        """Delete decisions whose denials have ended."""
        with self._lock, self._db:
            self._db.executemany("DELETE FROM decisions WHERE id = ?", [(str(d),) for d in decisions])

    def instance(self) -> UUID:
        """The id of this installation, made at the first call."""
        self._run("INSERT INTO notes VALUES ('instance', ?) ON CONFLICT DO NOTHING", str(uuid4()))
        return UUID(self._note("instance"))

    def acknowledging(self, mark: StoreMark) -> None:
        """Note the store's mark before it is acknowledged."""
        text = f"{mark.generation} {mark.commits}"
        note = "INSERT INTO notes VALUES ('mark', ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        with self._lock:
            self._notes.execute(note, (text,))

    def acknowledged(self) -> StoreMark | None:
        if (text := self._note("mark")) is None:
            return None
        generation, commits = text.split()
        return StoreMark(UUID(generation), int(commits))

    def is_waiting(self, decision: UUID) -> bool:
        """Whether it is here and the broker does not have it yet."""
        return bool(self._read("WHERE id = ? AND topic_id IS NULL", str(decision)))

    def close(self) -> None:
        with self._lock:
            self._notes.close()
            self._db.close()
        self._held.close()

    def _must_hold(self) -> None:
        if not self._held.held:
            raise SpoolInUseError(_IN_USE.format(path=self._path))

    def _note(self, name: str) -> str | None:
        with self._lock:
            row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _run(self, sql: str, *values: object) -> None:
        self._must_hold()
        with self._lock:
            self._db.execute(sql, values)

    def _read(self, where: str, *values: object) -> list[Spooled]:
        columns = "key, decision, traceparent, topic_id, partition, offset"
        with self._lock:
            rows = self._db.execute(f"SELECT {columns} FROM decisions {where}", values).fetchall()  # noqa: S608
        return [
            Spooled(
                key,
                Decision.model_validate_json(text),
                trace,
                DecisionPlace(UUID(topic), part, at) if topic else None,
            )
            for key, text, trace, topic, part, at in rows
        ]


def _connect(path: Path, synchronous: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    return db


def _sync_directory(path: Path) -> None:
    """Sync the directory, so that the file itself survives a power failure."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
