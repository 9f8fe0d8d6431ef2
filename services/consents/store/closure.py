"""Who is concerned when something is said or learnt about a customer: SQL that several statements share.

The planner takes a recursive CTE to be large. So whatever is looked up for the rows of one is asked for as
`= ANY (array(SELECT …))` or by LATERAL with OFFSET 0: by index, never by reading a whole table.
"""


def _merged(cte: str) -> str:
    """Of each row of a CTE, whom it is merged into, and who into it."""
    return f"""
        SELECT c.alias_of FROM customers c WHERE c.id = {cte}.id AND c.alias_of IS NOT NULL
        UNION ALL
        SELECT c.id FROM customers c WHERE c.alias_of = {cte}.id"""  # noqa: S608 - names of ours


# Needs a CTE `seed (id)`. Adds the customers whose permissions follow from theirs: those merged with them, in both
# directions and however long the chain, and an organisation's contact persons with those merged with them.
HIT = f"""
hit (id) AS (
    SELECT id FROM seed
    UNION
    SELECT next.id FROM hit CROSS JOIN LATERAL ({_merged("hit")}
        UNION ALL
        SELECT c.id FROM customers c WHERE c.organisation = hit.id
    ) AS next (id)
)"""  # noqa: S608 - constants of ours

# Needs `seed (id)`. The same persons under every id, and nobody else.
PERSON = f"""
person (id) AS (
    SELECT id FROM seed
    UNION
    SELECT next.id FROM person CROSS JOIN LATERAL ({_merged("person")}
    ) AS next (id)
)"""  # noqa: S608 - constants of ours

# Needs `hit (id)`. The organisations that they act for, with those merged with these: their decisions count too.
EMPLOYER = f"""
employer (id) AS (
    SELECT organisation FROM customers WHERE id = ANY (array(SELECT id FROM hit)) AND organisation IS NOT NULL
    UNION
    SELECT next.id FROM employer CROSS JOIN LATERAL ({_merged("employer")}
    ) AS next (id)
)"""  # noqa: S608 - constants of ours
