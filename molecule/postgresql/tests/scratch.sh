#!/bin/sh -eu
# scratch.sh BINDIR SETTING=VALUE…: start a server with these settings in a cluster of its own, say what it took.
bin=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$bin/initdb" -D data -A trust --no-sync >/dev/null
for setting; do
    echo "$setting"
done >>data/postgresql.conf
printf "listen_addresses = ''\nunix_socket_directories = '%s'\nhuge_pages = off\n" "$folder" >>data/postgresql.conf
"$bin/pg_ctl" -D data -l log -w start >/dev/null || { cat log; exit 1; }
psql -XAt -h "$folder" -d postgres -c 'show max_connections' -c 'show shared_buffers'
"$bin/pg_ctl" -D data -m immediate stop >/dev/null
