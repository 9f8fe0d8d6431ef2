"""HTTP in: translate, one call, answer."""
