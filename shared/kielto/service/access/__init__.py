"""The access log: who read or changed which customer's data, and who was refused.

Middleware around the application, and the route that shows the entries.
Imports http, database and support; process imports it. Entries are made in `database/access_entry.py`.
"""
