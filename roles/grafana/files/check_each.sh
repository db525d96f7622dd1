#!/bin/sh -e
# Asks Grafana for each of some things, and names those that it does not have.
#   check_each.sh URL CA NETRC BEFORE AFTER ID…
url=$1 ca=$2 netrc=$3 before=$4 after=$5
shift 5
missing=
for id; do
    curl -fsS --max-time 10 --cacert "$ca" --netrc-file "$netrc" -o /dev/null "$url/api/$before$id$after" || missing="$missing $id"
done
[ -z "$missing" ] || { echo "without an answer:$missing" >&2; exit 1; }
