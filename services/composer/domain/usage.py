"""What the models of others took for a piece of work, in tokens and money."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelUsage:
    """Tokens read and written (thoughts are written too), and what they cost in millionths of a US dollar.

    All zero for whoever works without a model; the cost is zero where no price is set.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0

    def __add__(self, other: ModelUsage) -> ModelUsage:
        """Return both together."""
        return ModelUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_micros + other.cost_micros,
        )


@dataclass(frozen=True)
class TokenPrice:
    """US dollars for a million tokens read and written; zero means that nobody said."""

    input_usd: float = 0.0
    output_usd: float = 0.0

    def usage(self, input_tokens: int, output_tokens: int) -> ModelUsage:
        """Return the tokens with their cost: a dollar for a million tokens is a millionth for one."""
        cost = round(input_tokens * self.input_usd + output_tokens * self.output_usd)
        return ModelUsage(input_tokens, output_tokens, cost)
