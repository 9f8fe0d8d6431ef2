"""The contract: what travels on Kafka between the services and to every subscriber outside.

Pure data and functions; imports nothing else of ours. Anyone may build on it, in any direction.
"""
