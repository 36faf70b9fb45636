"""What Composer decides: pure values and rules, no waiting and no input or output."""
