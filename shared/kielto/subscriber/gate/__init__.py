"""The question of the protocol: may this be said to this person on this channel now?

`permits` is the pure rule, which consents calls too when it answers a clearance.
May import replica, columnar, records and support; submit, sync and the modules above them may import it.
"""
