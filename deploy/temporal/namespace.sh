#!/bin/sh
# Makes the namespace TEMPORAL_NAMESPACE unless it is there. Closed runs are kept for 30 days: as long can they
# be looked at and reset.
set -eu

# By number: Temporal's own sample had trouble with the name.
TEMPORAL_ADDRESS=$(getent hosts temporal | awk '{ print $1; exit }'):7233
export TEMPORAL_ADDRESS

# Ends with a fault when the server stays away; the container is then restarted.
tries=0
until temporal operator cluster health; do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ]
    sleep 2
done

temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 720h
