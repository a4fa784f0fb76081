#!/usr/bin/env bash
# Deploys one commit to an emulator, fills it, deploys another commit over it, and compares all that was stored.
#
#     tools/delivery/upgrade.sh HEAD~1 HEAD
#
# Works in a checkout of its own, .dataless/upgrade, which stays for the next time. Exit status: 0 when nothing was lost and the books
# balance, also after more events.
set -euo pipefail

from=$(git rev-parse --verify "$1^{commit}")
to=$(git rev-parse --verify "$2^{commit}")
root=$(git rev-parse --show-toplevel)
place=$root/.dataless/upgrade
today=$(date -u +%F)
yesterday=$(date -u -d yesterday +%F 2>/dev/null || date -u -v-1d +%F)

say() { printf '\n== %s\n' "$*"; }

send() { # number of impressions, seed
  target/tool/loadgen run --config load-generator/config.yaml --base-url "$(cargo dataless status --base-url)" \
    --day "$yesterday" --impressions "$1" --seed "$2" --clickthrough 0.3 --json >"$place/.dataless/sent.json"
}

# A field of the status, or an output of the stack.
status() { cargo dataless status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
output() { cargo dataless status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["outputs"][sys.argv[1]])' "$1"; }

aws_() {
  AWS_ENDPOINT_URL=$(status endpoint_url) AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 \
    .dataless/tools/spark/bin/aws "$@"
}

# All that is stored, in a stable order: raw objects, rows of every table, items.
everything() {
  aws_ s3 ls --recursive "s3://$(output DataLakeBucket)/data/raw/" | awk '{print $3, $4}' | sort
  cargo dataless query --format csv "SELECT 'lake', ad_id, impression_id, CAST(occurred_at AS STRING), day FROM impressions
    UNION ALL SELECT 'clicks', ad_id, click_id, CAST(occurred_at AS STRING), day FROM clicks
    UNION ALL SELECT 'advertising', ad_id, impression_id, CAST(click_at AS STRING), day FROM advertising
    UNION ALL SELECT 'traffic', ad_id, CAST(impressions AS STRING), CAST(clicks AS STRING), day FROM ad_traffic
    UNION ALL SELECT 'ledger', table_name, CAST(raw AS STRING), CAST(kept AS STRING), day FROM ledger
    ORDER BY 1, 2, 3, 4, 5"
  aws_ dynamodb scan --table-name "$(output AdTrafficTable)" --query 'Items[].[ad_id.S, day.S, impressions.N, clicks.N]' --output text | sort
}

[ -d "$place" ] || git worktree add --quiet --detach "$place" "$from"
cd "$place"
git checkout --quiet --detach "$from"
# Dependencies that are built already need not be built again.
[ -d target ] || [ ! -d "$root/target" ] || cp -a "$root/target" target
trap 'cd "$place" && cargo dataless down --purge || true' EXIT

say "deploy $from"
cargo dataless down --purge
cargo dataless up
cargo build --quiet --profile tool --package loadgen
say "send a day of events, and run the batch"
send 2000 1
cargo dataless batch --day "$yesterday" --to "$today"
everything >"$place/.dataless/before.txt"
bucket=$(output DataLakeBucket) table=$(output AdTrafficTable)

say "deploy $to over it"
git checkout --quiet --detach "$to"
cargo dataless up
[ "$(output DataLakeBucket)" = "$bucket" ] && [ "$(output AdTrafficTable)" = "$table" ]
everything >"$place/.dataless/after.txt"
diff "$place/.dataless/before.txt" "$place/.dataless/after.txt"
say "$(wc -l <"$place/.dataless/before.txt") lines before, the same after"

say "send more, run the batch again, balance the books"
cargo build --quiet --profile tool --package loadgen
send 1000 2
cargo dataless batch --day "$yesterday" --to "$today"
cargo dataless ledger
cargo dataless verify --day "$yesterday"
say "nothing was lost"
