"""Settings: the environment, read once at start into a frozen dataclass and passed on as a value.

This is the only module besides `services.mesh` that reads `os.environ`. Every mistake is
reported at once, because finding them one restart at a time costs an evening.
"""

import dataclasses
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from services.kit.objects.dialect import DIALECTS

T = TypeVar("T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^/@:]*:)[^@]*(?=@)")


class ConfigError(Exception):
    """The environment does not hold a usable configuration; the text lists every problem."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the problems, one line each, naming the variable and never a secret's value."""
        super().__init__("\n".join(["the configuration is not usable:", *problems]))
        self.problems = problems


class Secret(str):
    """Text that prints as stars in `repr`, so that a dumped configuration gives nothing away."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return stars; of an address with a password only the password is covered."""
        covered, count = _URL_PASSWORD.subn(r"\g<before>***", str(self))
        if count or "://" in self:
            return repr(covered)
        return "'***'" if self else "''"


@dataclass(frozen=True)
class SettingDoc:
    """What a person needs to know about one environment variable."""

    env: str
    default: object
    doc: str
    secret: bool


def setting(env: str, default: Any = ..., *, doc: str, secret: bool = False) -> Any:
    """Return a dataclass field filled from the variable `env`; without a default it is required."""
    metadata = {"env": env, "doc": doc, "secret": secret}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    if secret and isinstance(default, str):
        default = Secret(default)
    return dataclasses.field(default=default, metadata=metadata)


def settings_of(cls: type[Any]) -> list[SettingDoc]:
    """Return the settings of a configuration class in the order in which they are declared."""
    return [
        SettingDoc(
            env=field.metadata["env"],
            default=None if field.default is dataclasses.MISSING else field.default,
            doc=field.metadata["doc"],
            secret=field.metadata["secret"],
        )
        for field in dataclasses.fields(cls)
        if "env" in field.metadata
    ]


def load(cls: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Return the configuration read from the environment; an empty variable counts as unset.

    Raises ConfigError naming every missing or malformed variable.
    """
    source = os.environ if environ is None else environ
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in dataclasses.fields(cast("Any", cls)):
        if "env" not in field.metadata:
            continue
        env, secret = field.metadata["env"], field.metadata["secret"]
        text = source.get(env, "")
        if not text:
            if field.default is dataclasses.MISSING:
                problems.append(f"{env} is not set: {field.metadata['doc']}")
            continue
        try:
            values[field.name] = _parse(hints[field.name], text, secret=secret)
        except ValueError as error:
            problems.append(f"{env} {error}" + ("" if secret else f", got {text!r}"))
    if problems:
        raise ConfigError(problems)
    return cls(**values)


def _parse(hint: object, text: str, *, secret: bool) -> object:
    """Return the text as a value of the annotated type; ValueError says what was expected."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = [each for each in typing.get_args(hint) if each is not type(None)]
        return _parse(inner[0], text, secret=secret)
    if typing.get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint is str:
        return Secret(text) if secret else text
    reader = _READERS.get(hint)
    if reader is None:
        msg = f"has the type {hint}, which no environment variable can hold"
        raise TypeError(msg)
    return reader(text)


def _parse_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        msg = "must be a whole number"
        raise ValueError(msg) from None


def _parse_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = "must be a number"
        raise ValueError(msg) from None


def _parse_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    msg = "must be true or false"
    raise ValueError(msg)


_READERS: dict[object, Callable[[str], object]] = {
    int: _parse_int,
    float: _parse_float,
    bool: _parse_bool,
    Path: lambda text: Path(text).expanduser(),
}


@dataclass(frozen=True, kw_only=True)
class ProcessConfig:
    """What every process of the mesh needs; services extend it with their own settings."""

    app_env: str = setting("APP_ENV", "development", doc="development, test or production")

    database_url: str = setting(
        "DATABASE_URL",
        "postgresql://cadenza@127.0.0.1:5432/cadenza",
        doc="PostgreSQL 15 to 18; the embedded runtime sets it by itself",
        secret=True,
    )
    redis_url: str = setting(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        doc="Redis 7 or Valkey; the embedded runtime sets it by itself",
        secret=True,
    )

    tls_directory: Path = setting(
        "CADENZA_TLS",
        Path(".cadenza/tls"),
        doc="folder with ca.pem, <service>.pem and <service>-key.pem; reread when they change",
    )
    tls_server_name: str = setting(
        "TLS_SERVER_NAME",
        "{service}",
        doc="name that a server's certificate must bear; {service} stands for the service called",
    )
    worker_concurrency: int = setting("WORKER_CONCURRENCY", 1, doc="jobs that one worker process runs at the same time")
    worker_waiting: int = setting(
        "WORKER_WAITING", 100, doc="jobs that one worker process holds besides, while they only wait for a vendor"
    )
    bind_host: str = setting("BIND_HOST", "127.0.0.1", doc="address the gRPC port listens on")
    port: int = setting("PORT", 0, doc="gRPC port of a process that has no port of its own name")

    auth_address: str = setting("AUTH_ADDRESS", "127.0.0.1:50051", doc="where Auth is; several addresses with commas")
    wallet_address: str = setting(
        "WALLET_ADDRESS", "127.0.0.1:50052", doc="where Wallet is; several addresses with commas"
    )
    composer_address: str = setting(
        "COMPOSER_ADDRESS",
        "127.0.0.1:50053",
        doc="where Composer is; several addresses with commas",
    )
    media_address: str = setting(
        "MEDIA_ADDRESS", "127.0.0.1:50054", doc="where Media is; several addresses with commas"
    )
    share_address: str = setting(
        "SHARE_ADDRESS", "127.0.0.1:50055", doc="where Share is; several addresses with commas"
    )

    log_level: str = setting("LOG_LEVEL", "info", doc="debug, info, warning or error")
    log_directory: Path | None = setting("LOG_DIR", None, doc="also write daily log files into this folder")
    crash_points: Path | None = setting(
        "CRASH_POINTS", None, doc="folder in which a test arms crash points; refused in production"
    )
    metrics_port: int = setting("METRICS_PORT", 0, doc="port of the Prometheus page of this process; 0 for none")

    otlp_endpoint: str = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        doc="where spans are sent as OTLP over HTTP, without /v1/traces; empty sends none. "
        "Langfuse: https://<host>/api/public/otel",
    )
    otlp_headers: str = setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        doc="headers for that server as name=value with commas. Langfuse: Authorization=Basic <base64 of "
        "public:secret key>,x-langfuse-ingestion-version=4",
        secret=True,
    )

    object_store_directory: Path = setting(
        "OBJECT_STORE_DIR", Path(".cadenza/objects"), doc="folder of the local object store"
    )
    object_url_secret: str = setting(
        "OBJECT_URL_SECRET", "", doc="key that signs the local store's addresses", secret=True
    )
    public_url: str = setting("PUBLIC_URL", "http://127.0.0.1:8080", doc="how clients reach the gateway")
    s3_endpoint_url: str = setting("S3_ENDPOINT_URL", "", doc="S3 server; set it to leave the local object store")
    s3_access_key: str = setting("S3_ACCESS_KEY", "", doc="access key of the S3 server", secret=True)
    s3_secret_key: str = setting("S3_SECRET_KEY", "", doc="secret key of the S3 server", secret=True)
    s3_bucket: str = setting("S3_BUCKET", "cadenza", doc="S3 bucket, also the local store's")
    s3_region: str = setting("S3_REGION", "us-east-1", doc="region of the S3 server; of s3, oss, cos the endpoint's")
    s3_dialect: str = setting(
        "S3_DIALECT", "minio", doc="which sort of S3 server: minio (bucket in the path), s3, r2, oss or cos"
    )

    @property
    def service(self) -> str:
        """Return the short name of the process: that of the package its configuration is in."""
        return type(self).__module__.split(".")[-2]

    def __post_init__(self) -> None:
        """Cover the secrets, also in a configuration that a test builds by hand; ConfigError for what is no setting."""
        if self.crash_points is not None and self.app_env == "production":
            raise ConfigError(["CRASH_POINTS is set: processes that may die on purpose are for tests"])
        if self.otlp_endpoint and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise ConfigError(["OTEL_EXPORTER_OTLP_ENDPOINT must begin with http:// or https://"])
        if self.s3_dialect not in DIALECTS:
            raise ConfigError([f"S3_DIALECT must be one of {', '.join(DIALECTS)}"])
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata.get("secret") and not isinstance(value, Secret):
                object.__setattr__(self, field.name, Secret(value))
