"""Settings of Composer: server and worker read the same ones."""

from dataclasses import dataclass
from pathlib import Path

from services.composer.providers.openai_dialect import DIALECTS
from services.kit.config import ConfigError, setting
from services.kit.sealing import Sealer
from services.kit.wechat import WechatConfig

_WRITERS = ("gemini", "openai", "offline")
_MAKERS = ("offline", "ace_step", "minimax", "suno")
_SUNO_DIALECTS = ("sunoapi", "kie")

_CHECKS = ("wechat", "model")
_AES_KEY_CHARACTERS = 43


@dataclass(frozen=True, kw_only=True)
class Config(WechatConfig):
    """What Composer needs beyond what every process needs."""

    port: int = setting("COMPOSER_PORT", 50053, doc="gRPC port of Composer")
    soundfont: Path | None = setting(
        "SOUNDFONT", None, doc="General MIDI soundfont (sf2 or sf3); unset takes the best one found on the machine"
    )
    ffmpeg_binary: str = setting("FFMPEG_BINARY", "", doc="ffmpeg program; unset takes the bundled one")
    engine_url: str = setting(
        "ENGINE_URL", "", doc="engine server that listens and makes the music instead of this machine's own engine"
    )
    engine_key: str = setting("ENGINE_KEY", "", doc="key that the engine server wants to see", secret=True)
    lyrics_providers: tuple[str, ...] = setting(
        "LYRICS_PROVIDERS",
        (),
        doc="who writes words, in order: gemini, openai, offline; unset takes every model with a key, and then offline",
    )
    lyrics_stream: bool = setting(
        "LYRICS_STREAM", default=True, doc="let models send words as they write them; some servers cannot"
    )
    lyrics_pause_s: float = setting(
        "LYRICS_PAUSE_S", 1.0, doc="pause before models are asked a second time; it doubles before the third"
    )
    lyrics_silence_s: float = setting("LYRICS_SILENCE_S", 20.0, doc="how long a model may be silent before it is left")
    lyrics_budget_s: float = setting("LYRICS_BUDGET_S", 45.0, doc="longest time that all models together may take")
    lyrics_after_refusal: bool = setting(
        "LYRICS_AFTER_REFUSAL",
        default=False,
        doc="ask the next writer when a model will not write about something; by default nobody else is asked",
    )
    gemini_api_key: str = setting("GEMINI_API_KEY", "", doc="key of Gemini; it then writes words first", secret=True)
    gemini_base_url: str = setting(
        "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com/v1beta", doc="where Gemini is, with its version"
    )
    gemini_model: str = setting("GEMINI_MODEL", "gemini-3.8-flash", doc="model of Gemini that writes words")
    gemini_thinking: str = setting(
        "GEMINI_THINKING", "", doc="thinkingLevel of the model, low for example; unset is its own"
    )
    gemini_usd_in: float = setting("GEMINI_USD_IN", 0.0, doc="US dollars for a million tokens that Gemini reads")
    gemini_usd_out: float = setting("GEMINI_USD_OUT", 0.0, doc="US dollars for a million tokens that Gemini writes")
    openai_api_key: str = setting("OPENAI_API_KEY", "", doc="key of a server of OpenAI's chat completions", secret=True)
    openai_base_url: str = setting(
        "OPENAI_BASE_URL", "", doc="where that server is, with its version; unset is OpenAI itself, if there is a key"
    )
    openai_model: str = setting("OPENAI_MODEL", "gpt-5-mini", doc="model of that server that writes words")
    openai_dialect: str = setting(
        "OPENAI_DIALECT", "openai", doc="what that server is: openai, vllm, ollama, deepseek, qwen, moonshot or minimax"
    )
    openai_usd_in: float = setting("OPENAI_USD_IN", 0.0, doc="US dollars for a million tokens that it reads")
    openai_usd_out: float = setting("OPENAI_USD_OUT", 0.0, doc="US dollars for a million tokens that it writes")
    music_providers: tuple[str, ...] = setting(
        "MUSIC_PROVIDERS",
        ("offline",),
        doc="makers of songs with commas, the first that can is asked first: offline (our own engine, which also takes "
        "what no other can), ace_step, minimax, suno",
    )
    music_poll_s: float = setting("MUSIC_POLL_S", 2.0, doc="seconds between two questions how far a vendor is")
    music_vendor_deadline_s: float = setting(
        "MUSIC_VENDOR_DEADLINE_S", 300.0, doc="seconds after which a vendor has lost an order that it took"
    )
    music_shortest_s: float = setting("MUSIC_SHORTEST_S", 10.0, doc="shortest sound of a vendor that counts as a song")
    music_pay_twice: bool = setting(
        "MUSIC_PAY_TWICE",
        default=False,
        doc="also pay a second vendor when nobody can say whether the first one took the order",
    )
    suno_url: str = setting("SUNO_URL", "https://api.sunoapi.org", doc="Suno-style vendor")
    suno_key: str = setting("SUNO_KEY", "", doc="key of the Suno-style vendor", secret=True)
    suno_dialect: str = setting("SUNO_DIALECT", "sunoapi", doc="whose numbers it speaks: sunoapi or kie")
    suno_model: str = setting("SUNO_MODEL", "V4_5ALL", doc="model that the Suno-style vendor is asked for")
    suno_usd: float = setting("SUNO_USD", 0.0, doc="US dollars that an order of two songs costs there")
    minimax_url: str = setting(
        "MINIMAX_URL", "https://api.minimax.io", doc="MiniMax; a key of China is for https://api.minimaxi.com"
    )
    minimax_key: str = setting("MINIMAX_KEY", "", doc="key of MiniMax", secret=True)
    minimax_music_model: str = setting("MINIMAX_MUSIC_MODEL", "music-2.6", doc="model that MiniMax is asked for")
    minimax_music_usd: float = setting("MINIMAX_MUSIC_USD", 0.0, doc="US dollars that a song of MiniMax costs")
    ace_step_url: str = setting("ACE_STEP_URL", "http://127.0.0.1:8001", doc="ACE-Step 1.5 server")
    ace_step_key: str = setting("ACE_STEP_KEY", "", doc="key of the ACE-Step server, if it wants one", secret=True)
    active_jobs_per_user: int = setting(
        "ACTIVE_JOBS_PER_USER", 3, doc="songs one person may have in the making at the same time"
    )
    active_jobs_total: int = setting(
        "ACTIVE_JOBS_TOTAL", 200, doc="songs everybody together may have in the making at the same time"
    )
    music_deadline_s: float = setting(
        "MUSIC_DEADLINE_S", 600.0, doc="longest time one song may take, all tries together"
    )
    music_pause_s: float = setting(
        "MUSIC_PAUSE_S", 5.0, doc="seconds before a song that failed is tried again; they double before the third try"
    )
    variant_processes: int = setting(
        "VARIANT_PROCESSES", 2, doc="1 renders the variants of a song one after the other, 2 both at once"
    )
    word_list_file: Path | None = setting(
        "WORD_LIST_FILE",
        None,
        doc="more words that no song may hold, one a line; review behind a tab asks a person to look first",
    )
    moderation_checks: tuple[str, ...] = setting(
        "MODERATION_CHECKS",
        (),
        doc="who judges words besides the list of words: wechat, model (the first one that writes lyrics)",
    )
    moderation_sound: bool = setting(
        "MODERATION_SOUND",
        default=False,
        doc="let WeChat judge sounds too; PUBLIC_URL must be open to it, the verdict is pushed to /api/v1/wechat/push",
    )
    wechat_push_token: str = setting(
        "WECHAT_PUSH_TOKEN",
        "",
        doc="token of the mini-program's message push; without it nothing is accepted",
        secret=True,
    )
    wechat_push_aes_key: str = setting(
        "WECHAT_PUSH_AES_KEY",
        "",
        doc="EncodingAESKey of the message push, 43 characters; unset reads plain ones",
        secret=True,
    )
    encryption_key: str = setting(
        "ENCRYPTION_KEY",
        "",
        doc="the same key as Auth's; it seals the secrets of webhooks, none without it",
        secret=True,
    )
    encryption_keys_old: str = setting(
        "ENCRYPTION_KEYS_OLD", "", doc="earlier values of ENCRYPTION_KEY with commas; they only decrypt", secret=True
    )
    webhooks_per_user: int = setting("WEBHOOKS_PER_USER", 5, doc="webhooks one person may have")
    webhook_loopback: bool = setting(
        "WEBHOOK_LOOPBACK",
        default=False,
        doc="also send webhooks to this machine, over plain http; for development only",
    )
    webhook_log_days: float = setting("WEBHOOK_LOG_DAYS", 30.0, doc="days for which deliveries of webhooks are kept")
    job_log_days: float = setting(
        "JOB_LOG_DAYS", 90.0, doc="days after a job's end for which its log is kept whole; then only the last line is"
    )

    def __post_init__(self) -> None:
        """Refuse keys that cannot work."""
        super().__post_init__()
        self.sealer()
        problems = [
            f"LYRICS_PROVIDERS names {name!r}: it must be one of {', '.join(_WRITERS)}, and a model needs its key"
            for name in self.lyrics_providers
            if name not in self._ready_writers()
        ]
        problems += [
            f"MODERATION_CHECKS names {name!r}: it must be {' or '.join(_CHECKS)}, and needs its settings"
            for name in self.moderation_checks
            if not self._can_check(name)
        ]
        if self.moderation_sound and not (self.wechat_app_id and self.wechat_push_token):
            problems.append("MODERATION_SOUND needs WECHAT_APP_ID and WECHAT_PUSH_TOKEN")
        if self.wechat_push_aes_key and len(self.wechat_push_aes_key) != _AES_KEY_CHARACTERS:
            problems.append(f"WECHAT_PUSH_AES_KEY must have {_AES_KEY_CHARACTERS} characters")
        if self.openai_dialect not in DIALECTS:
            problems.append(f"OPENAI_DIALECT must be one of {', '.join(DIALECTS)}")
        problems += self._wrong_makers()
        if problems:
            raise ConfigError(problems)

    @property
    def writers(self) -> tuple[str, ...]:
        """Return who writes words, in order."""
        return self.lyrics_providers or self._ready_writers()

    def _can_check(self, name: str) -> bool:
        ready = {
            "wechat": self.wechat_app_id,
            "model": self.gemini_api_key or self.openai_api_key or self.openai_base_url,
        }
        return bool(ready.get(name))

    def _ready_writers(self) -> tuple[str, ...]:
        """Return who could write words: the offline writer always, a model when there is what it takes to reach it."""
        ready = {"gemini": self.gemini_api_key, "openai": self.openai_api_key or self.openai_base_url, "offline": "yes"}
        return tuple(name for name in _WRITERS if ready[name])

    def _wrong_makers(self) -> list[str]:
        """Return what is wrong with the makers of songs."""
        problems = [
            f"MUSIC_PROVIDERS names {name!r}: it must be one of {', '.join(_MAKERS)}"
            for name in self.music_providers
            if name not in _MAKERS
        ]
        if self.suno_dialect not in _SUNO_DIALECTS:
            problems.append(f"SUNO_DIALECT must be one of {', '.join(_SUNO_DIALECTS)}")
        for name, key in (("suno", self.suno_key), ("minimax", self.minimax_key)):
            if name in self.music_providers and not key:
                problems.append(f"{name.upper()}_KEY is not set, and MUSIC_PROVIDERS names {name}")
        return problems

    def sealer(self) -> Sealer | None:
        """Return what seals the secrets of webhooks, or None without a key; raises ConfigError for a bad one."""
        if not self.encryption_key:
            return None
        try:
            return Sealer.from_hex(self.encryption_key, self.encryption_keys_old)
        except ValueError as error:
            raise ConfigError(["ENCRYPTION_KEY and ENCRYPTION_KEYS_OLD must be 64 hex characters each"]) from error
