"""A service's process: composition, the HTTP application, start and graceful stop, the commands of every service.

`platform` is what a service is built from.
The top layer: imports every package of `kielto.service`; the services' `app` and `__main__` import it.
"""
