"""The rules of permission: pure, and a function of the *set* of decisions and the newest facts.

    facts.py      what is known of a customer and of the group
    decisions.py  what someone said about marketing, and how far it reaches
    rules.toml    the law as data, for a lawyer to check; rules.py and rules_file.py read it
    hearing.py    which decisions bear on a person, and in whose voice they speak
    evaluate.py   the permission at every cell, each answer with the rule that decided
    views.py      what follows from the answers: a partner's view, restrictions in force, the express lane
    widen.py      a no that cannot be understood, taken for the widest that it may mean
    check.py      whether a decision can be taken at all

Nothing here orders decisions by a clock or by arrival; see docs/decisions/0010-permission-model.md.
"""
