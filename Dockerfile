# syntax=docker/dockerfile:1
# One image for every role: the subcommand chooses (serve, work, migrate, loopai-sim).

# `rust-version` in Cargo.toml is the oldest compiler that will do; this is the one that releases are built with.
FROM rust:1.95-bookworm AS builder
WORKDIR /src
COPY . .
# Shown by /version where it is given: --build-arg DIAGFLOW_COMMIT=$(git rev-parse HEAD)
ARG DIAGFLOW_COMMIT
# Registry and target folder outlive the build, so that a changed line does not compile 500 crates again.
# `locked`: cargo cannot share a target folder between two builds. The binary is moved out, since a cache
# mount is no part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --package diagflow-cli --bin diagflow \
    && install -D -m 0755 target/release/diagflow /out/diagflow

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Diagflow" \
      org.opencontainers.image.description="Takes patients' photos and sees their diagnosis through" \
      org.opencontainers.image.licenses="Apache-2.0"

# The certificate authorities that https to LoopAI and to object storage trusts. (SMTP brings its own.)
# Not pinned: Debian's mirrors keep only the newest version, and a newer list of authorities is wanted.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*

# `is-up PORT PATH` for health checks. bash opens the connection itself: an HTTP client would be one more
# program to patch.
COPY --chmod=0755 <<'SCRIPT' /usr/local/bin/is-up
#!/bin/bash
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r _ status _ <&3
[[ $status == 200 ]]
SCRIPT

# A fixed number, so that volumes keep their owner and orchestrators can check that it is not root. The folder
# exists in the image because a new named volume takes its owner from there.
RUN groupadd --system --gid 10001 diagflow \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/diagflow --shell /usr/sbin/nologin diagflow \
    && install -d -o diagflow -g diagflow -m 0750 /var/lib/diagflow /var/lib/diagflow/files

COPY --from=builder /out/diagflow /usr/local/bin/diagflow

# The defaults listen on loopback, where nobody outside the container gets to.
# The last variable bounds the database driver's memory (docs/settings.md).
ENV LISTEN_ADDRESS=0.0.0.0:8080 \
    WORKER_LISTEN_ADDRESS=0.0.0.0:8081 \
    LOG_FORMAT=json \
    MYSQL_ASYNC_BUFFER_SIZE_CAP=65536
WORKDIR /var/lib/diagflow
USER 10001:10001
EXPOSE 8080 8081
ENTRYPOINT ["diagflow"]
CMD ["serve"]
