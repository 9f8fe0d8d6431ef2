"""The protocol's question: may this be said to this person on this channel now?

`permits` is the pure rule, which the service's clearance asks too.
Imports records; the replica and the subscriber import it.
"""
