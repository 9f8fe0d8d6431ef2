"""Commands for operators: `python -m services.customers COMMAND`. Each returns an exit status."""

from collections.abc import Sequence
from uuid import UUID

from services.customers.model.problems import CustomerRefusedError, HasContactPersonsError
from services.customers.use_cases.candidates import FIRST, candidates, contradictions
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.erase import erase
from services.customers.use_cases.merge import merge
from services.customers.use_cases.read import NoSuchCustomerError


async def list_candidates(context: CustomersContext, arguments: Sequence[str]) -> int:
    """`candidates list`: list pairs that may be one customer, and rows that contradict one."""
    if list(arguments) != ["list"]:
        print("usage: candidates list")
        return 2
    after = (FIRST, FIRST)
    while page := await candidates(context, after):
        for found in page:
            print(f"{found.one} {found.other} {found.reason} {'bound' if found.bound else 'not bound'}")
        after = (page[-1].one, page[-1].other)
    first = FIRST
    while rows := await contradictions(context, first):
        for row in rows:
            print(f"{row.customer} {row.source} row refused: contradicts in {', '.join(row.fields)}")
        first = rows[-1].id
    return 0


async def erase_customer(context: CustomersContext, arguments: Sequence[str]) -> int:
    """`erase CUSTOMER`: erase one customer by our id."""
    try:
        (ident,) = map(UUID, arguments)
    except ValueError:
        print("usage: erase CUSTOMER (its id)")
        return 2
    try:
        await erase(context, ident)
    except NoSuchCustomerError:
        print("not erased: there is no such customer")
        return 1
    except HasContactPersonsError:
        print("not erased: it is the organisation of contact persons; erase those first")
        return 1
    print("erased")
    return 0


async def merge_customers(context: CustomersContext, arguments: Sequence[str]) -> int:
    """`merge DUPLICATE SURVIVOR`: merge one customer into another, by our ids."""
    try:
        duplicate, into = map(UUID, arguments)
    except ValueError:
        print("usage: merge DUPLICATE SURVIVOR (their ids)")
        return 2
    try:
        survivor = await merge(context, duplicate, into)
    except NoSuchCustomerError:
        print("not merged: there is no such duplicate")
        return 1
    except CustomerRefusedError as refused:
        print(f"not merged: {refused}")
        return 1
    print(f"merged into {survivor.customer.id}")
    return 0
