"""Rules about all routes together."""

import re
from collections import Counter

from tests.contract.test_protos import methods, paths

SPINE = {
    ("post", "/api/v1/auth/anonymous"),
    ("post", "/api/v1/auth/refresh"),
    ("post", "/api/v1/auth/logout"),
    ("get", "/api/v1/users/me"),
    ("get", "/api/v1/wallet/balance"),
    ("get", "/api/v1/wallet/logs"),
    ("post", "/api/v1/tracks"),
    ("get", "/api/v1/tracks"),
    ("get", "/api/v1/tracks/{track_id}"),
    ("patch", "/api/v1/tracks/{track_id}"),
    ("delete", "/api/v1/tracks/{track_id}"),
    ("post", "/api/v1/tracks/{track_id}/choose"),
    ("post", "/api/v1/tracks/{track_id}/share"),
    ("get", "/api/v1/jobs"),
    ("get", "/api/v1/jobs/{job_id}"),
    ("get", "/api/v1/jobs/{job_id}/events"),
    ("post", "/api/v1/jobs/{job_id}/cancel"),
    ("post", "/api/v1/assets/audio/presign"),
    ("post", "/api/v1/assets/audio/upload"),
    ("post", "/api/v1/assets/{asset_id}/complete"),
    ("get", "/api/v1/assets"),
    ("get", "/api/v1/assets/{asset_id}"),
    ("delete", "/api/v1/assets/{asset_id}"),
    ("get", "/api/v1/shares"),
    ("get", "/api/v1/shares/{share_code}"),
    ("delete", "/api/v1/shares/{share_code}"),
}
OLDER = {
    ("post", "/api/auth/wechat-auth"),
    ("post", "/api/music/generate"),
    ("get", "/api/music/{job_id}/status"),
    ("post", "/api/file/upload"),
}
"""The older paths whose methods exist; the fifth, lyrics, comes with its method."""


def test_no_two_routes_are_alike() -> None:
    """No verb and path is bound twice, whatever its fields are called."""
    shapes = Counter((verb, re.sub(r"\{[a-z_]+\}", "{}", path)) for method in methods() for verb, path in paths(method))

    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_the_agreed_paths_exist() -> None:
    """Every path that clients were promised is bound."""
    bound = {binding for method in methods() for binding in paths(method)}

    assert (SPINE | OLDER) - bound == set()
