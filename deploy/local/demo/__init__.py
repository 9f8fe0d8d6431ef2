"""The demo: bans through real processes, verified by what the receivers answer."""

from deploy.local.demo.command import main

__all__ = ["main"]
