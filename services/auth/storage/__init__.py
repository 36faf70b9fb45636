"""Users, identities, sessions and keys in PostgreSQL, and what may be lost in Redis."""
