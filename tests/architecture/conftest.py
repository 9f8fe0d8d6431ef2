"""The repository's source, parsed once for all tests that read it."""

import pytest

from deploy.local.paths import ROOT
from tests.architecture.structure import SourceTree


@pytest.fixture(scope="session")
def tree() -> SourceTree:
    return SourceTree(ROOT)
