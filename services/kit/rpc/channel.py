"""Channels to the other services, as one of them, over mutual TLS."""

import asyncio
import ipaddress
import json
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Protocol, Self

import grpc
import grpc.aio

from services.kit.config import ConfigError, ProcessConfig
from services.kit.rpc.callee import Callee, guarded, unguarded
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.outgoing import outgoing_metadata, outgoing_timeout

_log = logging.getLogger(__name__)

MOST_MESSAGE_BYTES: Final = 8 * 1024 * 1024

# How often a call looks whether the certificates have changed, and how long the calls on the
# old channel may still take after that.
_LOOK_S: Final = 1.0
_OLD_CHANNEL_S: Final = 600.0

_OPTIONS: Final = (
    ("grpc.max_send_message_length", MOST_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
    # A peer on the same network comes back within moments; the default waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Despite its name, how long one attempt to connect may take: a busy peer needs its time for the TLS handshake, and
    # one that is cut off meanwhile takes the calls that wait for it down with it.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


class Peers(Protocol):
    """Gives channels to the other services, with the caller's own identity on them."""

    def channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to a service by its short name, such as `wallet`."""
        ...


class MtlsPeers:
    """Channels over mutual TLS, to the addresses of the configuration."""

    def __init__(self, config: ProcessConfig, caller: str) -> None:
        """Call as `caller`, with its certificate; connects when the first call is made."""
        self._config = config
        self._certificates = Certificates(config.tls_directory, caller)
        self._channels: dict[str, PeerChannel] = {}

    def channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to the service; ConfigError when it has no usable address."""
        if service not in self._channels:
            target = _target(service, getattr(self._config, f"{service}_address", ""))
            name = self._config.tls_server_name.replace("{service}", service)

            def connect() -> grpc.aio.Channel:
                options = (*_OPTIONS, ("grpc.ssl_target_name_override", name))
                credentials = self._certificates.channel_credentials()
                return grpc.aio.secure_channel(target, credentials, options=options)

            self._channels[service] = PeerChannel(connect, self._certificates, Callee(service))
        return self._channels[service]

    async def close(self) -> None:
        """Close every channel; calls still running are cancelled."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()


class PeerChannel(grpc.aio.Channel):
    """A channel that is made anew when the certificates change, without its stubs noticing.

    gRPC has no client credentials that reload in its stable API. The old channel is left to
    finish its calls, long streams included, and then closed.
    """

    def __init__(self, connect: Callable[[], grpc.aio.Channel], certificates: Certificates, callee: Callee) -> None:
        """Use `connect` to make the first channel when it is needed, and each one after that."""
        self.callee = callee
        self._connect = connect
        self._certificates = certificates
        self._channel: grpc.aio.Channel | None = None
        self._looked = float("-inf")
        self._generation = 0
        self._seen = certificates.bundle
        self._closing: set[asyncio.Task[None]] = set()

    def current(self) -> tuple[int, grpc.aio.Channel]:
        """Return the channel to use now, with a number that changes when the channel does."""
        now = asyncio.get_running_loop().time()
        if now - self._looked > _LOOK_S:
            self._looked = now
            self._certificates.refresh()
        if self._channel is None or self._seen is not self._certificates.bundle:
            if self._channel is not None:
                _log.info("the certificates have changed, connecting anew")
                self._close_later(self._channel)
            self._seen = self._certificates.bundle
            self._channel = self._connect()
            self._generation += 1
        return self._generation, self._channel

    def _close_later(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.get_running_loop().create_task(channel.close(_OLD_CHANNEL_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def unary_unary(self, method: str, *args: Any, **options: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, "unary_unary", method, args, options)

    def unary_stream(self, method: str, *args: Any, **options: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, "unary_stream", method, args, options)

    def stream_unary(self, method: str, *args: Any, **options: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, "stream_unary", method, args, options)

    def stream_stream(self, method: str, *args: Any, **options: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, "stream_stream", method, args, options)

    async def close(self, grace: float | None = None) -> None:
        """Close the channel and those it replaced; it connects again if it is used again."""
        closing, channel = tuple(self._closing), self._channel
        self._channel = None
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        if channel is not None:
            await channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002  # gRPC's signature
        """Return the state of the connection."""
        return self.current()[1].get_state(try_to_connect)

    def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> Coroutine[Any, Any, None]:
        """Wait until the state of the connection is another one."""
        return self.current()[1].wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the peer is connected."""
        await self.current()[1].channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class _Multicallable:
    """One method of a stub: finds the present channel and adds what the current call hands on."""

    __slots__ = ("_args", "_channel", "_generation", "_inner", "_kind", "_method", "_options")

    def __init__(
        self, channel: PeerChannel, kind: str, method: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._args = args
        self._options = options
        self._generation = -1
        self._inner: Any = None

    def __call__(self, *request: Any, **options: Any) -> Any:
        generation, channel = self._channel.current()
        if generation != self._generation:
            self._inner = getattr(channel, self._kind)(self._method, *self._args, **self._options)
            self._generation = generation
        options["metadata"] = outgoing_metadata(options.get("metadata"))
        options["timeout"] = outgoing_timeout(options.get("timeout"))
        if unguarded(self._method):
            return self._inner(*request, **options)
        if self._kind == "unary_unary":
            return guarded(self._channel.callee, self._method, self._inner, request=request, options=options)
        # What becomes of a stream tells nothing of the service: it may last for hours.
        self._channel.callee.look()
        return self._inner(*request, **options)


def _target(service: str, address: str) -> str:
    """Return the gRPC target of an address setting: one name, or several numeric addresses."""
    addresses = [part.strip() for part in address.split(",") if part.strip()]
    if not addresses:
        raise ConfigError([f"{service.upper()}_ADDRESS is not set"])
    families = {_family(each) for each in addresses}
    if len(addresses) == 1 and families == {""}:
        return f"dns:///{addresses[0]}"
    if len(families) > 1 or "" in families:
        raise ConfigError([f"{service.upper()}_ADDRESS must hold one name or several numeric addresses"])
    return f"{families.pop()}:{','.join(addresses)}"


def _family(address: str) -> str:
    """Return `ipv4` or `ipv6`, or nothing for a name."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return f"ipv{ipaddress.ip_address(host).version}"
    except ValueError:
        return ""
