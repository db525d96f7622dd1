#!/bin/bash
# certificates.sh FOLDER HOST…: a throwaway CA, and below FOLDER/HOST what the role `tls` puts into /etc/lookout/tls.
# FOLDER/HOST/test holds what a test needs beside it: certificates of another name and of another CA.
set -euo pipefail
folder=$1
shift
if [ -e "$folder/.made" ]; then
    exit
fi
mkdir -p "$folder"
cd "$folder"
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)

make_ca() {
    openssl req -x509 "${key[@]}" -days 30 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}
# make CA INTO USAGE SAN
make() {
    mkdir -p "$2"
    openssl req "${key[@]}" -subj /CN=test -keyout "$2/privkey.pem" -out request.pem
    openssl x509 -req -in request.pem -CA "$1.pem" -CAkey "$1.key" -CAcreateserial -days 30 -out "$2/fullchain.pem" \
        -extfile <(printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$3" "$4")
}

make_ca site
make_ca stranger
for host; do
    make site "$host/host" serverAuth "DNS:$host,DNS:localhost,DNS:shop.example.com,IP:127.0.0.1,IP:::1"
    make site "$host/client" clientAuth DNS:scraper
    make site "$host/test/impostor" serverAuth DNS:impostor
    make stranger "$host/test/stranger" serverAuth "DNS:$host"
    make stranger "$host/test/stranger-client" clientAuth DNS:scraper
    make site "$host/test/renewed" serverAuth "DNS:$host,DNS:shop.example.com"
    cp site.pem "$host/ca.pem"
done
touch .made
