"""What the service does, one use case a file. Each owns its transaction, or works in the one of a message."""
