"""What calls itself compatible with OpenAI's chat completions, and where each is not.

A dialect is chosen by setting, never by trying: a server that does not know a field answers 400, and that is told to
whoever runs Cadenza instead of being worked around call by call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a server understands.

    `json` is how it is held to JSON: by a schema, by the word alone (which must occur in the prompt), or not at all.
    """

    json: Literal["schema", "object", "none"]
    tokens: str = "max_tokens"
    seed: bool = True
    usage_in_stream: bool = True
    # Some report a failure in a body `base_resp` with status 200.
    base_resp: bool = False


DIALECTS: Final[Mapping[str, Dialect]] = {
    # Its reasoning models refuse temperature and max_tokens, so neither is sent.
    "openai": Dialect(json="schema", tokens="max_completion_tokens"),
    "vllm": Dialect(json="schema"),
    "ollama": Dialect(json="schema"),
    "deepseek": Dialect(json="object", seed=False),
    "qwen": Dialect(json="object"),
    "moonshot": Dialect(json="object", seed=False, usage_in_stream=False),
    "minimax": Dialect(json="none", tokens="max_completion_tokens", seed=False, base_resp=True),
}
"""By the name of the setting."""
