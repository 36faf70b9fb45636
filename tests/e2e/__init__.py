"""User stories, told over the addresses that people use."""
