"""Download, unpack and train what a start will need, at a time of one's own choosing."""

import os

from deploy.local.install import account, jars, postgres_files
from deploy.local.servers import kafka


def prepare() -> None:
    """Afterwards a start is quick and needs no network; the demo's data sets are there too.

    A start does by itself what is missing; but tests should not have to wait for it within their time limits,
    nor swallow what it says. Raises LocalError.
    """
    if not os.environ.get("KIELTO_KAFKA"):
        kafka.start_cache(jars.fetch("kafka"))
    if not os.environ.get("KIELTO_POSTGRES"):
        postgres_files.template(postgres_files.install(), account.choose())
    jars.fetch("data")
