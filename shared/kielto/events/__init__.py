"""The contract: what travels on Kafka between the services and to every subscriber outside.

Pure data and functions: no input or output.
May import `kielto.errors`, `kielto.strict_json` and `kielto.validation` alone; every package may import it.
"""
