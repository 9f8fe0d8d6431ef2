"""Errors of use cases that the API and the consumers translate for their callers."""

from kielto.errors import KieltoError


class UnknownCustomerError(KieltoError):
    """No customer has this id, or none that is a customer of the company that asks."""


class UnknownDecisionError(KieltoError):
    """No decision has this id, or another company brought it."""


class UnknownSubscriberError(KieltoError):
    """The group file has no subscriber of this id, or it is another party's."""
