"""Tests of the JSON gateway against in-process services made of a few lines each."""
