"""Auth: who acts.

Owns users, their identities, passwords and codes, their sessions, the letters about all of these, and the keys that
sign access tokens. It never knows what a person does with a session, and is not asked at each call: tokens are verified
by their signature wherever they arrive. Anybody may call its login methods; every service asks it for the key set and,
while Redis is away, whether a session is open. Through its outbox it calls Wallet once for each new user, and Wallet,
Composer, Media and Share when two users become one.
"""
