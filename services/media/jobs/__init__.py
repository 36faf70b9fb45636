"""The work of Media that takes longer than a call: looking into files and making them playable."""
