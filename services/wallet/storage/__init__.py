"""The ledger in PostgreSQL: the only place of this service with SQL."""
