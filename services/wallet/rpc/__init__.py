"""The contract of Wallet, translated to its use cases."""
