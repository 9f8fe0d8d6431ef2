"""The rules of permission: pure functions of the *set* of decisions and the newest facts.

    facts.py       what is known of a customer and of the group
    decisions.py   a decision about marketing, and how far it reaches
    ref.py         how a subject is named in the database
    scope.py       what a decision covers: defaults of route and act, the broadest reading of a *no*
    check.py       whether a decision can be taken at all
    rules.toml     the law as data, for a lawyer to check; rules.py and rules_file.py read it
    applicable.py  which decisions apply to a person, and who speaks in each
    coverage.py    which cells a decision is about
    evaluate.py    the permission at every cell, each with the rule that decided
    derived.py     what follows from it: a partner's view, restrictions in force, the express lane
    breach.py      whether a delivery was sent after a ban
    reconcile.py   what differs between a store and the published records

Nothing here orders decisions by a clock or by arrival; see docs/decisions/0010-permission-model.md.
"""
