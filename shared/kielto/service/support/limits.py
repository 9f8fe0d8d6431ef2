"""Every limit of a service: its name, its default, and what happens beyond it. docs/limits.md is written from here:

    python -m kielto.service.support.limits > docs/limits.md

`Limits` can be set (`KIELTO_LIMIT_<NAME>`) and is read once, at the composition root (`platform.limits`). `FIXED` is
what the published contract promises: the same everywhere. Both are checked where the work is done; the name of a limit
ends in its unit.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from kielto.kafka.codecs import LIMIT

KIB, MIB = 1024, 1024 * 1024
FOREIGN_NOS_PER_HOUR = 1000
REFUSED_IDENTIFIERS_PER_HOUR = 10_000
WAITING_YESES = 50_000


def _limit(default: float, what: str, beyond: str) -> Any:
    """A field: `what` is limited, and what happens `beyond` it."""
    return Field(default=default, gt=0, description=what, json_schema_extra={"beyond": beyond})


class Limits(BaseSettings):
    """Raises pydantic's ValidationError naming the wrong variable; values are never repeated."""

    model_config = SettingsConfigDict(
        env_prefix="KIELTO_LIMIT_", extra="ignore", hide_input_in_errors=True, frozen=True
    )

    # -- before anybody knows who is calling
    connections: int = _limit(
        1000,
        "Connections open at a time.",
        "The connection that has been idle longest is closed; if none is idle, the new one gets 503 and is closed.",
    )
    connections_per_address: int = _limit(
        500,
        "Of them, from one IP address. A gateway is one address.",
        "As for all connections, among those of the address.",
    )
    header_bytes: int = _limit(
        16 * KIB,
        "Request line and headers together; trailers and chunk extensions too.",
        "431; the connection is closed.",
    )
    header_seconds: float = _limit(
        10.0,
        "From the first byte of a request (or the opening of the connection) to the end of its headers.",
        "408 if something was sent; the connection is closed.",
    )
    idle_seconds: float = _limit(
        75.0,
        "Without a request on an open connection; longer than proxies keep one (mostly 60 s).",
        "The connection is closed.",
    )
    body_bytes: int = _limit(
        128 * KIB, "A request's body, after its token was verified; an import has no such limit.", "413"
    )
    clearance_body_bytes: int = _limit(2 * MIB, "The body of a clearance, which has many recipients.", "413")
    body_seconds: float = _limit(
        30.0,
        "Waiting for the parts of a request's body, all together; of an import, for its next part.",
        "408; the connection is closed. An import's report ends without a summary.",
    )
    linger_seconds: float = _limit(
        5.0,
        "For the rest of a body that was answered before it had come whole (401, 413, 429).",
        "The connection is closed.",
    )

    unread_seconds: float = _limit(
        60.0,
        "While an answer waits for the client to read it, and the client sends nothing.",
        "The connection is closed.",
    )

    # -- a party: a company's callers together; callers for the whole group together
    party_requests: int = _limit(
        8,
        "Requests of one party that are worked on at a time, each with at most one of the pool's connections.",
        "They wait in order; see party_waiting and wait_seconds.",
    )
    party_waiting: int = _limit(
        200, "Requests of one party that wait for their turn.", "429 with Retry-After"
    )
    subject_requests: int = _limit(
        2,
        "Decisions about one subject that are worked on at a time (the second waits for the first one's lock).",
        "They wait in order; 503 with Retry-After after wait_seconds.",
    )
    wait_seconds: float = _limit(
        15.0,
        "Waiting for one's turn, or for a connection of the pool.",
        "503 with Retry-After",
    )
    decisions_per_second: int = _limit(
        200,
        "Decisions of one party, averaged; a burst of twice as many.",
        "A yes: 429 with Retry-After. A no waits, as long as at most `party_waiting` do; then 429 with Retry-After.",
    )
    waiting_yeses: int = _limit(
        WAITING_YESES,
        "Yeses of one company's topic that wait for their customers to become known.",
        "The yes is refused, and a result says so; it may be sent again under another id.",
    )
    refused_identifiers_per_hour: int = _limit(
        REFUSED_IDENTIFIERS_PER_HOUR,
        "Of one company, what names an identity code or business id and is refused, in an hour.",
        "Rows of imports with such an identifier are refused; other requests with one: 429 with Retry-After.",
    )
    foreign_nos_per_hour: int = _limit(
        FOREIGN_NOS_PER_HOUR,
        "Decisions of one party in an hour that say no to more than the party itself, about people who are none of "
        "its own.",
        "It is taken, and denies at the party alone until the group's data protection officer releases it (`held`).",
    )
    recipients_per_second: int = _limit(
        20_000,
        "Recipients that one party asks clearance of, averaged; a burst of ten times as many.",
        "429 with Retry-After",
    )
    clearance_parts: int = _limit(
        2,
        "Parts of clearances (500 recipients each) that are worked on at a time, of all parties.",
        "They wait in order: other requests keep the processor.",
    )
    imports_per_party: int = _limit(4, "Imports of one party at a time.", "429 with Retry-After")
    streams: int = _limit(50, "Live streams of decisions, of all parties.", "503 with Retry-After")
    streams_per_party: int = _limit(10, "Of them, of one party.", "429 with Retry-After")
    reconciliation_answers: int = _limit(
        5000,
        "Answers of one party to questions what its stores hold, in an hour.",
        "Dropped, and counted; what differs is found by a later question.",
    )

    # -- the database
    pool_connections: int = _limit(10, "Connections of each of a process's two pools.", "See wait_seconds.")
    ready_seconds: float = _limit(2.0, "The database's answer to /readyz.", "503")


class Fixed(BaseModel):
    model_config = ConfigDict(frozen=True)

    token_bytes: int = _limit(8 * KIB, "A bearer token.", "401")
    idempotency_key_characters: int = _limit(200, "An Idempotency-Key.", "400")
    clearance_recipients: int = _limit(10_000, "Recipients of one clearance.", "422")
    row_bytes: int = _limit(64 * KIB, "One row of an import.", "The row is refused; the others are taken.")
    lock_seconds: float = _limit(10.0, "Waiting for a row's lock.", "503 with Retry-After")
    statement_seconds: float = _limit(30.0, "One statement.", "503 with Retry-After")
    import_unread_bytes: int = _limit(
        64 * MIB,
        "Of an import's report that the client has not read.",
        "No more of the request is read until it reads on.",
    )
    import_unread_seconds: float = _limit(
        60.0,
        "Waiting for a client that reads nothing of a report of that size.",
        "The import ends with `import-stopped`: send the rest, and read while sending.",
    )
    batch_bytes: int = _limit(
        LIMIT,
        "A compressed batch on Kafka, uncompressed.",
        "It is not uncompressed: one unreadable message is quarantined in its place.",
    )
    subject_decisions: int = _limit(
        200,
        "Decisions of one company or partner about one subject, as it names them: its *yes*es of a day, all its *no*s.",
        "A yes is refused. A no is taken for all purposes and channels of its reach; from the 21st on one that says "
        "what a standing one of the party says already is that one once more.",
    )
    waiting_days: float = _limit(
        7.0,
        "A yes of a company's topic that waits for its customer to become known.",
        "It is refused; the company may send it again under another id.",
    )
    stream_seconds: float = _limit(
        900.0, "One live stream of decisions.", "It ends; ask again with Last-Event-ID."
    )


FIXED = Fixed()


def document() -> str:
    """docs/limits.md."""
    return "\n".join(
        [
            "# Limits",
            "",
            "Written by `python -m kielto.service.support.limits`, from the one module that has them all.",
            "",
            "## Settings",
            "Each is set by `KIELTO_LIMIT_` and its name in upper case.",
            "",
            *_table(Limits),
            "",
            "## Fixed",
            "Part of the published contract.",
            "",
            *_table(Fixed),
            "",
        ]
    )


def _table(model: type[BaseModel]) -> list[str]:
    rows = ["| limit | default | what | beyond it |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        rows.append(f"| `{name}` | {field.default:,} | {field.description} | {extra['beyond']} |")
    return rows


if __name__ == "__main__":
    print(document(), end="")
