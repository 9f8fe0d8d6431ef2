"""How a caller names customers: a company by its own pairwise ids, which lead nowhere else, the group by theirs."""

from uuid import UUID, uuid4

from kielto.events.party import Party
from kielto.service.http.auth import Caller
from kielto.service.support.crypto_keys import Keys
from services.customers.use_cases.customers.read import NoSuchCustomerError


class CallerIds:
    """Ids as one caller gives and gets them."""

    def __init__(self, keys: Keys, company: str | None) -> None:
        self._keys, self.company = keys, company

    @classmethod
    def of(cls, keys: Keys, caller: Caller) -> "CallerIds":
        return cls(keys, caller.company)

    def give(self, ident: UUID) -> str:
        return str(ident) if self.company is None else self._keys.pairwise(Party.company(self.company), ident)

    def take(self, text: str) -> UUID:
        """Of a company an id that is not its own is that of nobody, whatever it is otherwise. Raises
        NoSuchCustomerError.
        """
        if self.company is not None:
            return self._keys.from_pairwise(Party.company(self.company), text) or uuid4()
        try:
            return UUID(text)
        except ValueError:
            raise NoSuchCustomerError from None
