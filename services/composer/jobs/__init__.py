"""What Composer's worker runs: thin, like rpc."""
