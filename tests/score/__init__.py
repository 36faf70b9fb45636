"""`make score`: how good the offline engine is, measured against the figures that are asked of it."""
