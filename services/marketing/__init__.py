"""marketing: whom a campaign may address, who was taken out again, and what was disclosed to partners."""
