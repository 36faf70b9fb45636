"""What Auth does, one transaction each."""
