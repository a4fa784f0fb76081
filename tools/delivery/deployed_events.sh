#!/usr/bin/env bash
# Fetches the schemas of the event types that a warehouse was deployed with, from the location of its jobs' scripts.
#
#     tools/delivery/deployed_events.sh STACK FOLDER
FOLDER is empty afterwards if there is no such stack yet, or if it is older than the schemas.
set -euo pipefail
stack=$1
folder=$2

rm -rf "$folder"
mkdir -p "$folder"
# Unlike the parameter, the output is that of the last deployment also while another one is in progress.
query="Stacks[0].Outputs[?OutputKey=='ScriptsLocation'].OutputValue"
if ! location=$(aws cloudformation describe-stacks --stack-name "$stack" --query "$query" --output text 2>"$folder/error"); then
  if grep -q "does not exist" "$folder/error"; then
    rm "$folder/error"
    exit 0
  fi
  cat "$folder/error" >&2
  exit 1
fi
rm "$folder/error"
# A first deployment that failed has no outputs.
if [[ $location == s3://* ]]; then
  aws s3 cp "$location/events/" "$folder" --recursive --only-show-errors
fi
