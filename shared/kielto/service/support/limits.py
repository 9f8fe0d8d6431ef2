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
        "Open connections.",
        "The connection that has been idle longest is closed. If none is idle, the new one gets 503 and is closed.",
    )
    connections_per_address: int = _limit(
        500,
        "Open connections from one IP address. A gateway is one address.",
        "As for `connections`, among those of the address.",
    )
    header_bytes: int = _limit(
        16 * KIB,
        "Request line and headers together. The same limit applies to trailers and to chunk extensions.",
        "431; the connection is closed.",
    )
    header_seconds: float = _limit(
        10.0,
        "Time from the first byte of a request (or from the opening of the connection) to the end of its headers.",
        "408 if something was sent; the connection is closed.",
    )
    idle_seconds: float = _limit(
        75.0,
        "Time without a request on an open connection. Longer than most proxies keep a connection (60 s).",
        "The connection is closed.",
    )
    body_bytes: int = _limit(
        128 * KIB, "Body of a request, read after its token was verified. Imports have no such limit.", "413"
    )
    clearance_body_bytes: int = _limit(2 * MIB, "Body of a request for a clearance.", "413")
    body_seconds: float = _limit(
        30.0,
        "Total time spent waiting for the parts of a request's body; for an import, for its next part.",
        "408; the connection is closed. The report of an import ends without a summary.",
    )
    linger_seconds: float = _limit(
        5.0,
        "Time to receive the rest of a body after an early answer (401, 413, 429).",
        "The connection is closed.",
    )

    unread_seconds: float = _limit(
        60.0,
        "Time that an answer waits for a client that neither reads nor sends.",
        "The connection is closed.",
    )

    # -- a party: a company's callers together; callers for the whole group together
    party_requests: int = _limit(
        8,
        "Concurrent requests of one party. Each uses at most one connection of the pool.",
        "Further requests wait in order; see `party_waiting` and `wait_seconds`.",
    )
    party_waiting: int = _limit(200, "Requests of one party that wait.", "429 with Retry-After")
    subject_requests: int = _limit(
        2,
        "Concurrent requests with decisions about one subject. The second waits for the lock of the first.",
        "Further requests wait in order; after `wait_seconds` they get 503 with Retry-After.",
    )
    wait_seconds: float = _limit(
        15.0,
        "Time that a request waits for its turn or for a connection of the pool.",
        "503 with Retry-After",
    )
    decisions_per_second: int = _limit(
        200,
        "Decisions of one party, on average; bursts may have twice as many.",
        "A yes gets 429 with Retry-After. A no waits; if `party_waiting` wait already, it gets 429 with Retry-After.",
    )
    waiting_yeses: int = _limit(
        WAITING_YESES,
        "Consents from one company's topic that wait until their customers are known.",
        "The consent is refused and its result says so. The company may send it again under another id.",
    )
    refused_identifiers_per_hour: int = _limit(
        REFUSED_IDENTIFIERS_PER_HOUR,
        "Refused rows and requests of one company in an hour that name an identity code or business id.",
        "Rows of imports with such an identifier are refused unread. Other requests with one get 429 with Retry-After.",
    )
    foreign_nos_per_hour: int = _limit(
        FOREIGN_NOS_PER_HOUR,
        "Bans by one party in an hour that reach beyond the party and are about people who are not its own.",
        "The ban is `held`: it denies at that party alone until the group's data protection officer releases it.",
    )
    recipients_per_second: int = _limit(
        20_000,
        "Recipients of one party's clearances, on average; bursts may have ten times as many.",
        "429 with Retry-After",
    )
    clearance_parts: int = _limit(
        2,
        "Concurrent parts of clearances (500 recipients each), of all parties together.",
        "Further parts wait in order, so that other requests get processor time.",
    )
    imports_per_party: int = _limit(4, "Concurrent imports of one party.", "429 with Retry-After")
    streams: int = _limit(
        50, "Open live streams of decisions, of all parties together.", "503 with Retry-After"
    )
    streams_per_party: int = _limit(10, "Open live streams of one party.", "429 with Retry-After")
    reconciliation_answers: int = _limit(
        5000,
        "Answers of one party's subscribers to reconciliation, in an hour.",
        "Further answers are dropped and counted. A later question finds what differs.",
    )

    # -- the database
    pool_connections: int = _limit(
        10, "Database connections of each of the two pools of a process.", "See `wait_seconds`."
    )
    ready_seconds: float = _limit(2.0, "Time for the database to answer the check of /readyz.", "503")


class Fixed(BaseModel):
    model_config = ConfigDict(frozen=True)

    token_bytes: int = _limit(8 * KIB, "Length of a bearer token.", "401")
    idempotency_key_characters: int = _limit(200, "Length of an Idempotency-Key.", "400")
    clearance_recipients: int = _limit(10_000, "Recipients in one clearance.", "422")
    row_bytes: int = _limit(
        64 * KIB, "Length of one row of an import.", "The row is refused; the other rows are accepted."
    )
    lock_seconds: float = _limit(10.0, "Time that a statement waits for a row lock.", "503 with Retry-After")
    statement_seconds: float = _limit(30.0, "Duration of one statement.", "503 with Retry-After")
    import_unread_bytes: int = _limit(
        64 * MIB,
        "Part of an import's report that the client has not read.",
        "The service stops reading the request until the client reads.",
    )
    import_unread_seconds: float = _limit(
        60.0,
        "Time that the service waits at `import_unread_bytes` for a client that reads nothing.",
        "The import ends with `import-stopped`. Send the remaining rows and read the report while you send.",
    )
    batch_bytes: int = _limit(
        LIMIT,
        "Uncompressed size of a batch on Kafka.",
        "The batch is not uncompressed. One unreadable message goes into quarantine in its place.",
    )
    subject_decisions: int = _limit(
        200,
        "Decisions of one party about one subject as the party names it: each *yes* of a day, every *no*.",
        "A yes is refused. A no counts for all purposes and channels of its reach. From the 21st on, a no that repeats "
        "one in force counts as that one.",
    )
    waiting_days: float = _limit(
        7.0,
        "Time that a consent from a company's topic waits until its customer is known.",
        "The consent is refused. The company may send it again under another id.",
    )
    stream_seconds: float = _limit(
        900.0, "Duration of one live stream of decisions.", "The stream ends. Ask again with Last-Event-ID."
    )


FIXED = Fixed()


def document() -> str:
    """docs/limits.md."""
    return "\n".join(
        [
            "# Limits",
            "",
            "Generated by `python -m kielto.service.support.limits` from the module that defines every limit.",
            "",
            "## Settings",
            "Set a limit by the variable `KIELTO_LIMIT_` and its name in upper case. A name ends in its unit.",
            "",
            *_table(Limits),
            "",
            "## Fixed",
            "These limits are part of the published contract and cannot be set.",
            "",
            *_table(Fixed),
            "",
        ]
    )


def _table(model: type[BaseModel]) -> list[str]:
    rows = ["| limit | default | what is limited | beyond it |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        rows.append(f"| `{name}` | {field.default:,} | {field.description} | {extra['beyond']} |")
    return rows


if __name__ == "__main__":
    print(document(), end="")
