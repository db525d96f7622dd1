#!/bin/sh -e
# check_certificates.sh NGINX_CONF SERVED CERTIFICATE…: every name is served with the certificate that lies on disk, and
# that one, like the certificates named beside, is good for a week at least.
conf=$1
served=$2
shift 2
names=$(sed -n "s,^ *ssl_certificate  *$served/\(.*\)/fullchain.pem;,\1,p" "$conf" | sort -u)
for name in $names; do
    set -- "$@" "$served/$name/fullchain.pem"
    shown=$(openssl s_client -connect 127.0.0.1:443 -servername "$name" </dev/null 2>/dev/null |
        openssl x509 -noout -fingerprint -sha256)
    if [ "$shown" != "$(openssl x509 -noout -fingerprint -sha256 -in "$served/$name/fullchain.pem")" ]; then
        echo "$name is served with another certificate than $served/$name/fullchain.pem: reload nginx"
        exit 1
    fi
done
for file; do
    if ! openssl x509 -noout -checkend 604800 -in "$file" >/dev/null; then
        echo "$file expires within a week"
        exit 1
    fi
done
