"""Trials of vendors' songs: each a job whose vendor or worker dies somewhere, judged by what was paid and made."""
