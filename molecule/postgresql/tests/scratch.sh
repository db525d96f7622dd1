#!/bin/sh -eu
# scratch.sh BINDIR SETTING=VALUE…: start a server with these settings in a cluster of its own, say what it took.
# The cluster is made once; its settings are those of this time alone.
bin=$1
shift
folder=/tmp/scratch
if ! [ -d $folder ]; then
    mkdir -m 0700 $folder
    "$bin/initdb" -D $folder/data -A trust --no-sync >/dev/null
    mv $folder/data/postgresql.conf $folder/made.conf
fi
cd $folder
cp made.conf data/postgresql.conf
rm -f log
for setting; do
    echo "$setting"
done >>data/postgresql.conf
printf "listen_addresses = ''\nunix_socket_directories = '%s'\nhuge_pages = off\n" "$folder" >>data/postgresql.conf
"$bin/pg_ctl" -D data -l log -w start >/dev/null || { cat log; exit 1; }
psql -XAt -h "$folder" -d postgres -c 'show max_connections' -c 'show shared_buffers'
"$bin/pg_ctl" -D data -m fast stop >/dev/null
