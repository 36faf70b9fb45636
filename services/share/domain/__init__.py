"""The rules of sharing: what a code opens, for whom and for how long. No I/O."""
