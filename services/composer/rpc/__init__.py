"""Translates between the contract and the use cases; decides nothing."""
