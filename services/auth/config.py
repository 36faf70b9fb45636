"""The settings of Auth."""

import re
from dataclasses import dataclass
from datetime import timedelta

from services.auth.domain.code import CodeRules
from services.auth.domain.session import Lifetimes
from services.kit.config import ConfigError, setting
from services.kit.wechat import WechatConfig

_KEY = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, kw_only=True)
class Config(WechatConfig):
    """What an Auth process needs beyond what every process needs."""

    port: int = setting("AUTH_PORT", 50051, doc="gRPC port of Auth")
    encryption_key: str = setting(
        "ENCRYPTION_KEY",
        doc="32 bytes in hex that encrypt secrets at rest: `openssl rand -hex 32`; the embedded runtime makes one",
        secret=True,
    )
    encryption_keys_old: str = setting(
        "ENCRYPTION_KEYS_OLD", "", doc="earlier values of ENCRYPTION_KEY with commas; they only decrypt", secret=True
    )
    jwt_access_ttl: int = setting("JWT_ACCESS_TTL", 604_800, doc="seconds an access token lives: 7 days")
    jwt_refresh_ttl: int = setting("JWT_REFRESH_TTL", 2_592_000, doc="seconds a refresh token lives: 30 days")
    signing_key_max_age: int = setting(
        "SIGNING_KEY_MAX_AGE", 7_776_000, doc="seconds after which a new signing key is made: 90 days"
    )
    signing_key_announced: int = setting(
        "SIGNING_KEY_ANNOUNCED",
        600,
        doc="seconds for which a new signing key is published before it signs; verifiers look again in half of that",
    )
    code_ttl: int = setting("CODE_TTL", 300, doc="seconds a code for a phone or mailbox is good")
    code_resend_gap: int = setting("CODE_RESEND_GAP", 60, doc="seconds until the same target may get another code")
    code_daily_per_target: int = setting("CODE_DAILY_PER_TARGET", 10, doc="codes within 24 hours to one target")
    code_daily_per_address: int = setting(
        "CODE_DAILY_PER_ADDRESS", 50, doc="codes within 24 hours that one network address may ask for"
    )
    sms_access_key_id: str = setting(
        "SMS_ACCESS_KEY_ID", "", doc="Aliyun key for short messages; empty switches them off"
    )
    sms_access_key_secret: str = setting("SMS_ACCESS_KEY_SECRET", "", doc="secret of that key", secret=True)
    sms_sign_name: str = setting("SMS_SIGN_NAME", "", doc="approved signature that short messages begin with")
    sms_template_code: str = setting("SMS_TEMPLATE_CODE", "", doc="approved template, with one variable called `code`")
    sms_base_url: str = setting(
        "SMS_BASE_URL",
        "https://dysmsapi.aliyuncs.com",
        doc="where Aliyun's short messages are; the sandbox has its own",
    )
    sms_timeout_s: float = setting("SMS_TIMEOUT_S", 5.0, doc="seconds Aliyun has to answer")
    sms_countries: tuple[str, ...] = setting(
        "SMS_COUNTRIES", ("86",), doc="calling codes of the countries whose phones get messages, with commas"
    )
    smtp_host: str = setting("SMTP_HOST", "", doc="mail server for codes and letters; empty switches mail off")
    smtp_port: int = setting("SMTP_PORT", 465, doc="its port: 465 for tls, 587 for starttls")
    smtp_security: str = setting("SMTP_SECURITY", "tls", doc="tls, starttls, or none, which only loopback may use")
    smtp_user: str = setting("SMTP_USER", "", doc="account at the mail server; empty for none")
    smtp_password: str = setting("SMTP_PASSWORD", "", doc="password or authorization code of that account", secret=True)
    smtp_from: str = setting("SMTP_FROM", "", doc="sender of all mail, such as `Cadenza <no-reply@example.com>`")
    smtp_timeout_s: float = setting("SMTP_TIMEOUT_S", 5.0, doc="seconds the mail server has for each answer")
    apple_client_ids: tuple[str, ...] = setting(
        "APPLE_CLIENT_IDS", (), doc="bundle and services ids for Sign in with Apple, with commas; empty switches it off"
    )
    apple_base_url: str = setting(
        "APPLE_BASE_URL", "https://appleid.apple.com", doc="where Apple's keys are; the sandbox has its own"
    )
    apple_timeout_s: float = setting("APPLE_TIMEOUT_S", 5.0, doc="seconds Apple has to answer")

    def __post_init__(self) -> None:
        """Refuse keys and lifetimes that cannot work."""
        super().__post_init__()
        problems = [
            f"{name} must be 64 hex characters"
            for name, keys in (
                ("ENCRYPTION_KEY", [self.encryption_key]),
                ("ENCRYPTION_KEYS_OLD", [key.strip() for key in self.encryption_keys_old.split(",") if key.strip()]),
            )
            if not all(_KEY.fullmatch(key) for key in keys)
        ]
        if not 0 < self.jwt_access_ttl <= self.jwt_refresh_ttl:
            problems.append("JWT_ACCESS_TTL must be above 0 and at most JWT_REFRESH_TTL")
        if not 2 <= self.signing_key_announced < self.signing_key_max_age:  # noqa: PLR2004  # fresh_s is a whole second
            problems.append("SIGNING_KEY_ANNOUNCED must be 2 or more and below SIGNING_KEY_MAX_AGE")
        problems += self._problems_of_carriers()
        if problems:
            raise ConfigError(problems)

    def _problems_of_carriers(self) -> list[str]:
        problems = []
        if min(self.code_ttl, self.code_daily_per_target, self.code_daily_per_address) < 1 or self.code_resend_gap < 0:
            problems.append("CODE_TTL and the daily caps must be above 0, CODE_RESEND_GAP not below")
        of_sms = (self.sms_access_key_id, self.sms_access_key_secret, self.sms_sign_name, self.sms_template_code)
        if any(of_sms) != all(of_sms):
            problems.append("SMS_ACCESS_KEY_ID, SMS_ACCESS_KEY_SECRET, SMS_SIGN_NAME, SMS_TEMPLATE_CODE go together")
        if bool(self.smtp_host) != bool(self.smtp_from):
            problems.append("SMTP_HOST and SMTP_FROM go together")
        if self.smtp_security not in {"tls", "starttls", "none"}:
            problems.append("SMTP_SECURITY must be tls, starttls or none")
        if self.smtp_security == "none" and self.smtp_host not in {"", "127.0.0.1", "::1", "localhost"}:
            problems.append("SMTP_SECURITY none would show codes and the password to the network")
        return problems

    @property
    def signing_key_times(self) -> dict[str, timedelta]:
        """Return at which age a signing key gets a successor, and how long before its first use that is announced."""
        return {
            "longest": timedelta(seconds=self.signing_key_max_age),
            "announced_for": timedelta(seconds=self.signing_key_announced),
        }

    @property
    def code_rules(self) -> CodeRules:
        """Return how long codes live and how many there may be."""
        return CodeRules(
            life=timedelta(seconds=self.code_ttl),
            gap=timedelta(seconds=self.code_resend_gap),
            daily_per_target=self.code_daily_per_target,
            daily_per_address=self.code_daily_per_address,
        )

    @property
    def lifetimes(self) -> Lifetimes:
        """Return how long tokens live."""
        return Lifetimes(timedelta(seconds=self.jwt_access_ttl), timedelta(seconds=self.jwt_refresh_ttl))
