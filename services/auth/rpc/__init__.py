"""The contract of Auth, translated to its use cases."""
