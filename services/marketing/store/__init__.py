"""All SQL of the service: campaigns, their recipients, deliveries, and people as `projections` keeps them.

Each function works in its caller's transaction.
May import `model` and `kielto`, but not `kielto.subscriber`; `use_cases`, `projections` and `app` may import it.
"""
