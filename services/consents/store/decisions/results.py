"""The results that parties were sent on their results topics, kept for those that ask over HTTP."""

from typing import NamedTuple

from kielto.events.results import DecisionResult
from kielto.service.database.pool import Conn, Pool


class KeptResult(NamedTuple):
    n: int
    result: DecisionResult


async def keep(conn: Conn, party: str, result: DecisionResult) -> None:
    await conn.execute(_KEEP, party, result.model_dump_json(), result.at)


async def listed(conn: Conn, party: str, after: int, limit: int) -> list[KeptResult]:
    """The party's results, oldest first, from behind the number `after`. Needs a transaction."""
    await conn.execute(_ALONE, party)
    await conn.execute(_NUMBER, party, limit)
    rows = await conn.fetch(_LIST, party, after, limit)
    return [KeptResult(row["n"], DecisionResult.model_validate_json(row["body"])) for row in rows]


async def forget(conn: "Conn | Pool", days: float) -> None:
    await conn.execute("DELETE FROM results WHERE at < now() - make_interval(secs => $1 * 86400)", days)


_KEEP = "INSERT INTO results (party, body, at) VALUES ($1, $2, $3)"

_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('results/' || $1, 0))"

# As many as a page has: whoever reads on finds the next ones numbered.
_NUMBER = """
UPDATE results r SET n = o.n FROM (
    SELECT id, nextval('results_number') AS n FROM (
        SELECT id FROM results WHERE party = $1 AND n IS NULL ORDER BY id LIMIT $2) AS first
) AS o WHERE r.id = o.id"""

_LIST = "SELECT n, body FROM results WHERE party = $1 AND n > $2 ORDER BY n LIMIT $3"
