"""Accounts that their owners wish erased: until when that may be taken back."""

from datetime import timedelta

COOL_OFF = timedelta(days=7)
"""Long enough for an owner to hear of it who did not wish it."""
