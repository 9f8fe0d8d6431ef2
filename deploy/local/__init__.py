"""Everything that `./kielto` starts on this machine: the servers, the services, the demo.

Each command has a module with `main`; nothing outlives the command that started it.
May import `kielto`; tests and benchmarks may import it.
"""
