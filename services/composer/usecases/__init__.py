"""What Composer does: one transaction a method, remote calls before or after it and never inside."""
