"""`merge DUPLICATE SURVIVOR`."""

from collections.abc import Sequence
from uuid import UUID

from services.customers.model.problems import CustomerRefusedError
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.customers.read import NoSuchCustomerError
from services.customers.use_cases.links.merge import merge


class MergeCommand:
    """Merge one customer into another, by our ids."""

    def __init__(self, context: CustomersContext) -> None:
        self._context = context

    async def __call__(self, arguments: Sequence[str]) -> int:
        try:
            duplicate, into = map(UUID, arguments)
        except ValueError:
            print("usage: merge DUPLICATE SURVIVOR (their ids)")
            return 2
        try:
            survivor = await merge(self._context, duplicate, into)
        except NoSuchCustomerError:
            print("not merged: there is no such duplicate")
            return 1
        except CustomerRefusedError as refused:
            print(f"not merged: {refused}")
            return 1
        print(f"merged into {survivor.customer.id}")
        return 0
