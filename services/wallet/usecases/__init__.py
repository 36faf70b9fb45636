"""What Wallet does, one transaction each."""
