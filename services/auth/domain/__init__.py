"""The rules of users, sessions, tokens and keys. No I/O."""
