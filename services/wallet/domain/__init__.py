"""The rules of credit: who may spend what, and which lines that writes. No I/O."""
