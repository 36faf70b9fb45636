"""The contract of Share, translated to its use cases."""
