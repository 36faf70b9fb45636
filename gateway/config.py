"""The settings of the gateway."""

import ipaddress
import re
from dataclasses import dataclass

from services.kit.config import ConfigError, ProcessConfig, setting

MEBIBYTE = 1024 * 1024
_RATE = re.compile(r"[A-Za-z]{1,64}=[1-9][0-9]{0,8}")


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What the gateway needs besides what every process needs."""

    gateway_port: int = setting("GATEWAY_PORT", 8080, doc="HTTP port of the gateway; 0 takes any free one")
    gateway_host: str = setting("GATEWAY_HOST", "127.0.0.1", doc="address the gateway listens on")
    gateway_reuse_port: bool = setting(
        "GATEWAY_REUSE_PORT", default=False, doc="let several gateway processes share the port (SO_REUSEPORT)"
    )
    allowed_origins: tuple[str, ...] = setting(
        "ALLOWED_ORIGINS", (), doc="web origins that may call the gateway from a browser, with commas; * for all"
    )
    trusted_proxies: tuple[str, ...] = setting(
        "TRUSTED_PROXIES", (), doc="networks whose X-Forwarded-For and X-Forwarded-Proto are believed, with commas"
    )
    call_deadline_s: float = setting(
        "CALL_DEADLINE_S", 10.0, doc="seconds a call may take whose contract names no deadline"
    )
    body_limit_bytes: int = setting("BODY_LIMIT_BYTES", MEBIBYTE, doc="largest JSON body in bytes")
    body_deadline_s: float = setting("BODY_DEADLINE_S", 30.0, doc="seconds a client may take to send a JSON body")
    head_deadline_s: float = setting(
        "HEAD_DEADLINE_S", 10.0, doc="seconds a client may take from the first byte of a request to its last header"
    )
    connections_per_address_most: int = setting(
        "CONNECTIONS_PER_ADDRESS_MOST",
        256,
        doc="open connections of one address to one process; 0 for no limit, loopback and our proxies have none",
    )
    requests_most: int = setting("REQUESTS_MOST", 1000, doc="requests that one gateway process works on at a time")
    requests_least: int = setting(
        "REQUESTS_LEAST", 64, doc="requests that it works on at a time however much comes; more only while it keeps up"
    )
    streams_most: int = setting("STREAMS_MOST", 5000, doc="event streams that one gateway process holds open")
    stream_heartbeat_s: float = setting("STREAM_HEARTBEAT_S", 15.0, doc="seconds of silence before a heartbeat")
    stream_longest_s: float = setting(
        "STREAM_LONGEST_S", 3600.0, doc="seconds after which an event stream ends; clients go on with Last-Event-ID"
    )
    stream_stall_s: float = setting(
        "STREAM_STALL_S", 30.0, doc="seconds a client may leave an event stream unread before it is cut"
    )
    rate_user_per_minute: int = setting(
        "RATE_USER_PER_MINUTE",
        100,
        doc="requests per minute with one access token; 0 for no limit, nor any of a method's own",
    )
    rate_address_per_minute: int = setting(
        "RATE_ADDRESS_PER_MINUTE", 1000, doc="requests per minute from one address; 0 for no limit, loopback has none"
    )
    rate_anonymous_per_quarter: int = setting(
        "RATE_ANONYMOUS_PER_QUARTER",
        1000,
        doc="requests without a token per quarter of an hour from one address; 0 for no limit, loopback has none",
    )
    rate_older_per_minute: int = setting(
        "RATE_OLDER_PER_MINUTE",
        60,
        doc="requests per minute of one client to the paths of the older interfaces; 0 for no limit, loopback has none",
    )
    rate_ai_free_per_minute: int = setting(
        "RATE_AI_FREE_PER_MINUTE", 10, doc="runs of a model or engine per minute with one token on the free plan"
    )
    rate_ai_basic_per_minute: int = setting("RATE_AI_BASIC_PER_MINUTE", 30, doc="the same on the basic plan")
    rate_ai_premium_per_minute: int = setting("RATE_AI_PREMIUM_PER_MINUTE", 60, doc="the same on the premium plan")
    rate_meeting_per_minute: int = setting(
        "RATE_MEETING_PER_MINUTE", 100, doc="requests for meetings per minute from one address; loopback has no limit"
    )
    rate_methods: tuple[str, ...] = setting(
        "RATE_METHODS",
        (),
        doc="other limits of single methods than the contract's, per minute and token: GenerateLyrics=5, with commas",
    )
    upload_limit_mb: int = setting("UPLOAD_LIMIT_MB", 50, doc="largest upload through the gateway in MiB")
    upload_limit_wxmp_mb: int = setting(
        "UPLOAD_LIMIT_WXMP_MB", 10, doc="largest upload of a mini-program through the gateway in MiB"
    )
    upload_limit_presigned_mb: int = setting(
        "UPLOAD_LIMIT_PRESIGNED_MB", 100, doc="largest upload by a signed address in MiB"
    )
    upload_limit_resumable_mb: int = setting(
        "UPLOAD_LIMIT_RESUMABLE_MB",
        100,
        doc="largest upload that can be resumed in MiB; a mini-program's stays smaller",
    )
    audio_shortest_s: float = setting("AUDIO_SHORTEST_S", 1.0, doc="shortest recording in seconds")
    audio_longest_s: float = setting("AUDIO_LONGEST_S", 180.0, doc="longest recording in seconds")
    poll_interval_ms: int = setting(
        "POLL_INTERVAL_MS", 1500, doc="pause that clients without event streams keep between two polls"
    )

    def __post_init__(self) -> None:
        """Refuse networks that are none; raises ConfigError naming them."""
        super().__post_init__()
        problems = [f"TRUSTED_PROXIES: {text} is not a network" for text in self.trusted_proxies if not _network(text)]
        problems += [
            f"RATE_METHODS: {text} is not Method=number" for text in self.rate_methods if not _RATE.fullmatch(text)
        ]
        if problems:
            raise ConfigError(problems)

    @property
    def method_rates(self) -> dict[str, int]:
        """Return the limits of single methods by their names."""
        return {name: int(number) for name, _, number in (text.partition("=") for text in self.rate_methods)}

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return the trusted networks."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.trusted_proxies)


def _network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
