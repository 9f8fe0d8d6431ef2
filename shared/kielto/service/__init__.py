"""The plumbing of our own services: what is the same in customers, consents and marketing, once.

A service's composition root is a function `build(platform) -> Service` given to `app.main`. Everything that
touches the database is given a connection: one request or message, one transaction.
"""
