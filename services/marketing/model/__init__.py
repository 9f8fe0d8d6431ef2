"""The rules of a campaign: pure, no I/O, no clock but the one given."""
