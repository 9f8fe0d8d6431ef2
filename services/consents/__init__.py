"""consents: what may be said to whom. Takes decisions and facts, keeps permissions, proves where each decision is."""
