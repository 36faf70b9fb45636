"""The five services of Cadenza, what they share, and the runtime that hosts them on one machine."""
