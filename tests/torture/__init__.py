"""The mesh under torture: real processes, real kills, and a check of every promise after each round."""

import os

# As in the Makefile: gRPC's own handlers around a fork take down now and then what is forked to start a server.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # noqa: TID251  # gRPC reads it there, when it is first loaded
