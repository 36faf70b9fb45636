"""Composer owns what is composed: tracks, their variants, lyrics and the jobs that make them.

It never stores a file (Media does), never computes a balance (Wallet does) and never shows a track to a stranger
(Share does). Clients and Share call it; it calls Wallet and Media.
"""
