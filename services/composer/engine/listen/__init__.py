"""What was hummed: from the samples of a take to an `Analysis`, one module per stage, each resumable."""
