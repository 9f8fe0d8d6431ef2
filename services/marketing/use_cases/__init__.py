"""One file a use case; it owns the transaction."""
