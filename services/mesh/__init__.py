"""The whole mesh on one machine.

Embedded PostgreSQL and Valkey, a private certificate authority, the process that hosts all five services and the
gateway together, a supervisor for it and the workers, and the ``cadenza`` command. Nothing here knows a business rule.
"""
