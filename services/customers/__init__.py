"""customers: who people are. People, organisations, contact persons and possible users, and how to reach
them.
"""
