"""Who is concerned when something is said or learnt about a customer: SQL that several statements share.

The planner takes a recursive CTE to be large. So whatever is looked up for the rows of one is asked for as
`= ANY (array(SELECT …))` or by LATERAL with OFFSET 0: by index, never by reading a whole table.
"""

# Needs a CTE `seed (id)`. Adds the customers whose permissions follow from theirs: those merged with them, in both
# directions and however long the chain, and an organisation's contact persons with those merged with them.
HIT = """
hit (id) AS (
    SELECT id FROM seed
    UNION
    SELECT next.id FROM hit CROSS JOIN LATERAL (
        SELECT c.alias_of FROM customers c WHERE c.id = hit.id AND c.alias_of IS NOT NULL
        UNION ALL
        SELECT c.id FROM customers c WHERE c.alias_of = hit.id
        UNION ALL
        SELECT c.id FROM customers c WHERE c.organisation = hit.id
    ) AS next (id)
)"""

# Needs `hit (id)`. The organisations that they act for, with those merged with these: their decisions count too.
EMPLOYER = """
employer (id) AS (
    SELECT organisation FROM customers WHERE id = ANY (array(SELECT id FROM hit)) AND organisation IS NOT NULL
    UNION
    SELECT next.id FROM employer CROSS JOIN LATERAL (
        SELECT c.alias_of FROM customers c WHERE c.id = employer.id AND c.alias_of IS NOT NULL
        UNION ALL
        SELECT c.id FROM customers c WHERE c.alias_of = employer.id
    ) AS next (id)
)"""
