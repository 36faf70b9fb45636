"""Auth: who acts.

Owns users, their identities, their sessions and the keys that sign access tokens. It never
knows what a person does with a session, and is not asked at each call: tokens are verified by
their signature wherever they arrive. Anybody may call its login methods; every service asks it
for the key set and, while Redis is away, whether a session is open. It calls Wallet once for
each new user, through its outbox.
"""
