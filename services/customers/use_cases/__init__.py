"""What can be done with the register, one file a use case; each owns its transaction."""
