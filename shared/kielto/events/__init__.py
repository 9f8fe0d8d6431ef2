"""The contract: what travels on Kafka between the services and to every subscriber outside.

Pure data and functions: no input or output.
May import `kielto.clock`, `errors`, `strict_json` and `validation` alone; every package may import it.
"""
