"""Devices in words: the program before the system, and nothing for what says nothing."""

import pytest

from services.auth.domain.device import device_name

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/129.0.0.0 Safari/537.36 Edg/129.0",
            "Edge · Windows",
        ),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Chrome/129.0.0.0 Safari/537.36", "Chrome · Mac"),
        (f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {_WEBKIT} Version/17.5 Mobile Safari/604.1", "Safari · iPad"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {_WEBKIT} Chrome/129.0 Mobile Safari/537.36", "Chrome · Android"),
        (f"Mozilla/5.0 (Linux; Android 12) {_WEBKIT} Chrome/107.0 Mobile MicroMessenger/8.0.49", "WeChat · Android"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox · Linux"),
        ("grpc-python/1.66.1 grpc-c/43.0.0 (linux; chttp2)", "gRPC · Linux"),
        ("grpc-node-js/1.11.1", "grpc-js"),
        ("grpcurl/1.9.1 grpc-go/1.61.0", "grpcurl"),
        ("curl/8.5.0", "curl"),
        ("something else", ""),
        ("", ""),
    ],
)
def test_a_device_is_known_by_program_and_system(agent: str, name: str) -> None:
    """Browsers that call themselves by the names of others, mini-programs and command lines are told apart."""
    assert device_name(agent) == name
