"""`except KieltoError` catches every exception that a user of the library, of a proof or of `./kielto` may meet."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import kielto
from kielto.errors import KieltoError

PACKAGES = ("kielto.events", "kielto.subscriber", "kielto.contract", "deploy.local")
MODULES = ("kielto.acls", "kielto.group", "kielto.proof", "kielto.seals", "kielto.strict_json")
ADAPTER = ("kielto.kafka.security", "kielto.kafka.topics")
INTERNAL = {"StoreLostError"}
"""Raised by a store and caught by the session loop."""
RUN_ALONE = {"deploy.local.install.environment", "deploy.local.install.lock"}


def modules() -> Iterator[ModuleType]:
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith("__main__") and found.name not in RUN_ALONE:
                yield importlib.import_module(found.name)
    yield from map(importlib.import_module, (*MODULES, *ADAPTER))


def test_every_exception_of_ours_is_a_kielto_error() -> None:
    ours = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__
    }
    assert {error.__name__ for error in ours if not issubclass(error, KieltoError)} == INTERNAL
    assert len(ours) > 15


def test_it_is_exported() -> None:
    assert kielto.KieltoError is KieltoError
