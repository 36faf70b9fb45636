"""``python -m services.mesh``: the ``cadenza`` command, for children that must run under the very same interpreter."""

from services.mesh.cli import main

if __name__ == "__main__":
    main()
