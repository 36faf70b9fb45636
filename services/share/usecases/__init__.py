"""What Share does, one transaction each."""
