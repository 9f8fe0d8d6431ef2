"""The demo: bans on their way through real processes, verified by what the receivers hold."""

from deploy.local.demo.command import main

__all__ = ["main"]
