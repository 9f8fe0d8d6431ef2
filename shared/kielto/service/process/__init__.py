"""A service's process: composition, the HTTP application, start and graceful stop, the commands of every service.

`platform` is what a service is built from.
May import every package of `kielto.service`, as the top layer; only a service's `app` and `__main__` may import it.
"""
