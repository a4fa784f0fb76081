#!/bin/bash
# Commands that the nightly pipeline runs on its worker, besides Hive and SQL. NIGHT is the day on which the run was
# scheduled. A night
# fills the lake with what arrived on NIGHT - 1, and derives the event days that this touched, up to NIGHT - 1: from
# NIGHT - 1 - LOOKBACK_DAYS - ATTRIBUTION_DAYS, since a late click changes the days before its own.
#
#   nightly.sh arrived NIGHT JOB
#       Runs a Glue job for the day that arrived; fails when the run does.
#   nightly.sh touched NIGHT LOOKBACK_DAYS ATTRIBUTION_DAYS JOB [NAME=VALUE ...]
#       Runs a Glue job for each event day that was touched, one after the other; fails when a run does.
#   nightly.sh compose NIGHT LOOKBACK_DAYS ATTRIBUTION_DAYS SOURCE TARGET NAME=VALUE ... -- FILE ...
#       Joins each script for all event days of the night, its variables filled in, from SOURCE/FILE to TARGET/FILE (S3 URIs):
#       an activity runs one script per night, and a script is for one day. In SQL each day is a transaction.
#   nightly.sh checks URI
#       Runs a composed script of Hive; fails when it prints a row.
set -euo pipefail

fail() {
  echo "nightly.sh: $*" >&2
  exit 1
}

# days NIGHT LOOKBACK_DAYS ATTRIBUTION_DAYS: the event days, oldest first.
days() {
  local back
  for ((back = 1 + $2 + $3; back >= 1; back--)); do
    date -u -d "$1 - $back days" +%F
  done
}

# run_glue_job DAY JOB [NAME=VALUE ...]
run_glue_job() {
  local day=$1 job=$2 argument arguments run state
  shift 2
  arguments="{\"--day\": \"$day\""
  for argument in "$@"; do
    arguments+=", \"--${argument%%=*}\": \"${argument#*=}\""
  done
  arguments+="}"
  run=$(aws glue start-job-run --job-name "$job" --arguments "$arguments" --query JobRunId --output text)
  while
    state=$(aws glue get-job-run --job-name "$job" --run-id "$run" --query JobRun.JobRunState --output text)
    case $state in
      STARTING | RUNNING | STOPPING | WAITING) true ;;
      *) false ;;
    esac
  do
    sleep "${POLL_SECONDS:-15}"
  done
  if [ "$state" != SUCCEEDED ]; then
    fail "$job for $day ended as $state: $(aws glue get-job-run --job-name "$job" --run-id "$run" \
      --query JobRun.ErrorMessage --output text)"
  fi
  echo "$job for $day: $run"
}

run_for_touched_days() {
  local night=$1 lookback_days=$2 attribution_days=$3 day
  shift 3
  for day in $(days "$night" "$lookback_days" "$attribution_days"); do
    run_glue_job "$day" "$@"
  done
}

# fill_in DAY NAME=VALUE ...: standard input, its variables filled in. HiveQL writes them ${hivevar:name}, SQL ${name}.
fill_in() {
  local day=$1 variable expression=
  shift
  set -- "day=$day" "year=${day:0:4}" "month=${day:5:2}" "day_of_month=${day:8:2}" "$@"
  for variable in "$@"; do
    case $variable in
      *[!A-Za-z0-9_./:=+@-]*) fail "$variable: a value may hold letters, digits and _ . / : = + @ - only" ;;
    esac
    expression+="s|\${\(hivevar:\)\?${variable%%=*}}|${variable#*=}|g;"
  done
  sed -e "$expression"
}

compose() {
  local night=$1 lookback_days=$2 attribution_days=$3 source=$4 target=$5 folder file day
  local -a variables=()
  shift 5
  while [ "$1" != -- ]; do
    variables+=("$1")
    shift
  done
  shift
  folder=$(mktemp -d)
  for file in "$@"; do
    aws s3 cp --only-show-errors "$source/$file" "$folder/script"
    : > "$folder/composed"
    for day in $(days "$night" "$lookback_days" "$attribution_days"); do
      {
        [[ $file != *.sql ]] || echo "BEGIN;"
        fill_in "$day" "${variables[@]}" < "$folder/script"
        [[ $file != *.sql ]] || echo "COMMIT;"
      } >> "$folder/composed"
    done
    aws s3 cp --only-show-errors "$folder/composed" "$target/$file"
  done
  rm -r "$folder"
}

check() {
  local rows folder
  folder=$(mktemp -d)
  aws s3 cp --only-show-errors "$1" "$folder/checks.hql"
  rows=$(hive --silent -f "$folder/checks.hql")
  rm -r "$folder"
  [ -z "$rows" ] || fail "check failed:"$'\n'"$rows"
}

case ${1:-} in
  arrived) run_glue_job "$(date -u -d "$2 - 1 day" +%F)" "${@:3}" ;;
  touched) run_for_touched_days "${@:2}" ;;
  compose) compose "${@:2}" ;;
  checks) check "${@:2}" ;;
  *) fail "expected arrived, touched, compose or checks, see the head of this file" ;;
esac
