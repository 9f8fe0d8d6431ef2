"""All SQL of the service. Every function works in the caller's transaction."""
