"""The contract of Media over its use cases."""
