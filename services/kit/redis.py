"""The connection to Redis or Valkey: short timeouts, one retry, a bounded pool.

Redis wakes readers and holds what may be lost; nobody may wait long for it.
"""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

_CONNECT_TIMEOUT_S = 1.0
_ANSWER_TIMEOUT_S = 3.0
_POOL_TIMEOUT_S = 3.0
_MOST_CONNECTIONS = 64


def connect(url: str) -> Redis:
    """Return a client for the address; it connects at its first command and speaks text.

    A command fails within about seven seconds whatever happens, with a redis ConnectionError
    or TimeoutError, which `kit.rpc.errors` reports as SERVICE_UNAVAILABLE.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MOST_CONNECTIONS,
        timeout=_POOL_TIMEOUT_S,
        decode_responses=True,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_ANSWER_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=15,
        # One retry hides a server that was restarted between two commands, and no more than that.
        retry=Retry(ConstantBackoff(0.05), retries=1),
    )
    return Redis.from_pool(pool)
