"""Composing: an `Analysis` and a `Brief` become a `Score`, by rules and dynamic programming, never by a model."""
