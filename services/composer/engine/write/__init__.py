"""The offline writer: lyrics without a model. Whole couplets typed in tables, joined by rules; pure and seeded.

A line is two half-lines with a pause between them, so that one table serves long and short lines. `{a|b}` in a table
is a slot whose fillings have the same length, `{T}` the person's own words, `{我}` and `{I}` who is singing.
"""
