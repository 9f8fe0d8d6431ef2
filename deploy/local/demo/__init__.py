"""The demo: bans on their way through real processes, verified by what the receivers hold."""
