#!/bin/sh
# Creates the namespace TEMPORAL_NAMESPACE unless it exists. Closed runs are retained for 30 days. During this time, they
# can be inspected and reset.
set -eu

# Uses the IP address as Temporal's sample does, because the host name caused problems there.
TEMPORAL_ADDRESS=$(getent hosts temporal | awk '{ print $1; exit }'):7233
export TEMPORAL_ADDRESS

# The script fails if the Temporal server stays unavailable. Docker Compose then restarts the container.
attempts=0
until temporal operator cluster health; do
    attempts=$((attempts + 1))
    [ "$attempts" -lt 30 ]
    sleep 2
done

temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 720h
