"""How a service's process is built, started, stopped and operated.

`main` is the entry point of each service; `platform` builds what all services need.
The top layer: imports every other package, and only the services' `app` and `__main__` import it.
"""
