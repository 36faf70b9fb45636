"""Wallet: what is metered.

Owns the credits of every user, the double-entry ledger behind them, the holds of running jobs
and the price table. It never knows what a job does and never
corrects a line: a mistake is answered by another line. Auth asks for grants, Composer for
holds, settlements and releases; people read their own balance and entries. Once a night it
asks Composer for the jobs that cost credits, to compare them with its holds.
"""
