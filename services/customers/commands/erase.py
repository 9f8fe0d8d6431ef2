"""`erase CUSTOMER`."""

from collections.abc import Sequence
from uuid import UUID

from services.customers.model.problems import HasContactPersonsError
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.customers.read import NoSuchCustomerError
from services.customers.use_cases.erasures.erase import erase


class EraseCommand:
    """Erase one customer by our id."""

    def __init__(self, context: CustomersContext) -> None:
        self._context = context

    async def __call__(self, arguments: Sequence[str]) -> int:
        try:
            (text,) = arguments
            ident = UUID(text)
        except ValueError:
            print("usage: erase CUSTOMER (its id)")
            return 2
        try:
            await erase(self._context, ident)
        except NoSuchCustomerError:
            print("not erased: there is no such customer")
            return 1
        except HasContactPersonsError:
            print("not erased: it is the organisation of contact persons; erase those first")
            return 1
        print("erased")
        return 0
