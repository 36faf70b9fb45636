"""Singing: lyrics as people write them become lines of syllables with tones and stresses."""
