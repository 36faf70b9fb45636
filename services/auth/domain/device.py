"""What a client calls itself, in the few words by which its owner knows it again."""

import re

# The first that is found names the program: several call themselves by the names of others too.
_PROGRAMS = (
    ("MicroMessenger", "WeChat"),
    ("Edg(?:e|A|iOS)?/", "Edge"),
    ("OPR/|Opera", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/|FxiOS/", "Firefox"),
    ("Chrome/|CriOS/|Chromium", "Chrome"),
    ("Safari/", "Safari"),
    ("grpcurl", "grpcurl"),
    ("grpc-node|grpc-js", "grpc-js"),
    ("grpc-python|grpc-c/|grpc-java|grpc-go|grpc-swift|grpc-dotnet", "gRPC"),
    ("buf/|connect-", "buf curl"),
    ("curl/", "curl"),
    ("python|aiohttp|httpx", "Python"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("HarmonyOS|OpenHarmony", "HarmonyOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device_name(agent: str) -> str:
    """Return program and system of a user agent such as `Firefox · Windows`, or what of both is known; else ""."""
    return " · ".join(name for name in (_first(_PROGRAMS, agent), _first(_SYSTEMS, agent)) if name)


def _first(known: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for pattern, name in known if re.search(pattern, agent, re.IGNORECASE)), "")
