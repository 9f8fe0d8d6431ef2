"""`candidates list`."""

from collections.abc import Sequence

from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.links.candidates import FIRST, candidates, contradictions


class CandidatesCommand:
    """List pairs that may be one customer, and rows that contradict one."""

    def __init__(self, context: CustomersContext) -> None:
        self._context = context

    async def __call__(self, arguments: Sequence[str]) -> int:
        if list(arguments) != ["list"]:
            print("usage: candidates list")
            return 2
        after = (FIRST, FIRST)
        while page := await candidates(self._context, after):
            for found in page:
                bound = "bound" if found.binds else "not bound"
                print(f"{found.one} {found.other} {found.reason} {bound}")
            after = (page[-1].one, page[-1].other)
        first = FIRST
        while rows := await contradictions(self._context, first):
            for row in rows:
                print(f"{row.customer} {row.source} row refused: contradicts in {', '.join(row.fields)}")
            first = rows[-1].id
        return 0
