# One image for every process of Cadenza; the command says which one runs.
FROM python:3.11-slim-bookworm AS build
WORKDIR /opt/cadenza
RUN python -m venv .bootstrap && .bootstrap/bin/pip install --no-cache-dir uv==0.13.9
COPY requirements.lock pyproject.toml README.md ./
RUN .bootstrap/bin/uv venv .venv \
 && .bootstrap/bin/uv pip install --python .venv/bin/python --require-hashes -r requirements.lock
COPY proto proto
COPY gen gen
COPY services services
COPY gateway gateway
COPY migrations migrations
RUN .bootstrap/bin/uv pip install --python .venv/bin/python --no-deps --no-build-isolation --editable .

FROM python:3.11-slim-bookworm
# tini reaps the processes of ffmpeg and of the engine, and passes SIGTERM on.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 1001 cadenza \
 && useradd --uid 1001 --gid 1001 --create-home cadenza \
 && install --directory --owner cadenza --group cadenza /data /tls
WORKDIR /opt/cadenza
COPY --from=build /opt/cadenza /opt/cadenza
ENV PATH=/opt/cadenza/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CADENZA_HOME=/data \
    CADENZA_TLS=/tls \
    BIND_HOST=0.0.0.0 \
    GATEWAY_HOST=0.0.0.0
USER cadenza
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["cadenza", "--help"]
