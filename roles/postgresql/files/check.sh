#!/bin/sh -eu
# check.sh BINDIR TREE: has the server itself read a new configuration, in a cluster that is thrown away.
# It starts for a moment, without a network, with all settings, the libraries that they preload and the
# memory that they ask for, and is asked what it thinks of pg_hba.conf and pg_ident.conf. Whoever is not root, as a drill
# is, has it run as himself.
bin=$1
tree=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
cp -R "$tree/." "$scratch/config"
if [ "$(id -u)" -eq 0 ]; then
    chown -R postgres: "$scratch"
    as_server() {
        runuser --user postgres --group postgres --supp-group lookout --supp-group lookout-tls -- env LC_ALL=C.UTF-8 "$@"
    }
else
    as_server() { env LC_ALL=C.UTF-8 "$@"; }
fi
cd "$scratch"
as_server "$bin/initdb" --pgdata="$scratch/data" --auth=trust --no-sync >/dev/null

# huge_pages: they are the live server's.
as_server "$bin/postgres" --single -D "$scratch/data" \
    -c config_file="$scratch/config/postgresql.conf" \
    -c hba_file="$scratch/config/pg_hba.conf" -c ident_file="$scratch/config/pg_ident.conf" \
    -c unix_socket_directories="$scratch" -c external_pid_file="$scratch/pid" -c huge_pages=off \
    -c log_line_prefix= -c log_min_messages=warning -c log_min_error_statement=panic -c log_error_verbosity=default \
    postgres >"$scratch/said" 2>&1 <<'SQL' || status=$?
do $$ declare wrong text; begin select string_agg(said, e'\n') into wrong from (select format('pg_hba.conf, line %s: %s', line_number, error) from pg_hba_file_rules where error is not null union all select format('pg_ident.conf, line %s: %s', line_number, error) from pg_ident_file_mappings where error is not null) as mistakes (said); if wrong is not null then raise exception '%', wrong; end if; end $$
SQL
# An error stands behind the prompt, which says nothing.
sed -e 's/^backend> //' -e "s|$scratch/config/||g" "$scratch/said" >"$scratch/words"
if [ "${status:-0}" -ne 0 ] || grep -Eq '^(FATAL|PANIC|ERROR):|invalid configuration parameter name' "$scratch/words"; then
    grep -Ev '^(PostgreSQL stand-alone|LOG:  (database system|checkpoint))|^$' "$scratch/words" >&2
    exit 1
fi
