"""`./kielto generate`: writes what is derived from the code: the schemas, the HTTP descriptions, the page of limits."""

from deploy.local.paths import ROOT
from kielto.contract import documents
from kielto.group import load
from kielto.service.support import limits
from tests.contracts import openapi


def main(_: list[str]) -> int:
    documents.write(ROOT / "docs/contract", load(ROOT / "group.yaml"))
    openapi.main()
    (ROOT / "docs/limits.md").write_text(limits.document(), encoding="utf-8")
    print("wrote docs/contract/ and docs/limits.md; see what changed with git diff")
    return 0
