# syntax=docker/dockerfile:1
# One image for all roles. The subcommand selects the role (serve, work, migrate, …).

# Releases use this compiler. `rust-version` in Cargo.toml is the oldest supported version.
FROM rust:1.95-bookworm AS builder
WORKDIR /src
COPY . .
# /version shows this commit if it is set with --build-arg DIAGFLOW_COMMIT=$(git rev-parse HEAD).
ARG DIAGFLOW_COMMIT
# The registry and the target folder are cached, so that a small change does not recompile all dependencies. The caches
# are locked, because two builds cannot share a target folder. The binary is copied out of the target folder, because a
# cache mount is not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --package diagflow-cli --bin diagflow \
    && install -D -m 0755 target/release/diagflow /out/diagflow

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Diagflow" \
      org.opencontainers.image.description="Accepts patients' photos, has them diagnosed and delivers the results" \
      org.opencontainers.image.licenses="Apache-2.0"

# Certificate authorities for https to LoopAI and object storage. SMTP uses built-in certificate authorities. The version
# is not pinned, because Debian's mirrors have only the newest version, and the list should be current.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*

# `is-up PORT PATH` is used by health checks. It uses bash, because an HTTP client would be one more program to patch.
COPY --chmod=0755 <<'SCRIPT' /usr/local/bin/is-up
#!/bin/bash
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r _ status _ <&3
[[ $status == 200 ]]
SCRIPT

# The user id is fixed, so that volumes keep their owner and orchestrators can verify that the user is not root. A new
# named volume gets its owner from the folder in the image.
RUN groupadd --system --gid 10001 diagflow \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/diagflow --shell /usr/sbin/nologin diagflow \
    && install -d -o diagflow -g diagflow -m 0750 /var/lib/diagflow /var/lib/diagflow/files \
        /var/lib/diagflow/erasures

COPY --from=builder /out/diagflow /usr/local/bin/diagflow

# By default, Diagflow listens on the loopback address, which is not reachable from outside the container.
# MYSQL_ASYNC_BUFFER_SIZE_CAP limits the memory of the database driver (docs/settings.md).
ENV LISTEN_ADDRESS=0.0.0.0:8080 \
    WORKER_LISTEN_ADDRESS=0.0.0.0:8081 \
    LOG_FORMAT=json \
    MYSQL_ASYNC_BUFFER_SIZE_CAP=65536
WORKDIR /var/lib/diagflow
USER 10001:10001
EXPOSE 8080 8081
ENTRYPOINT ["diagflow"]
CMD ["serve"]
