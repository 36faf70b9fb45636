"""Shares in PostgreSQL: the only place of this service with SQL."""
