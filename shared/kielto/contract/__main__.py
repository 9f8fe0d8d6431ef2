"""`python -m kielto.contract`: writes the contract's documents, adds a release, prints the brokers' access rights."""

import sys
from pathlib import Path

from kielto import acls
from kielto.contract.documents import release, write
from kielto.errors import KieltoError
from kielto.group import load

USAGE = """\
usage: python -m kielto.contract write FOLDER     write schemas and asyncapi.json, from the models and group.yaml
       python -m kielto.contract release FOLDER   add the present schemas as the next release
       python -m kielto.contract acls [strimzi]   print rights on the brokers (strimzi: as KafkaUser manifests)
"""


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status: 1 when group.yaml cannot be used, 2 for wrong usage."""
    try:
        match arguments:
            case ["write", folder]:
                write(Path(folder), load(Path("group.yaml")))
            case ["release", folder]:
                release(Path(folder))
            case ["acls"]:
                sys.stdout.write(acls.lines(load(Path("group.yaml"))))
            case ["acls", "strimzi"]:
                sys.stdout.write(acls.strimzi(load(Path("group.yaml"))))
            case _:
                sys.stderr.write(USAGE)
                return 2
    except KieltoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
