"""Share owns what is shown to others: the codes under which anybody may hear a track, and the ways to them.

It keeps no copy of the track; Composer describes it at every opening, so a renamed track shows its new name and a
deleted one is gone at once. It never charges; the pictures of its codes are kept by Media.
"""
