"""A receiver of the demo: one subscriber system in a process of its own, with HTTP endpoints on loopback.

    python -m deploy.local.demo.receiver SUBSCRIBER --port N --keys FILE --spool FOLDER [--store DSN]

It follows its company's (or partner's) topics with nothing but `kielto.subscriber`. What it answers is what its own
store holds; `/watch` returns the moment at which that store began to say so.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI

from deploy.local.ports import LOOPBACK
from kielto.group import load
from kielto.subscriber import MemoryStore, PostgresStore, Question, Subscriber

POLL_SECONDS = 0.001


def routes(app: FastAPI, subscriber: Subscriber) -> None:
    @app.get("/gate")
    async def gate() -> dict[str, Any]:
        """Why the gate is shut, or null."""
        return {"shut": subscriber.shut(), "customers": subscriber.count()}

    @app.post("/may")
    async def may(question: dict[str, Any]) -> dict[str, Any]:
        answer = subscriber.may(Question(**question))
        return {"allowed": answer.allowed, "reason": answer.reason, "detail": answer.detail}

    @app.post("/watch")
    async def watch(body: dict[str, Any]) -> dict[str, Any]:
        """Ask until the reason is one of `wanted`; says when it was, and which reasons came before."""
        end, before = time.monotonic() + body["seconds"], set[str]()
        while True:
            reason = subscriber.may(Question(**body["question"])).reason
            if reason in body["wanted"]:
                return {"at": time.time(), "reason": reason, "before": sorted(before)}
            before.add(reason)
            if time.monotonic() > end:
                return {"at": None, "reason": reason, "before": sorted(before)}
            await asyncio.sleep(POLL_SECONDS)

    @app.post("/submit")
    async def submit(decision: dict[str, Any]) -> dict[str, Any]:
        """Submit a decision that a person gave to this company; with its `id`, a repeated call is the same decision."""
        own = UUID(decision.pop("id")) if "id" in decision else None
        ident = await subscriber.submit(**decision, ident=own)
        return {"id": str(ident), "at": time.time()}


def options(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("subscriber")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--spool", type=Path, required=True)
    parser.add_argument("--store", help="DSN of this subscriber's own database; in memory without")
    return parser


def subscriber_of(given: argparse.Namespace) -> Subscriber:
    """Built from what an outside system has: its id, its point keys, the broker's address, and a place of its own."""
    group = load(Path(os.environ["KIELTO_GROUP_FILE"]), float(os.environ["KIELTO_BEAT_SECONDS"]))
    me = next(s for s in group.subscribers if s.id == given.subscriber)
    keys = json.loads(given.keys.read_text(encoding="utf-8"))["point_keys"]
    return Subscriber(
        subscriber=me.id,
        party=me.party,
        bootstrap=os.environ["KIELTO_KAFKA_BOOTSTRAP"],
        point_keys={int(generation): bytes.fromhex(key) for generation, key in keys.items()},
        store=PostgresStore(given.store) if given.store else MemoryStore(),
        spool=given.spool,
        stale_seconds=me.stale_seconds,
    )


def serve(app: FastAPI, port: int) -> None:
    """Until it is told to stop."""
    # Longer than any client keeps an idle connection: who sends on it must not meet our closing it.
    uvicorn.run(app, host=LOOPBACK, port=port, log_level="warning", timeout_keep_alive=75)


def main() -> None:
    given = options("A receiver of the demo.").parse_args()
    subscriber = subscriber_of(given)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with subscriber:
            yield

    app = FastAPI(lifespan=running)
    routes(app, subscriber)
    serve(app, given.port)


if __name__ == "__main__":
    main()
