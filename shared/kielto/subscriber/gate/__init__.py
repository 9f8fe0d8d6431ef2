"""The question of the protocol: may this be said to this person on this channel now?

`permits` is the pure rule, which consents asks too when it answers a clearance.
Imports replica, columnar and records; submit and the subscriber import it.
"""
