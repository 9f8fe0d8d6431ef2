"""SQL that several statements share: who is concerned when something is said or learnt about a customer.

The planner takes a recursive CTE to be large. So whatever is looked up for the rows of one is asked for as `= ANY
(array(SELECT …))` or by LATERAL with OFFSET 0: by index, never by reading a whole table. Where plans are made by key
(`pool.BY_KEY`) a join of two CTEs compares each row with each; NOT IN, or IN within a CASE, is hashed.
"""


def _merged(cte: str) -> str:
    """SQL that adds to each row of a CTE whom it is merged into, and who is merged into it."""
    return f"""
        SELECT c.alias_of FROM customers c WHERE c.id = {cte}.id AND c.alias_of IS NOT NULL
        UNION ALL
        SELECT c.id FROM customers c WHERE c.alias_of = {cte}.id"""  # noqa: S608 - names of ours


# Needs a CTE `seed (id)`. The same persons under every id, and nobody else: merged in both directions, however long the
# chain.
PERSON = f"""
person (id) AS (
    SELECT id FROM seed
    UNION
    SELECT next.id FROM person CROSS JOIN LATERAL ({_merged("person")}
    ) AS next (id)
)"""  # noqa: S608 - constants of ours

# Needs `seed (id)`. Adds the customers whose permissions follow from theirs: the same persons, those whom their own no
# binds (one step, never on from there), an organisation's contact persons, each with those merged with them.
HIT = f"""{PERSON}, bound (id) AS (
    SELECT id FROM person
    UNION
    SELECT customer FROM relations WHERE other = ANY (array(SELECT id FROM person)) AND relation = 'bound_by'
), hit (id) AS (
    SELECT id FROM bound
    UNION
    SELECT next.id FROM hit CROSS JOIN LATERAL ({_merged("hit")}
        UNION ALL
        SELECT r.customer FROM relations r WHERE r.other = hit.id AND r.relation = 'acts_for'
    ) AS next (id)
)"""  # noqa: S608 - constants of ours

# Needs `seed (id)`. As HIT, of the same persons alone: a portion of many is computed by itself.
HIT_ALONE = f"{PERSON}, hit (id) AS (SELECT id FROM person)"  # noqa: S608 - constants of ours

# Needs `hit (id)`. Adds those whose decisions count for them, too: the organisations that they act for, and those whose
# own no binds them or these organisations; each with those merged with them.
BINDING = f"""
employer (id) AS (
    SELECT other FROM relations WHERE customer = ANY (array(SELECT id FROM hit)) AND relation = 'acts_for'
    UNION
    SELECT next.id FROM employer CROSS JOIN LATERAL ({_merged("employer")}
    ) AS next (id)
), binder (id) AS (
    SELECT other FROM relations
    WHERE customer = ANY (array(SELECT id FROM hit UNION ALL SELECT id FROM employer)) AND relation = 'bound_by'
    UNION
    SELECT next.id FROM binder CROSS JOIN LATERAL ({_merged("binder")}
    ) AS next (id)
), context (id) AS (
    SELECT id FROM hit UNION SELECT id FROM employer UNION SELECT id FROM binder
)"""  # noqa: S608 - constants of ours


def has_address(customer: str, ref: str, company: str) -> str:
    """SQL: the company states the address that the `p:` ref names of this row of customers, or the group does."""
    return f"""EXISTS (
    SELECT FROM json_array_elements({customer}.body -> 'points') AS at (point)
    WHERE 'p:' || (at.point ->> 'digest') = {ref}
        AND (at.point -> 'holders' IS NULL OR (at.point -> 'holders')::jsonb ? {company}))"""
