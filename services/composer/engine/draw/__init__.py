"""Pictures of songs, drawn from their own features."""
