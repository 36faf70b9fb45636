"""The only place of Media that knows SQL."""
