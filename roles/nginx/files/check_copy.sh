#!/bin/sh -eu
# check_copy.sh TREE: nginx reads a copy of its configuration. Who is not root can read no key of this host, open no log and
# no port: keys, certificates, logs and sockets are then lent ones.
tree=$1
if [ "$(id -u)" -eq 0 ]; then
    exec nginx -t -q -e stderr -c "$tree/nginx.conf"
fi
lent=$(mktemp -d)
trap 'rm -rf "$lent"' EXIT
cp -R "$tree/." "$lent"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lent \
    -keyout "$lent/key.pem" -out "$lent/certificate.pem" 2>/dev/null
sed -E \
    -e "s,^( *(proxy_)?ssl_certificate_key +).*;,\1$lent/key.pem;," \
    -e "s,^( *(proxy_)?ssl_(certificate|client_certificate|trusted_certificate) +).*;,\1$lent/certificate.pem;," \
    -e "s,^( *(error_log|access_log) +)/[^ ;]+,\1$lent/log," \
    -e "s,^(pid +).*;,\1$lent/pid;," \
    -e "s,^( *listen +)([^ ;]+),\1unix:$lent/\2.socket," \
    "$tree/nginx.conf" >"$lent/nginx.conf"
status=0
nginx -t -q -e stderr -c "$lent/nginx.conf" 2>"$lent/said" || status=$?
grep -v "directive makes sense only if the master process runs" "$lent/said" >&2 || [ "$status" -eq 0 ]
exit "$status"
