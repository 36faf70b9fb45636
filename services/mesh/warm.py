"""Imports once what the processes of a mesh import, so that Python keeps the compiled form beside the source.

Without it every process would compile megabytes of libraries anew wherever PYTHONDONTWRITEBYTECODE is set, as it often
is in containers, and the first start would do so everywhere. The installation runs it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys


def warm() -> int:
    """Import every module of ours, and with them what they need; return how many there were."""
    sys.dont_write_bytecode = False
    import gateway
    import services

    found = [
        module.name
        for package in (services, gateway)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    for name in found:
        importlib.import_module(name)
    return len(found)


if __name__ == "__main__":
    warm()
