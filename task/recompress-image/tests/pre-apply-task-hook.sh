#!/usr/bin/env bash
# Prepares a namespace for the tests: sets the image to test in the copy of the Task, and starts a
# registry.
#
#   pre-apply-task-hook.sh COPY_OF_TASK NAMESPACE
#
#   RECOMPRESS_IMAGE  (environment) the image to test
#   REGISTRY_IMAGE    (environment) image of the registry, default docker.io/library/registry:3
#
# Not yet run on a cluster.
set -euo pipefail

task=$1 namespace=$2
: "${RECOMPRESS_IMAGE:?set it to the image to test}"
sed -i "s|registry.example/recompress-image:[0-9A-Za-z.-]*|$RECOMPRESS_IMAGE|" "$task"

kubectl -n "$namespace" create deployment registry --port=5000 \
    --image="${REGISTRY_IMAGE:-docker.io/library/registry:3}"
kubectl -n "$namespace" expose deployment registry --port=5000
kubectl -n "$namespace" rollout status deployment/registry --timeout=5m
